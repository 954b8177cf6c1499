//! An image that does not exist: one member is lost to it, and no more.

use crate::Outcome;
use crate::cases::deletion::same_disks;
use crate::ensemble::{self, NAME, READY_MAX};
use crate::kube::condition;
use crate::operator;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use crate::writer::now;
use std::time::{Duration, Instant};

const TAKE_BACK: &str = r#"{"spec":{"image":null}}"#;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let outcome = roll(suite);
    if outcome.is_err() {
        // The cases after this one are about something else. Whether it works tells the next of them.
        let _ = suite
            .kube
            .run(&["patch", "zk", NAME, "--type=merge", "--patch", TAKE_BACK]);
    }
    outcome
}

fn roll(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let writer = suite.writer(&before, "image", 100)?;
    let began = now();
    let patch = r#"{"spec":{"image":"ensemble.dev/zookeeper:does-not-exist"}}"#;
    suite
        .kube
        .run(&["patch", "zk", NAME, "--type=merge", "--patch", patch])?;
    let message = until("the conditions tell of the image", READY_MAX, || {
        let resource = suite.kube.get(&["zk", NAME])?;
        let found = condition(&resource, "Degraded");
        match &found {
            Some((status, reason, message)) if status == "True" && reason == "MemberCannotRun" => {
                Ok(message.clone())
            }
            _ => Err(format!("{found:?}")),
        }
    })?;
    println!("  {message}");
    ensure(
        message.contains("Image") && message.contains("does-not-exist"),
        || format!("the condition does not tell what is wrong: {message}"),
    )?;
    // It had more chances to go on, and did not take them.
    let passes = operator::passes(&suite.kube, &suite.environment)?;
    suite.await_passes(passes, 3, Duration::from_secs(60))?;
    let resource = suite.kube.get(&["zk", NAME])?;
    for (type_, wanted) in [
        ("Ready", "False"),
        ("Progressing", "True"),
        ("Degraded", "True"),
        ("QuorumAvailable", "True"),
    ] {
        let found = condition(&resource, type_);
        ensure(
            found.as_ref().is_some_and(|(status, ..)| status == wanted),
            || format!("{type_} is {found:?}"),
        )?;
    }
    let mut replaced = Vec::new();
    for member in &before.members {
        if suite.kube.get(&["pod", &member.pod])?["metadata"]["uid"] != member.uid {
            replaced.push(member.pod.clone());
        }
    }
    ensure(replaced.len() == 1 && replaced[0] != before.leader, || {
        format!("{replaced:?} were replaced, while {} led", before.leader)
    })?;

    let healing = Instant::now();
    suite
        .kube
        .run(&["patch", "zk", NAME, "--type=merge", "--patch", TAKE_BACK])?;
    let after = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
    println!(
        "  healed in {:.1} s; longest gap between two writes {:.2} s",
        healing.elapsed().as_secs_f32(),
        writer.longest_gap_since(began)
    );
    for member in before
        .members
        .iter()
        .filter(|member| !replaced.contains(&member.pod))
    {
        let now = after.member(&member.pod)?;
        ensure(now == member, || {
            format!("{} was touched: {now:?}", member.pod)
        })?;
    }
    same_disks(&before, &after)?;
    suite.finish(writer, &after).map(drop)
}
