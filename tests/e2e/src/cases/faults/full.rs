//! A volume without room: an ensemble of its own on small volumes, first in the middle of a roll, then
//! in the middle of a change of size.

use super::{FEW, MANY, Under, begun, growing, untouched};
use crate::Outcome;
use crate::ensemble::{self, Ensemble, Member};
use crate::kube::condition;
use crate::resource::manifest;
use crate::small_volumes::SmallVolumes;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use serde_json::{Value, json};
use std::time::Duration;

const NAME: &str = "small";
/// The longest time without an acknowledged write, in seconds: when the first member's disk is full, the
/// second one is on its way back from its restart; later the leader's disk is the full one.
const GAP_MAX: f64 = 15.0;
/// How long the log may take to need its next step, and the operator to say what came of it.
const TOLD_MAX: Duration = Duration::from_secs(60);

pub(crate) fn case(suite: &mut Suite) -> Outcome {
    suite.apply_example()?;
    let mut volumes = SmallVolumes::make(suite)?;
    let outcome = both(suite, &mut volumes);
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

fn both(suite: &Suite, volumes: &mut SmallVolumes) -> Outcome {
    suite.kube.apply(&manifest(
        NAME,
        &json!({
            "replicas": FEW,
            // Small steps of the log, so that it soon needs room.
            "config": {"preAllocSize": 64},
            "storage": {"data": {"size": volumes.size(), "storageClassName": volumes.class()}},
            "pod": {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}},
        }),
    ))?;
    let before = await_small(suite)?;
    let mut roll = Under::begin(suite, NAME, before, "full-roll")?;
    suite.kube.roll(NAME, "full")?;
    let how_far = until("the first member is back", TOLD_MAX, || begun(&roll))?;
    note!("  the roll: {}", how_far.told);
    let full = roll.before.member(&how_far.back[0])?.clone();
    let filler = volumes.fill(&full)?;
    let told = while_rolling(&mut roll, &full);
    filler.remove()?;
    told?;
    let after = until("the roll goes on and ends", ensemble::READY_MAX, || {
        let after = await_small(suite)?;
        for member in &roll.before.members {
            ensure(after.member(&member.pod)?.uid != member.uid, || {
                format!("{} was not restarted yet", member.pod)
            })?;
        }
        Ok(after)
    })?;
    roll.end("the roll", &after, GAP_MAX)?;

    volumes.add(suite, 2)?;
    let mut size = Under::begin(suite, NAME, after, "full-size")?;
    suite.kube.scale(NAME, MANY)?;
    let how_far = until("one of two has its vote", TOLD_MAX, || growing(&size))?;
    note!("  the size: {how_far}");
    let resource = size.resource()?;
    let leader = resource["status"]["leader"]
        .as_str()
        .ok_or("nobody leads")?;
    let full = size.before.member(leader)?.clone();
    let filler = volumes.fill(&full)?;
    let told = while_growing(&mut size, &full);
    filler.remove()?;
    told?;
    let after = await_small(suite)?;
    ensure(after.members.len() == MANY, || {
        format!("{:?}", after.members)
    })?;
    let stayed: Vec<&Member> = size.before.members.iter().collect();
    untouched(&suite.kube, &stayed)?;
    size.end("the size", &after, GAP_MAX)
}

fn await_small(suite: &Suite) -> Outcome<Ensemble> {
    ensemble::await_named(&suite.kube, &suite.environment, NAME)
}

/// The status and an Event name the member and its disk; the roll takes nobody else.
fn while_rolling(roll: &mut Under<'_>, full: &Member) -> Outcome {
    let pod = full.pod.as_str();
    let blocked = until("the roll waits for the full one", TOLD_MAX, || {
        let resource = roll.resource()?;
        fault(&resource, pod)?;
        let blocked = resource["status"]["blockedBy"].to_string();
        ensure(
            blocked.contains("RestartedMembersAreBack") && blocked.contains(pod),
            || format!("blockedBy is {blocked}"),
        )?;
        has_quorum(&resource)?;
        Ok(blocked)
    })?;
    note!("  {blocked}");
    told_of(roll, pod)?;
    let left: Vec<Member> = {
        let pods = roll.pods()?;
        let replaced = roll.replaced(&pods);
        let members = roll.before.members.iter();
        members
            .filter(|m| !replaced.contains(&m.pod))
            .cloned()
            .collect()
    };
    roll.writer.await_progress(200)?;
    untouched(&roll.suite.kube, &left.iter().collect::<Vec<_>>())
}

/// The status and an Event name the member and its disk; the others are enough to go on.
fn while_growing(size: &mut Under<'_>, full: &Member) -> Outcome {
    let pod = full.pod.as_str();
    until("the size is reached beside the full one", TOLD_MAX, || {
        let resource = size.resource()?;
        fault(&resource, pod)?;
        has_quorum(&resource)?;
        let voters = &resource["status"]["replicas"];
        ensure(*voters == MANY, || format!("{voters} vote"))
    })?;
    told_of(size, pod)?;
    size.writer.await_progress(200)
}

fn told_of(under: &Under<'_>, pod: &str) -> Outcome {
    let resource = under.resource()?;
    note!("  {}", fault(&resource, pod)?);
    let events = ensemble::warnings(&under.suite.kube)?;
    ensure(
        events
            .iter()
            .any(|event| event.contains("MemberFault") && event.contains(pod)),
        || format!("no Event names the member: {events:?}"),
    )
}

fn has_quorum(resource: &Value) -> Outcome {
    match condition(resource, "QuorumAvailable") {
        Some((status, ..)) if status == "True" => Ok(()),
        other => Err(format!("{other:?}")),
    }
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
