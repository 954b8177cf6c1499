//! The ensemble grows and shrinks under a writer, one vote at a time, and its operator is killed on the way.

use crate::Outcome;
use crate::ensemble::{self, Ensemble, NAME, READY_MAX};
use crate::operator;
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load, until};
use crate::writer::now;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;

/// The longest time without an acknowledged write, in seconds.
const GAP_MAX: f64 = 10.0;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let writer = suite.writer(&before, "scale", 100)?;
    let began = now();
    let restarts = ensemble::restarts(&suite.kube)?.len();
    let outcome = up_and_down(suite, &before);
    if outcome.is_err() {
        // The cases after this one want three.
        let _ = observers(suite, 3, 0);
    }
    let last = outcome?;
    let gap = writer.longest_gap_since(began);
    note!("  longest gap between two writes {gap:.2} s");
    ensure(gap < given_the_load(GAP_MAX), || {
        format!("no write was acknowledged for {gap:.1} s")
    })?;
    let restarts = ensemble::restarts(&suite.kube)?.split_off(restarts);
    ensure(restarts.is_empty(), || {
        format!("changing the size restarted {restarts:?}")
    })?;
    suite.finish(writer, &last).map(drop)
}

fn up_and_down(suite: &Suite, before: &Ensemble) -> Outcome<Ensemble> {
    suite.kube.scale(NAME, 5)?;
    until("the fourth pod is there", READY_MAX, || {
        suite.kube.get(&["pod", "demo-3"]).map(drop)
    })?;
    // Another one takes over wherever the last one stopped.
    kill_the_operator(suite)?;
    let mut current = settled(suite, 5, 0)?;
    for member in &before.members {
        let now = current.member(&member.pod)?;
        ensure(now.uid == member.uid, || {
            format!("{} was restarted", member.pod)
        })?;
    }
    observers(suite, 3, 1)?;
    current = settled(suite, 3, 1)?;
    let observer = current.member("demo-3")?.address.clone();
    let report = ensemble::report(&suite.environment, &observer)?;
    ensure(report["state"] == "observing", || {
        format!("demo-3 is no observer: {report}")
    })?;
    observers(suite, 1, 0)?;
    settled(suite, 1, 0)?;
    suite.kube.scale(NAME, 3)?;
    settled(suite, 3, 0)
}

fn observers(suite: &Suite, voters: usize, observers: usize) -> Outcome {
    let spec = json!({"replicas": voters, "observers": observers});
    suite.kube.change(NAME, &spec)
}

/// Deletes it without a word, as when its node goes, and frees its lease as time would.
fn kill_the_operator(suite: &Suite) -> Outcome {
    for pod in operator::pods(&suite.kube)? {
        suite.kube.run(&[
            "delete",
            "pod",
            &pod,
            "--namespace",
            operator::NAMESPACE,
            "--grace-period=0",
            "--force",
            "--ignore-not-found",
        ])?;
    }
    Ok(())
}

/// The ensemble, once it is Ready with these members and every one of them says who they are.
fn settled(suite: &Suite, voters: usize, observers: usize) -> Outcome<Ensemble> {
    let started = Instant::now();
    let ensemble = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
    ensure(ensemble.members.len() == voters + observers, || {
        format!("{} members are there", ensemble.members.len())
    })?;
    note!(
        "  {voters} voters and {observers} observers after {:.1} s",
        started.elapsed().as_secs_f32()
    );
    let wanted: BTreeSet<u64> = (1..=voters as u64).collect();
    for member in &ensemble.members {
        let report = ensemble::report(&suite.environment, &member.address)?;
        let said: BTreeSet<u64> = report["voters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .collect();
        ensure(said == wanted, || {
            format!("{} says that {said:?} vote", member.pod)
        })?;
    }
    until("nobody else is there", READY_MAX, || {
        let pods = suite.kube.list(&[
            "pods",
            &format!("--selector=zookeeper.ensemble.dev/cluster={NAME}"),
        ])?;
        ensure(pods.len() == voters + observers, || {
            format!("{} pods", pods.len())
        })
    })?;
    let scale = suite.kube.get(&["zk", NAME])?;
    ensure(scale["status"]["replicas"] == voters, || {
        format!("status.replicas is {}", scale["status"]["replicas"])
    })?;
    Ok(ensemble)
}
