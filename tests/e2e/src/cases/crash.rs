//! The power fails for everyone at once, again and again.

use crate::Outcome;
use crate::cases::deletion::same_disks;
use crate::ensemble::{self, Ensemble, READY_MAX};
use crate::processes;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use crate::writer::{Writer, now};
use std::time::Instant;

const ROUNDS: u32 = 10;
/// How many of the newest nodes are read in full after each round; all of them are at the end.
const TAIL: u32 = 400;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let first = suite.ensemble()?;
    suite.disturb();
    // As fast as it goes: the processes die in the midst of writing.
    let mut writer = suite.writer(&first, "crash", 0)?;
    let mut current = first.clone();
    let mut recoveries = Vec::new();
    for round in 1..=ROUNDS {
        writer.await_progress(100)?;
        let (ensemble, recovery) = crash(suite, &writer, &current)
            .map_err(|error| format!("round {round} of {ROUNDS}: {error}"))?;
        recoveries.push(recovery);
        current = ensemble;
    }
    recoveries.sort_by(f64::total_cmp);
    note!(
        "  writes went on after {:.1} s in the median, {:.1} s at most",
        recoveries[recoveries.len() / 2],
        recoveries[recoveries.len() - 1]
    );
    same_disks(&first, &current)?;
    suite.finish(writer, &current).map(drop)
}

fn crash(suite: &Suite, writer: &Writer, before: &Ensemble) -> Outcome<(Ensemble, f64)> {
    let mut pids = Vec::new();
    for member in &before.members {
        pids.push(processes::server_of(&member.uid)?);
    }
    let (killed, started) = (now(), Instant::now());
    processes::kill(&pids)?;
    let recovery = writer.first_after_loss(killed, READY_MAX)? - killed;
    let after = until(
        "every server was started again and serves",
        READY_MAX,
        || {
            let seen = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
            for member in &seen.members {
                // The pod's own status is the last to hear of it.
                let old = before.member(&member.pod)?;
                ensure(member.uid == old.uid, || {
                    format!("{} was replaced", member.pod)
                })?;
                ensure(member.restarts > old.restarts, || {
                    format!("{} was not started again yet", member.pod)
                })?;
            }
            Ok(seen)
        },
    )?;
    let complete = started.elapsed();
    let verified = writer.verify(&after.members, Some(TAIL))?;
    note!(
        "  first write after {recovery:.1} s, all three serve after {:.1} s; {} acknowledged so far are there",
        complete.as_secs_f32(),
        verified.acknowledged
    );
    Ok((after, recovery))
}
