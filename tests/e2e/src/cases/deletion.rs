//! Pods that are deleted, one after the other, under load.

use crate::Outcome;
use crate::ensemble::{self, Ensemble};
use crate::operator;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use crate::writer::{Writer, now};
use std::time::{Duration, Instant};

pub(super) fn case(suite: &mut Suite) -> Outcome {
    let first = suite.ensemble()?;
    suite.disturb();
    let warned = ensemble::warnings(&suite.kube)?;
    let writer = suite.writer(&first, "deletion", 150)?;
    let mut current = delete(suite, &writer, &first, &first.leader.clone(), "the leader")?;
    for member in &first.members {
        current = delete(suite, &writer, &current, &member.pod, "each in turn")?;
    }
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
    println!(
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
    pod: &str,
    which: &str,
) -> Outcome<Ensemble> {
    let uid = current.member(pod)?.uid.clone();
    let (began, started) = (now(), Instant::now());
    suite.kube.run(&["delete", "pod", pod, "--wait=false"])?;
    let after = ensemble::await_replaced(&suite.kube, &suite.environment, &[&uid])?;
    println!(
        "  {pod} ({which}) deleted and serving again after {:.1} s; longest gap {:.2} s",
        started.elapsed().as_secs_f32(),
        writer.longest_gap_since(began)
    );
    let replaced = after.member(pod)?;
    ensure(replaced.uid != uid, || {
        format!("{pod} is still the same pod")
    })?;
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
