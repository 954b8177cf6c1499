//! Waiting for what is seen, never for time to pass.

use crate::Outcome;
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked.
const POLL: Duration = Duration::from_millis(250);

/// Looks until `look` sees it; its error is what was seen instead, and is told at the end.
pub(crate) fn until<T>(
    what: &str,
    at_most: Duration,
    mut look: impl FnMut() -> Outcome<T>,
) -> Outcome<T> {
    let started = Instant::now();
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(instead) if started.elapsed() > at_most => {
                return Err(format!(
                    "{what}: not within {} s; last seen: {instead}",
                    at_most.as_secs()
                ));
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// A condition that must hold, or the sentence that says what was found.
pub(crate) fn ensure(holds: bool, found: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(found()) }
}

/// A limit in seconds, for a machine with time for this: where others keep its cores busy, longer by
/// as much.
pub(crate) fn given_the_load(seconds: f64) -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load
        .split_whitespace()
        .next()
        .and_then(|average| average.parse().ok())
        .unwrap_or(0.0);
    let cores = thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    // Half of the cores' worth is what the cluster itself needs.
    seconds * (load / cores / 1.5).max(1.0)
}
