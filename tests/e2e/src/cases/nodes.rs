//! Nodes that are drained, that die, and that are cut off, under a writer.

use crate::Outcome;
use crate::ensemble::{self, Ensemble, NAME, READY_MAX};
use crate::kube::condition;
use crate::operator;
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load, until};
use crate::writer::{Writer, now};
use std::time::{Duration, Instant};

/// The longest time without an acknowledged write while one member of three is gone, in seconds: a
/// leader that vanishes is missed only after syncLimit.
const GAP_MAX: f64 = 25.0;

/// A drain under way when a roll begins: the budget and the planner take turns.
pub(super) fn drain(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let writer = suite.writer(&before, "drain", 100)?;
    let began = now();
    let node = before.members[0].node.clone();
    let restart = format!("zookeeper.ensemble.dev/restart={}", suite.kube.namespace);
    suite.kube.run(&["annotate", "zk", NAME, &restart])?;
    let drained = suite.kube.run(&[
        "drain",
        &node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=120s",
    ]);
    // Whatever came of it: the cases after this one need the node.
    let after = drained.and_then(|_| {
        let gone: Vec<&str> = before.members.iter().map(|m| m.uid.as_str()).collect();
        let after = ensemble::await_replaced(&suite.kube, &suite.environment, &gone)?;
        ensure(
            after.members.iter().all(|member| member.node != node),
            || format!("{node} was drained, and has members"),
        )?;
        Ok(after)
    });
    suite.kube.run(&["uncordon", &node])?;
    let after = after?;
    gap(&writer, began, 10.0)?;
    suite.finish(writer, &after).map(drop)
}

/// Every process of a node ends at once, the leader's among them; later the node comes back.
pub(super) fn death(suite: &mut Suite) -> Outcome {
    spread(suite)?;
    let before = suite.ensemble()?;
    suite.disturb();
    let mut writer = suite.writer(&before, "death", 100)?;
    let leader = before.member(&before.leader)?.clone();
    let began = now();
    suite.node("stop", &leader.node)?;
    let seen = until_degraded(suite, &before, &leader.pod, &mut writer);
    suite.node("start", &leader.node)?;
    seen?;
    let after = recovered(suite, "the member of the dead node serves again")?;
    gap(&writer, began, GAP_MAX)?;
    suite.finish(writer, &after).map(drop)
}

/// The leader's node is cut off: it runs on, and nobody hears it.
pub(super) fn partition(suite: &mut Suite) -> Outcome {
    spread(suite)?;
    let before = suite.ensemble()?;
    suite.disturb();
    let mut writer = suite.writer(&before, "partition", 100)?;
    let leader = before.member(&before.leader)?.clone();
    keep_the_operator_off(suite, &leader.node)?;
    let began = now();
    suite.node("isolate", &leader.node)?;
    let seen = until_degraded(suite, &before, &leader.pod, &mut writer);
    suite.node("join", &leader.node)?;
    seen?;
    let after = recovered(suite, "the member that was cut off serves again")?;
    let back = after.member(&leader.pod)?;
    ensure(back.uid == leader.uid || back.id == leader.id, || {
        format!("{back:?}")
    })?;
    gap(&writer, began, GAP_MAX)?;
    suite.finish(writer, &after).map(drop)
}

/// The status names another leader, the quorum and the missing member, and the writer goes on.
fn until_degraded(suite: &Suite, before: &Ensemble, lost: &str, writer: &mut Writer) -> Outcome {
    let message = until(
        "another member leads and the lost one is named",
        Duration::from_secs(60),
        || {
            let resource = suite.kube.get(&["zk", NAME])?;
            let leader = &resource["status"]["leader"];
            ensure(leader != lost && leader.is_string(), || {
                format!("the leader is {leader}")
            })?;
            let quorum = condition(&resource, "QuorumAvailable");
            ensure(quorum.as_ref().is_some_and(|(s, ..)| s == "True"), || {
                format!("{quorum:?}")
            })?;
            match condition(&resource, "Ready") {
                Some((status, _, message)) if status == "False" && message.contains(lost) => {
                    Ok(message)
                }
                other => Err(format!("{other:?}")),
            }
        },
    )?;
    println!("  {message}");
    writer.await_progress(100)?;
    for member in before.members.iter().filter(|member| member.pod != lost) {
        let pod = suite.kube.get(&["pod", &member.pod])?;
        ensure(pod["metadata"]["uid"] == member.uid, || {
            format!("{} was restarted although it was well", member.pod)
        })?;
    }
    Ok(())
}

fn recovered(suite: &Suite, what: &str) -> Outcome<Ensemble> {
    let started = Instant::now();
    let after = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
    println!("  {what} {:.1} s later", started.elapsed().as_secs_f32());
    Ok(after)
}

fn gap(writer: &Writer, began: f64, max: f64) -> Outcome {
    let gap = writer.longest_gap_since(began);
    println!("  longest gap between two writes {gap:.2} s");
    ensure(gap < given_the_load(max), || {
        format!("no write was acknowledged for {gap:.1} s")
    })
}

/// An operator that is cut off as well could say nothing.
fn keep_the_operator_off(suite: &Suite, node: &str) -> Outcome {
    let kube = &suite.kube;
    kube.run(&["cordon", node])?;
    let moved = (|| {
        for pod in kube.list(&["pods", "--namespace", operator::NAMESPACE])? {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            if pod["spec"]["nodeName"] == node {
                let namespace = ["--namespace", operator::NAMESPACE];
                kube.run(&[["delete", "pod", name].as_slice(), &namespace].concat())?;
            }
        }
        let deployment = format!("deployment/{}", operator::RELEASE);
        let namespace = ["--namespace", operator::NAMESPACE, "--timeout=120s"];
        kube.run(
            &[
                ["rollout", "status", deployment.as_str()].as_slice(),
                &namespace,
            ]
            .concat(),
        )
        .map(drop)
    })();
    kube.run(&["uncordon", node])?;
    moved
}

/// One member on each node: those that share one are moved first.
fn spread(suite: &mut Suite) -> Outcome {
    suite.apply_example()?;
    until("every member has a node of its own", READY_MAX, || {
        let ensemble = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
        let shared = ensemble.members.iter().find(|member| {
            let others = ensemble.members.iter();
            others.filter(|other| other.node == member.node).count() > 1
        });
        let Some(member) = shared else {
            return Ok(());
        };
        suite.kube.run(&["delete", "pod", &member.pod])?;
        Err(format!("{} shared {}", member.pod, member.node))
    })
}
