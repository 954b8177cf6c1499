//! An API server that accepts connections and answers nothing, in the midst of a roll.

use crate::Outcome;
use crate::ensemble::{self, NAME, READY_MAX};
use crate::operator;
use crate::processes;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use crate::writer::now;
use std::time::{Duration, Instant};

/// How long it is silent: longer than the operator keeps a lease that it cannot renew.
const SILENCE: Duration = Duration::from_secs(14);

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let mut writer = suite.writer(&before, "silence", 100)?;
    let began = now();
    let restart = format!(
        "zookeeper.ensemble.dev/restart=silence-{}",
        suite.kube.namespace
    );
    let announced = ensemble::restarts(&suite.kube)?.len();
    suite
        .kube
        .run(&["annotate", "zk", NAME, "--overwrite", &restart])?;
    until("the first member is restarted", READY_MAX, || {
        let restarts = ensemble::restarts(&suite.kube)?;
        ensure(restarts.len() > announced, || "none yet".to_owned())
    })?;
    let pid = suite.environment.process("kube-apiserver")?;
    processes::signal("-STOP", &[pid])?;
    let silent = Instant::now();
    let progress = until("the API server has been silent", SILENCE * 2, || {
        writer.await_progress(100)?;
        ensure(silent.elapsed() >= SILENCE, || "not yet".to_owned())
    });
    processes::signal("-CONT", &[pid])?;
    progress?;
    let gone: Vec<&str> = before.members.iter().map(|m| m.uid.as_str()).collect();
    let after = ensemble::await_replaced(&suite.kube, &suite.environment, &gone)?;
    let gap = writer.longest_gap_since(began);
    println!("  longest gap between two writes {gap:.2} s");
    ensure(gap < 10.0, || format!("no write for {gap:.1} s"))?;
    let restarts = ensemble::restarts(&suite.kube)?.split_off(announced);
    ensure(restarts.len() == before.members.len(), || {
        format!("not every member was restarted exactly once: {restarts:?}")
    })?;
    // Nobody could read or write a status meanwhile. What the operator made of it is in its pod's.
    let said = last_words(suite)?;
    println!(
        "  the operator ended with: {}",
        said.lines().last().unwrap_or_default()
    );
    ensure(said.contains("the lease"), || said.clone())?;
    suite.finish(writer, &after).map(drop)
}

/// What the operator's last process said when it ended.
fn last_words(suite: &Suite) -> Outcome<String> {
    let pods = suite
        .kube
        .list(&["pods", "--namespace", operator::NAMESPACE])?;
    let last = &pods[0]["status"]["containerStatuses"][0]["lastState"]["terminated"];
    last["message"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("the operator did not end: {}", pods[0]["status"]))
}
