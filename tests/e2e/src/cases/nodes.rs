//! Nodes that are drained, that die, and that are cut off, under a writer.

use crate::Outcome;
use crate::cases::deletion;
use crate::ensemble::{self, Ensemble, Member, NAME, READY_MAX};
use crate::kube::{Kube, condition};
use crate::operator;
use crate::suite::Suite;
use crate::wait::{ensure, given_the_load, until};
use crate::writer::{Writer, now};
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// The longest time without an acknowledged write while a node is gone, in seconds: a leader that
/// vanishes is missed only after syncLimit, and the Service leads clients to its pod, which answers
/// nothing, until Kubernetes misses the node after 20 s.
const GAP_MAX: f64 = 40.0;

/// A node is drained in the midst of a roll: the budget and the planner take turns, and the status
/// says throughout who is away.
pub(super) fn drain(suite: &mut Suite) -> Outcome {
    let before = suite.ensemble()?;
    suite.disturb();
    let writer = suite.writer(&before, "drain", 100)?;
    let began = now();
    let node = before.member(&before.leader)?.node.clone();
    let restart = format!(
        "zookeeper.ensemble.dev/restart=drain-{}",
        suite.kube.namespace
    );
    suite
        .kube
        .run(&["annotate", "zk", NAME, "--overwrite", &restart])?;
    until("the first member is restarted", READY_MAX, || {
        let first = away(&suite.kube, &before)?;
        ensure(!first.is_empty(), || "all are there".to_owned())
    })?;
    let kube = suite.kube.clone();
    let drained_node = node.clone();
    let drain = thread::spawn(move || {
        kube.said(&[
            "drain",
            &drained_node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--timeout=120s",
        ])
    });
    let mut told = Told::default();
    let watched = until(
        "the drained member is told of, and the drain ends",
        READY_MAX,
        || {
            told.look(&suite.kube)?;
            ensure(told.names(&before.leader), || format!("{told:?}"))?;
            ensure(drain.is_finished(), || "it goes on".to_owned())
        },
    );
    let drained = drain
        .join()
        .unwrap_or_else(|_| Err("the thread of the drain panicked".to_owned()));
    // Whatever came of it: the cases after this one need the node.
    let after = watched.and(drained).and_then(|said| {
        // The first member's restart had used the budget up when the drain began.
        ensure(said.contains("disruption budget"), || {
            format!("the budget held nothing back: {said}")
        })?;
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
    for said in &told.0 {
        println!("  {said}");
    }
    gap(&writer, began, 10.0)?;
    suite.finish(writer, &after).map(drop)
}

/// The reasons and messages of a Ready that was not true, while it was looked at.
#[derive(Debug, Default)]
struct Told(BTreeSet<String>);

impl Told {
    fn look(&mut self, kube: &Kube) -> Outcome {
        let resource = kube.get(&["zk", NAME])?;
        if let Some((status, reason, message)) = condition(&resource, "Ready")
            && status != "True"
        {
            self.0.insert(format!("{reason}: {message}"));
        }
        Ok(())
    }

    fn names(&self, pod: &str) -> bool {
        let away = format!("({pod} does not)");
        self.0.iter().any(|said| said.contains(&away))
    }
}

/// Those of the members whose pod of `before` is gone or not ready.
fn away(kube: &Kube, before: &Ensemble) -> Outcome<Vec<String>> {
    let pods = kube.list(&["pods"])?;
    let here = |member: &&Member| {
        !pods.iter().any(|pod| {
            pod["metadata"]["uid"] == member.uid.as_str()
                && pod["metadata"]["deletionTimestamp"].is_null()
                && condition(pod, "Ready").is_some_and(|(status, ..)| status == "True")
        })
    };
    let away = before.members.iter().filter(here);
    Ok(away.map(|member| member.pod.clone()).collect())
}

/// Every process of the leader's node ends at once, and three become five; the leader's node is cut
/// off (it runs on, and nobody hears it), and five become three.
pub(super) fn death_and_partition(suite: &mut Suite) -> Outcome {
    spread(suite)?;
    let before = suite.ensemble()?;
    suite.disturb();
    let mut writer = suite.writer(&before, "nodes", 100)?;
    let outcome = grow_and_shrink(suite, before, &mut writer);
    if outcome.is_err() {
        // The cases after this one want three.
        let _ = scale(suite, 3);
    }
    let after = outcome?;
    suite.finish(writer, &after).map(drop)
}

fn grow_and_shrink(suite: &Suite, three: Ensemble, writer: &mut Writer) -> Outcome<Ensemble> {
    let began = now();
    keep_the_operator_off(suite, &three.member(&three.leader)?.node)?;
    let five = during(suite, &three, writer, &Fault::Death, 5)?;
    gap(writer, began, GAP_MAX)?;

    let began = now();
    keep_the_operator_off(suite, &five.member(&five.leader)?.node)?;
    let three = during(suite, &five, writer, &Fault::Partition, 3)?;
    gap(writer, began, GAP_MAX)?;
    Ok(three)
}

/// What becomes of the leader's node.
enum Fault {
    Death,
    Partition,
}

/// The leader's node fails, and the size changes while it is away: a change that would leave no
/// quorum waits, and comes to its end once the node is mended.
fn during(
    suite: &Suite,
    before: &Ensemble,
    writer: &mut Writer,
    fault: &Fault,
    size: usize,
) -> Outcome<Ensemble> {
    let leader = before.member(&before.leader)?.clone();
    let (fail, mend) = match fault {
        Fault::Death => ("stop", "start"),
        Fault::Partition => ("isolate", "join"),
    };
    suite.node(fail, &leader.node)?;
    // Those who are on their way out may go meanwhile.
    let staying = Ensemble {
        members: before.members.iter().take(size).cloned().collect(),
        ..before.clone()
    };
    let seen = scale(suite, size)
        .and_then(|()| until_degraded(suite, &staying, &leader, writer))
        .and_then(|()| changing(suite));
    suite.node(mend, &leader.node)?;
    seen?;
    let started = Instant::now();
    let after = until("the change comes to its end", READY_MAX, || {
        let after = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
        ensure(after.members.len() == size, || {
            format!("{} members", after.members.len())
        })?;
        let pods = suite.kube.list(&["pods"])?;
        ensure(pods.len() == size, || format!("{} pods", pods.len()))?;
        Ok(after)
    })?;
    println!(
        "  {size} members serve {:.1} s after the node's return",
        started.elapsed().as_secs_f32()
    );
    // Those who stay have their ids and their volumes.
    deletion::same_disks(&staying, &after)?;
    Ok(after)
}

/// The status tells of the change, and what holds it up.
fn changing(suite: &Suite) -> Outcome {
    let resource = suite.kube.get(&["zk", NAME])?;
    println!("  blocked by {}", resource["status"]["blockedBy"]);
    match condition(&resource, "Progressing") {
        Some((status, reason, message)) if status == "True" => {
            println!("  {reason}: {message}");
            Ok(())
        }
        other => Err(format!("the change is not told of: {other:?}")),
    }
}

fn scale(suite: &Suite, members: usize) -> Outcome {
    let replicas = format!("--replicas={members}");
    suite
        .kube
        .run(&["scale", &format!("zk/{NAME}"), &replicas])
        .map(drop)
}

/// The status names another leader, the quorum and the missing member, and the writer goes on.
fn until_degraded(suite: &Suite, before: &Ensemble, lost: &Member, writer: &mut Writer) -> Outcome {
    let pod = lost.pod.as_str();
    let message = until(
        "another member leads and the lost one is named",
        Duration::from_secs(60),
        || {
            let resource = suite.kube.get(&["zk", NAME])?;
            let leader = &resource["status"]["leader"];
            ensure(leader != pod && leader.is_string(), || {
                format!("the leader is {leader}")
            })?;
            let quorum = condition(&resource, "QuorumAvailable");
            ensure(quorum.as_ref().is_some_and(|(s, ..)| s == "True"), || {
                format!("{quorum:?}")
            })?;
            match condition(&resource, "Ready") {
                Some((status, _, message)) if status == "False" && message.contains(pod) => {
                    Ok(message)
                }
                other => Err(format!("{other:?}")),
            }
        },
    )?;
    println!("  {message}");
    writer.await_progress(100)?;
    let others = before.members.iter();
    for member in others.filter(|member| member.node != lost.node) {
        let pod = suite.kube.get(&["pod", &member.pod])?;
        ensure(pod["metadata"]["uid"] == member.uid, || {
            format!("{} was restarted although it was well", member.pod)
        })?;
    }
    Ok(())
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
