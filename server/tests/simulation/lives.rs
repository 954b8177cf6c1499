//! Thousands of random lives, on all processors.

use super::faults;
use super::tally::Tally;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Seeds of the ordinary run.
const SEEDS: u64 = 10_000;
/// Lines of a failed life that are worth printing.
const LAST_LINES: usize = 150;
/// A run ends at so many lives that failed.
const FAILED_MAX: usize = 20;
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

/// Tells the end of the first failed life, and what became of the others.
fn fail(failed: &BTreeMap<u64, String>) -> ! {
    let mut told = String::new();
    for (seed, fault) in failed {
        if told.is_empty() {
            let (_, lines) = faults::run(*seed, true);
            let from = lines.len().saturating_sub(LAST_LINES);
            told = lines[from..].join("\n");
        }
        told += &format!("\nseed {seed}: {fault}\nreplay with {}", replay(*seed));
    }
    panic!("{told}\n{} failed", failed.len());
}

/// Lives through the seeds, and returns what they came to, and those that failed.
fn live(first: u64, seeds: u64) -> (Tally, BTreeMap<u64, String>) {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let failed = Mutex::new(BTreeMap::new());
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
                    println!("seed {seed} failed; {}", replay(seed));
                    let mut failed = failed.lock().expect("nobody panics with it");
                    failed.insert(seed, fault);
                    if failed.len() == FAILED_MAX {
                        next.fetch_max(first + seeds, Ordering::Relaxed);
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
    (total, failed.into_inner().expect("nobody panics with it"))
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
    let (total, failed) = live(first, seeds);
    println!("{total}");
    if !failed.is_empty() {
        fail(&failed);
    }
    // A run in which nothing happens proves nothing.
    assert!(total.acknowledged > 10 * seeds && total.elections > seeds);
    // An ensemble that a person has to help.
    assert_eq!(total.stranded, 0, "lives that need a person");
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
