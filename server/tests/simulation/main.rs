//! The deterministic simulation of an ensemble: `zab::Zab` as the server runs it, on a network,
//! disks and clocks that a seed decides.
//!
//! `SIMULATION_SEEDS=N` lives through more seeds, `SIMULATION_FIRST=N` begins elsewhere,
//! `SIMULATION_SEED=S` replays one and prints all that happens.

mod checks;
mod disk;
mod engine;
mod faults;
mod member;
mod network;
mod random;
mod scenarios;
mod streams;
mod world;

use faults::Tally;

/// Seeds of the ordinary run.
const SEEDS: u64 = 2_000;
/// Lines of a failed life that are worth printing.
const LAST_LINES: usize = 150;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    )
}

fn fail(seed: u64, fault: &str) -> ! {
    let (_, lines) = faults::run(seed, true);
    let from = lines.len().saturating_sub(LAST_LINES);
    panic!(
        "{}\nseed {seed}: {fault}\nreplay with SIMULATION_SEED={seed} \
         cargo test -p zookeeper-server --test simulation random_lives -- --nocapture",
        lines[from..].join("\n")
    );
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
    let mut total = Tally::default();
    for seed in first..first + seeds {
        match faults::run(seed, false).0 {
            Ok(tally) => total.add(tally),
            Err(fault) => fail(seed, &fault),
        }
    }
    total.recovery_ms.sort_unstable();
    let percentile = |of: usize| total.recovery_ms[(total.recovery_ms.len() - 1) * of / 100];
    println!(
        "{} seeds, {} steps, {} proposals, {} acknowledged, {} elections, {} snapshots, \
         {} truncations; agreement after peace: median {} ms, p99 {} ms, longest {} ms; \
         faults: {:?}",
        total.seeds,
        total.steps,
        total.proposals,
        total.acknowledged,
        total.elections,
        total.snapshots,
        total.truncations,
        percentile(50),
        percentile(99),
        percentile(100),
        total.faults
    );
    // A run in which nothing happens proves nothing.
    assert!(total.acknowledged > 10 * seeds && total.elections > seeds);
}
