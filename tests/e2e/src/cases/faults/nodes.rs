//! A node whose power fails, and one that is cut off: it runs on, and nobody hears it.

use super::{FEW, Middle, Under, at_once, disturb, few, untouched};
use crate::Outcome;
use crate::ensemble::{self, Ensemble, Member, READY_MAX};
use crate::kube::{Kube, condition};
use crate::operator;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The longest time without an acknowledged write while a node is gone, in seconds: a leader that
/// vanishes is missed only after syncLimit, and the Service leads clients to its pod, which answers
/// nothing, until Kubernetes misses the node after 20 s.
const GAP_MAX: f64 = 40.0;

/// What becomes of a node, and what undoes it.
struct Fault {
    root: &'static str,
    fail: &'static str,
    mend: &'static str,
}

const DEATH: Fault = Fault {
    root: "death",
    fail: "stop",
    mend: "start",
};

const PARTITION: Fault = Fault {
    root: "partition",
    fail: "isolate",
    mend: "join",
};

/// The node of the leader that is still to be restarted.
pub(crate) fn death(rolling: &mut Suite, sizing: &mut Suite) -> Outcome {
    let (ready, _) = prepare(rolling, sizing)?;
    case(rolling, sizing, &ready, &DEATH)
}

/// The node of the leader that others join.
pub(crate) fn partition(rolling: &mut Suite, sizing: &mut Suite) -> Outcome {
    let (_, ready) = prepare(rolling, sizing)?;
    case(rolling, sizing, &ready, &PARTITION)
}

/// Three members of each ensemble, each on a node of its own.
fn prepare(rolling: &mut Suite, sizing: &mut Suite) -> Outcome<(Ensemble, Ensemble)> {
    disturb(rolling, sizing)?;
    at_once(|| spread(rolling), || spread(sizing))
}

/// The node of this one's leader suffers.
fn case(rolling: &Suite, sizing: &Suite, ready: &Ensemble, fault: &Fault) -> Outcome {
    let node = ready.member(&ready.leader)?.node.as_str();
    let kube = &rolling.kube;
    kube.run(&["cordon", node])?;
    let moved = keep_the_operator_off(kube, node);
    kube.run(&["uncordon", node])?;
    moved?;
    let mut middle = Middle::reach(rolling, sizing, fault.root, Some(node))?;
    rolling.node(fault.fail, node)?;
    // The growth goes on meanwhile, and the roll does not.
    let seen = middle
        .hold
        .release()
        .and_then(|()| {
            at_once(
                || missed(&mut middle.roll, node),
                || missed(&mut middle.size, node),
            )
        })
        .and_then(|_| held(&middle.roll));
    rolling.node(fault.mend, node)?;
    seen?;
    let mended = Instant::now();
    middle.end((GAP_MAX, GAP_MAX))?;
    note!(
        "  both are as they should be {:.1} s after the node's return",
        mended.elapsed().as_secs_f32()
    );
    Ok(())
}

/// The status names the missing member, another leader and the quorum, and the writer goes on.
fn missed(under: &mut Under<'_>, node: &str) -> Outcome {
    let lost: Vec<Member> = under
        .before
        .members
        .iter()
        .filter(|m| m.node == node)
        .cloned()
        .collect();
    let [lost] = lost.as_slice() else {
        return Err(format!("{} members were on {node}", lost.len()));
    };
    let pod = lost.pod.as_str();
    let message = until(
        "another member leads and the lost one is named",
        Duration::from_secs(60),
        || {
            let resource = under.resource()?;
            let leader = &resource["status"]["leader"];
            ensure(leader != pod && leader.is_string(), || {
                format!("the leader is {leader}")
            })?;
            let quorum = condition(&resource, "QuorumAvailable");
            ensure(quorum.as_ref().is_some_and(|(s, ..)| s == "True"), || {
                format!("{quorum:?}")
            })?;
            match condition(&resource, "Ready") {
                Some((status, reason, message)) if status == "False" && message.contains(pod) => {
                    Ok(format!("{reason}: {message}"))
                }
                other => Err(format!("{other:?}")),
            }
        },
    )?;
    note!("  {message}");
    under.writer.await_progress(100)
}

/// A roll takes nobody while a member is missing.
fn held(roll: &Under<'_>) -> Outcome {
    let kube = &roll.suite.kube;
    let pods = roll.pods()?;
    let replaced = roll.replaced(&pods);
    let left: Vec<&Member> = roll
        .before
        .members
        .iter()
        .filter(|m| !replaced.contains(&m.pod))
        .collect();
    let blocked = until("the roll says what holds it", READY_MAX, || {
        let resource = roll.resource()?;
        let blocked = &resource["status"]["blockedBy"];
        ensure(blocked.is_array(), || format!("{resource}"))?;
        Ok::<Value, String>(blocked.clone())
    })?;
    note!("  blocked by {blocked}");
    let passes = operator::passes(kube, &roll.suite.environment)?;
    roll.suite
        .await_passes(passes, 4, Duration::from_secs(60))?;
    untouched(kube, &left)
}

/// An operator that is gone as well could say nothing.
fn keep_the_operator_off(kube: &Kube, node: &str) -> Outcome {
    let namespace = ["--namespace", operator::NAMESPACE];
    for pod in kube.list(&["pods", "--namespace", operator::NAMESPACE])? {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        if pod["spec"]["nodeName"] == node {
            kube.run(&[["delete", "pod", name].as_slice(), &namespace].concat())?;
        }
    }
    let deployment = format!("deployment/{}", operator::RELEASE);
    let wait = ["rollout", "status", &deployment, "--timeout=120s"];
    kube.run(&[wait.as_slice(), &namespace].concat()).map(drop)
}

/// One member on each node: those that share one are moved first.
fn spread(suite: &Suite) -> Outcome<Ensemble> {
    few(suite)?;
    until("every member has a node of its own", READY_MAX, || {
        let ensemble = ensemble::await_ensemble(&suite.kube, &suite.environment)?;
        ensure(ensemble.members.len() == FEW, || {
            format!("{:?}", ensemble.members)
        })?;
        let shared = ensemble.members.iter().find(|member| {
            let others = ensemble.members.iter();
            others.filter(|other| other.node == member.node).count() > 1
        });
        let Some(member) = shared else {
            return Ok(ensemble);
        };
        suite.kube.run(&["delete", "pod", &member.pod])?;
        Err(format!("{} shared {}", member.pod, member.node))
    })
}
