//! A volume without room in the midst of a roll: an ensemble of its own on small volumes.

use crate::Outcome;
use crate::ensemble::{self, Ensemble};
use crate::kube::condition;
use crate::small_volumes::SmallVolumes;
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load, until};
use crate::writer::{Writer, now};
use serde_json::{Value, json};
use std::time::Duration;

const NAME: &str = "small";
/// The longest time without an acknowledged write, in seconds: the leader's disk is the full one, so
/// the others elect.
const GAP_MAX: f64 = 5.0;
/// How long the log may take to need its next step, and the operator to say what came of it.
const TOLD_MAX: Duration = Duration::from_secs(60);

pub(super) fn case(suite: &mut Suite) -> Outcome {
    suite.apply_example()?;
    let volumes = SmallVolumes::make(suite)?;
    let outcome = fill(suite, &volumes);
    if outcome.is_err() {
        // The diagnosis that follows shows the other ensemble; this one is about to go.
        crate::diagnosis::print(suite);
    }
    suite
        .kube
        .run(&["delete", "zk", NAME, "--ignore-not-found"])?;
    volumes.remove(suite)?;
    outcome
}

fn fill(suite: &Suite, volumes: &SmallVolumes) -> Outcome {
    let resource = json!({
        "apiVersion": "zookeeper.ensemble.dev/v1alpha1",
        "kind": "ZooKeeperCluster",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 3,
            // Small steps of the log, so that it soon needs room.
            "config": {"preAllocSize": 64},
            "storage": {"data": {"size": volumes.size(), "storageClassName": volumes.class()}},
            "pod": {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}},
        },
    });
    suite
        .kube
        .run_with(&["apply", "--filename=-"], &resource.to_string())?;
    let before = ensemble::await_named(&suite.kube, &suite.environment, NAME)?;
    let mut writer = suite.writer(&before, "small", 100)?;
    let began = now();
    let leader = before.member(&before.leader)?.clone();
    let filler = volumes.fill(&leader)?;
    let told = while_full(suite, &before, &mut writer);
    let emptied = filler.remove();
    told?;
    emptied?;
    let after = until("the roll goes on and ends", ensemble::READY_MAX, || {
        let after = ensemble::await_named(&suite.kube, &suite.environment, NAME)?;
        for member in &before.members {
            ensure(after.member(&member.pod)?.uid != member.uid, || {
                format!("{} was not restarted yet", member.pod)
            })?;
        }
        Ok(after)
    })?;
    let gap = writer.longest_gap_since(began);
    println!("  longest gap between two writes {gap:.2} s");
    ensure(gap < given_the_load(GAP_MAX), || {
        format!("no write was acknowledged for {gap:.1} s")
    })?;
    suite.finish(writer, &after).map(drop)
}

/// The status and an Event name the member and its disk; a roll that begins now takes nobody else.
fn while_full(suite: &Suite, before: &Ensemble, writer: &mut Writer) -> Outcome {
    let pod = before.leader.as_str();
    let message = until("the conditions tell of the disk", TOLD_MAX, || {
        fault(&suite.kube.get(&["zk", NAME])?, pod)
    })?;
    println!("  {message}");
    let restart = "zookeeper.ensemble.dev/restart=while-full";
    suite.kube.run(&["annotate", "zk", NAME, restart])?;
    let blocked = until("the roll waits for the full one", TOLD_MAX, || {
        let resource = suite.kube.get(&["zk", NAME])?;
        fault(&resource, pod)?;
        let blocked = resource["status"]["blockedBy"].to_string();
        ensure(
            blocked.contains("RestartedMembersAreBack") && blocked.contains(pod),
            || format!("blockedBy is {blocked}"),
        )?;
        match condition(&resource, "QuorumAvailable") {
            Some((status, ..)) if status == "True" => Ok(blocked),
            other => Err(format!("{other:?}")),
        }
    })?;
    println!("  {blocked}");
    let events = ensemble::warnings(&suite.kube)?;
    ensure(
        events
            .iter()
            .any(|event| event.contains("MemberFault") && event.contains(pod)),
        || format!("no Event names the member: {events:?}"),
    )?;
    writer.await_progress(200)?;
    for member in before.members.iter().filter(|member| member.pod != pod) {
        let now = suite.kube.get(&["pod", &member.pod])?;
        ensure(now["metadata"]["uid"] == member.uid, || {
            format!("{} was restarted while {pod} was away", member.pod)
        })?;
    }
    Ok(())
}

fn fault(resource: &Value, pod: &str) -> Outcome<String> {
    match condition(resource, "Degraded") {
        Some((status, reason, message))
            if status == "True"
                && reason == "MemberFault"
                && message.contains(pod)
                && message.contains("the disk is full") =>
        {
            Ok(message)
        }
        other => Err(format!("{other:?}")),
    }
}
