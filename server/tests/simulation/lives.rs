//! Thousands of random lives, on all processors.

use super::faults;
use super::tally::Tally;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Seeds of the ordinary run.
const SEEDS: u64 = 10_000;
/// Lines of a failed life that are worth printing.
const LAST_LINES: usize = 150;
/// Seeds after which a long run says how far it is.
const PROGRESS: u64 = 100_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    )
}

/// How to see a life again.
fn replay(seed: u64) -> String {
    format!("SIMULATION_SEED={seed} cargo test -p simulation random_lives -- --nocapture")
}

fn fail(seed: u64, fault: &str) -> ! {
    let (_, lines) = faults::run(seed, true);
    let from = lines.len().saturating_sub(LAST_LINES);
    panic!(
        "{}\nseed {seed}: {fault}\nreplay with {}",
        lines[from..].join("\n"),
        replay(seed)
    );
}

/// Lives through the seeds, and returns what they came to, or the lowest seed that failed.
fn live(first: u64, seeds: u64) -> Result<Tally, (u64, String)> {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let failed = Mutex::new(None::<(u64, String)>);
    let worker = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return tally;
            }
            match faults::run(seed, false).0 {
                Ok(one) => tally.add(one),
                Err(fault) => {
                    // Those handed out before are lived to their end: the lowest one is told.
                    next.fetch_max(first + seeds, Ordering::Relaxed);
                    let mut failed = failed.lock().expect("nobody panics with it");
                    if failed.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                        *failed = Some((seed, fault));
                    }
                }
            }
            let lived = seed - first + 1;
            if lived.is_multiple_of(PROGRESS) {
                println!("{lived} seeds after {} s", began.elapsed().as_secs());
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let workers = (0..workers).map(|_| scope.spawn(worker));
        for worker in workers.collect::<Vec<_>>() {
            total.add(worker.join().expect("lives don't end their thread"));
        }
    });
    match failed.into_inner().expect("nobody panics with it") {
        Some(failed) => Err(failed),
        None => Ok(total),
    }
}

#[test]
fn random_lives_keep_every_promise() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let (outcome, lines) = faults::run(seed, true);
        println!("{}", lines.join("\n"));
        outcome.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        return;
    }
    let first = number("SIMULATION_FIRST").unwrap_or(0);
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    println!(
        "seeds {first} to {}; one again: {}",
        first + seeds - 1,
        replay(first)
    );
    let total = live(first, seeds).unwrap_or_else(|(seed, fault)| fail(seed, &fault));
    println!("{total}");
    // A run in which nothing happens proves nothing.
    assert!(total.acknowledged > 10 * seeds && total.elections > seeds);
    if seeds >= 1_000 {
        total.has_met_everything();
    }
}

#[test]
fn a_seed_is_a_life() {
    for seed in 0..20 {
        let (once, again) = (faults::run(seed, true).1, faults::run(seed, true).1);
        assert!(once == again, "seed {seed} was lived in two ways");
    }
}
