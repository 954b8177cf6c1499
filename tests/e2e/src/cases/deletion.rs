//! Pods that are deleted, one after the other, under load.

use crate::Outcome;
use crate::ensemble::{self, Ensemble};
use crate::operator;
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load, until};
use crate::writer::{Writer, now};
use std::time::{Duration, Instant};

/// The longest time without an acknowledged write while two of three are asked to stop, in seconds.
const GAP_MAX: f64 = 1.0;

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let first = suite.ensemble()?;
    suite.disturb();
    let warned = ensemble::warnings(&suite.kube)?;
    let writer = suite.writer(&first, "deletion", 150)?;
    let leader = first.leader.clone();
    let current = delete(suite, &writer, &first, &[&leader], "the leader")?;
    let others = first.members.iter().map(|member| member.pod.as_str());
    let others: Vec<&str> = others.filter(|pod| *pod != leader).collect();
    let began = now();
    let current = delete(suite, &writer, &current, &others, "two of three at once")?;
    // One goes first: the other is held until that one is back, for the quorum's sake.
    let gap = writer.longest_gap_since(began);
    ensure(gap < given_the_load(GAP_MAX), || {
        format!("two of three were deleted at once, and no write succeeded for {gap:.2} s")
    })?;
    let began = now();
    let operators = operator::pods(&suite.kube)?;
    for pod in &operators {
        suite.kube.run(&[
            "delete",
            "pod",
            pod,
            "--namespace",
            operator::NAMESPACE,
            "--timeout=60s",
            "--ignore-not-found",
        ])?;
    }
    until(
        "another operator pod works",
        Duration::from_secs(60),
        || {
            let pods = operator::pods(&suite.kube)?;
            ensure(pods.iter().all(|pod| !operators.contains(pod)), || {
                format!("{pods:?}")
            })?;
            let passes = operator::passes(&suite.kube, &suite.environment)?;
            ensure(passes > 0, || "it has made no pass yet".to_owned())
        },
    )?;
    note!(
        "  longest gap while the operator was gone: {:.2} s",
        writer.longest_gap_since(began)
    );
    let last = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
    same_disks(&first, &last)?;
    ensure(last.members == current.members, || {
        "the new operator restarted a member".to_owned()
    })?;
    ensemble::no_warning_since(&suite.kube, &warned)?;
    suite.finish(writer, &last).map(drop)
}

fn delete(
    suite: &Suite,
    writer: &Writer,
    current: &Ensemble,
    pods: &[&str],
    which: &str,
) -> Outcome<Ensemble> {
    let mut gone = Vec::new();
    for pod in pods {
        gone.push(current.member(pod)?.uid.as_str());
    }
    let (began, started) = (now(), Instant::now());
    let mut command = vec!["delete", "pod", "--wait=false"];
    command.extend(pods);
    suite.kube.run(&command)?;
    let after = ensemble::await_replaced(&suite.kube, &suite.environment, &gone)?;
    note!(
        "  {} ({which}) deleted and serving again after {:.1} s; longest gap {:.2} s",
        pods.join(", "),
        started.elapsed().as_secs_f32(),
        writer.longest_gap_since(began)
    );
    for (pod, uid) in pods.iter().zip(gone) {
        let replaced = after.member(pod)?;
        ensure(replaced.uid != uid, || {
            format!("{pod} is still the same pod")
        })?;
    }
    same_disks(current, &after)?;
    Ok(after)
}

/// Every pod has the server id and the very volume it had before.
pub(super) fn same_disks(before: &Ensemble, after: &Ensemble) -> Outcome {
    for member in &before.members {
        let now = after.member(&member.pod)?;
        ensure(now.id == member.id, || {
            format!(
                "{} was server {}, now it is {}",
                member.pod, member.id, now.id
            )
        })?;
        ensure(now.volume == member.volume, || {
            format!(
                "{} had the volume {:?}, now it has {:?}",
                member.pod, member.volume, now.volume
            )
        })?;
    }
    Ok(())
}
