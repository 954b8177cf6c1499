//! From a sequence that shows a difference to a shorter one that does.

use crate::call::{Damage, Step};
use std::time::{Duration, Instant};

/// Runs that a search may take.
const RUNS_MAX: usize = 400;
/// How long it may take: where the difference is that nothing comes, every run waits for it.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Takes away what is not needed for `fails` to hold, part by part, until nothing can go or the
/// budget is used up.
pub(crate) fn shrink(steps: Vec<Step>, mut fails: impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut runs = 0;
    let begun = Instant::now();
    let mut try_it = |candidate: &[Step]| {
        runs += 1;
        runs <= RUNS_MAX && begun.elapsed() < TIME_MAX && fails(candidate)
    };
    let mut best = steps;
    loop {
        let before = best.clone();
        best = without_steps(best, &mut try_it);
        best = without_calls(best, &mut try_it);
        if best == before {
            return best;
        }
    }
}

fn without_steps(mut best: Vec<Step>, fails: &mut impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut size = best.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < best.len() {
            let end = (at + size).min(best.len());
            let candidate = [&best[..at], &best[end..]].concat();
            if fails(&candidate) {
                best = candidate;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    best
}

fn without_calls(mut best: Vec<Step>, fails: &mut impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    for at in 0..best.len() {
        let mut position = 0;
        while let Step::Send { calls, .. } = &best[at]
            && position < calls.len()
        {
            let mut candidate = best.clone();
            if let Step::Send { calls, .. } = &mut candidate[at] {
                if calls.len() > 1 {
                    calls.remove(position);
                } else {
                    calls[position].damage = Damage::None;
                }
            }
            if candidate != best && fails(&candidate) {
                best = candidate;
            } else {
                position += 1;
            }
        }
    }
    best
}
