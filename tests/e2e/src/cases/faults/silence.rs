//! An API server that accepts connections and answers nothing.

use super::{Middle, disturb};
use crate::Outcome;
use crate::ensemble;
use crate::kube::Kube;
use crate::operator;
use crate::processes;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use std::time::{Duration, Instant};

/// How long it is silent: longer than the operator keeps a lease that it cannot renew.
const SILENCE: Duration = Duration::from_secs(14);
/// The longest time without an acknowledged write, in seconds: the members need no API server.
const GAP_MAX: f64 = 5.0;

pub(crate) fn case(rolling: &mut Suite, sizing: &mut Suite) -> Outcome {
    disturb(rolling, sizing)?;
    let announced = ensemble::restarts(&rolling.kube)?.len();
    let unannounced = ensemble::restarts(&sizing.kube)?.len();
    let mut middle = Middle::reach(rolling, sizing, "silence", None)?;
    let members = middle.roll.before.members.len();
    middle.hold.release()?;
    let pid = rolling.environment.process("kube-apiserver")?;
    processes::signal("-STOP", &[pid])?;
    let silent = Instant::now();
    let progress = until("the API server has been silent", SILENCE * 2, || {
        middle.roll.writer.await_progress(100)?;
        middle.size.writer.await_progress(100)?;
        ensure(silent.elapsed() >= SILENCE, || "not yet".to_owned())
    });
    processes::signal("-CONT", &[pid])?;
    progress?;
    middle.end((GAP_MAX, GAP_MAX))?;
    let restarts = ensemble::restarts(&rolling.kube)?.split_off(announced);
    ensure(restarts.len() == members, || {
        format!("not every member was restarted exactly once: {restarts:?}")
    })?;
    let restarts = ensemble::restarts(&sizing.kube)?.split_off(unannounced);
    ensure(restarts.is_empty(), || {
        format!("changing the size restarted {restarts:?}")
    })?;
    // Nobody could read or write a status meanwhile. What the operator made of it is in its pod's.
    let said = last_words(&rolling.kube)?;
    note!(
        "  the operator ended with: {}",
        said.lines().last().unwrap_or_default()
    );
    ensure(said.contains("the lease"), || said.clone())
}

/// What the operator's last process said when it ended.
fn last_words(kube: &Kube) -> Outcome<String> {
    let pods = kube.list(&["pods", "--namespace", operator::NAMESPACE])?;
    let last = &pods[0]["status"]["containerStatuses"][0]["lastState"]["terminated"];
    last["message"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("the operator did not end: {}", pods[0]["status"]))
}
