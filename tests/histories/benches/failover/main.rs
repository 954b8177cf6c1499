//! How long nobody can write when a leader dies: our ensemble and Apache ZooKeeper's on the same
//! machine with the same configuration, in turns.
//!
//! `FAILOVER_SERVER` names our binary, `FAILOVER_JAVA_CLASSPATH` Java's jars, `FAILOVER_REPEATS` how
//! often each leader dies each way.

mod ensemble;
mod writer;

use ensemble::{Death, Ensemble, Flavor};
use histories::Outcome;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use writer::Writers;

/// The writers are at it for this long before the leader dies.
const BEFORE: Duration = Duration::from_millis(1_500);
/// And for this long after a new one serves, to see gaps that come late.
const AFTER: Duration = Duration::from_millis(2_500);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Outcome<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run `cargo xtask bench failover`"))
}

fn run() -> Outcome {
    let server = PathBuf::from(variable("FAILOVER_SERVER")?);
    let classpath = variable("FAILOVER_JAVA_CLASSPATH")?;
    let repeats = variable("FAILOVER_REPEATS")?
        .parse::<usize>()
        .map_err(|error| format!("FAILOVER_REPEATS: {error}"))?;
    let mut java = Ensemble::start(Flavor::Java { classpath })?;
    let mut ours = Ensemble::start(Flavor::Ours { server })?;
    println!(
        "three members each, tickTime {} ms, data in {}; the longest time without an acknowledged \
         write, of writers at both surviving members",
        ensemble::TICK_MS,
        ours.dir().display()
    );
    for death in [Death::Kill, Death::Terminate] {
        let (mut java_gaps, mut our_gaps) = (Vec::new(), Vec::new());
        for repeat in 1..=repeats {
            java_gaps.push(fail_over(&mut java, death)?);
            our_gaps.push(fail_over(&mut ours, death)?);
            eprintln!(
                "{death} {repeat} of {repeats}: Java {} ms, ours {} ms",
                java_gaps[repeat - 1].as_millis(),
                our_gaps[repeat - 1].as_millis()
            );
        }
        let (java, ours) = (Summary::of(java_gaps), Summary::of(our_gaps));
        println!("\n{death}, {repeats} times each");
        println!("{:<8}{:>9}{:>9}{:>9}", "", "min", "median", "max");
        println!("{:<8}{java}", "Java");
        println!("{:<8}{ours}", "ours");
        let ratio = ours.median.as_secs_f64() / java.median.as_secs_f64().max(f64::EPSILON);
        println!("ours is {ratio:.2} times Java's in the median");
    }
    Ok(())
}

/// The leader dies under writers; how long they got nothing acknowledged.
fn fail_over(ensemble: &mut Ensemble, death: Death) -> Outcome<Duration> {
    ensemble.wait_until_all_serve()?;
    let leader = ensemble.leader()?;
    let survivors = ensemble.client_addresses_but(leader);
    let writers = Writers::start(&survivors);
    writers.wait_for_writes(BEFORE)?;
    let died = writers.now();
    ensemble.end(leader, death)?;
    let successor = ensemble.leader_but(leader)?;
    writers.wait_for_writes(AFTER)?;
    let gap = writers.end(died)?;
    ensemble.restart(leader)?;
    if successor == leader {
        return Err("the leader that died leads again".into());
    }
    Ok(gap)
}

struct Summary {
    min: Duration,
    median: Duration,
    max: Duration,
}

impl Summary {
    fn of(mut gaps: Vec<Duration>) -> Self {
        gaps.sort_unstable();
        let at = |place: usize| gaps.get(place).copied().unwrap_or_default();
        Summary {
            min: at(0),
            median: at(gaps.len() / 2),
            max: at(gaps.len().saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for gap in [self.min, self.median, self.max] {
            write!(f, "{:>6} ms", gap.as_millis())?;
        }
        Ok(())
    }
}
