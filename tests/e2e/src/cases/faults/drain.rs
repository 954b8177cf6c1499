//! A node is drained: the budgets and the planner take turns, and the status says throughout who is
//! away.

use super::{FEW, Middle, Under, disturb, is_ready};
use crate::Outcome;
use crate::ensemble::READY_MAX;
use crate::kube::condition;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use std::collections::BTreeSet;
use std::thread;

/// The longest time without an acknowledged write, in seconds.
const GAP_MAX: f64 = 10.0;

pub(crate) fn case(rolling: &mut Suite, sizing: &mut Suite) -> Outcome {
    disturb(rolling, sizing)?;
    let middle = Middle::reach(rolling, sizing, "drain", None)?;
    until("a restart uses the budget up", READY_MAX, || {
        let pods = middle.roll.pods()?;
        let serve = pods.iter().filter(|pod| is_ready(pod)).count();
        ensure(serve < FEW, || "everybody serves".to_owned())
    })?;
    middle.is()?;
    // The leader of the roll, which is still to be restarted, and the other one's members beside it.
    let roll = &middle.roll.before;
    let node = roll.member(&roll.leader)?.node.clone();
    let beside = pods_on(&middle.size, &node)?;
    let kube = rolling.kube.clone();
    let drained = node.clone();
    let drain = thread::spawn(move || {
        let flags = ["--ignore-daemonsets", "--delete-emptydir-data"];
        let drain = ["drain", &drained, "--timeout=120s"];
        kube.said(&[drain.as_slice(), &flags].concat())
    });
    middle.hold.release()?;
    let (mut of_roll, mut of_size) = (Told::default(), Told::default());
    let watched = until(
        "the drained members are told of, and the drain ends",
        READY_MAX,
        || {
            of_roll.look(&middle.roll)?;
            of_size.look(&middle.size)?;
            ensure(of_roll.names(&roll.leader), || format!("{of_roll:?}"))?;
            for pod in &beside {
                ensure(of_size.names(pod), || format!("{of_size:?}"))?;
            }
            ensure(drain.is_finished(), || "it goes on".to_owned())
        },
    );
    let drained = drain
        .join()
        .unwrap_or_else(|_| Err("the thread of the drain panicked".to_owned()));
    let ended = watched.and(drained).and_then(|said| {
        ensure(said.contains("disruption budget"), || {
            format!("the budget held nothing back: {said}")
        })?;
        for said in of_roll.0.iter().chain(&of_size.0) {
            note!("  {said}");
        }
        middle.end((GAP_MAX, GAP_MAX))?;
        for suite in [&*rolling, &*sizing] {
            let pods = suite.kube.list(&["pods"])?;
            ensure(
                pods.iter().all(|pod| pod["spec"]["nodeName"] != *node),
                || format!("{node} was drained, and has members"),
            )?;
        }
        Ok(())
    });
    // Whatever came of it: the cases after this one need the node.
    rolling.kube.run(&["uncordon", &node])?;
    ended
}

fn pods_on(under: &Under<'_>, node: &str) -> Outcome<Vec<String>> {
    let pods = under.pods()?;
    let on_node = pods.iter().filter(|pod| pod["spec"]["nodeName"] == node);
    Ok(on_node
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        .collect())
}

/// The reasons and messages of a Ready that was not true, while it was looked at.
#[derive(Debug, Default)]
struct Told(BTreeSet<String>);

impl Told {
    fn look(&mut self, under: &Under<'_>) -> Outcome {
        let resource = under.resource()?;
        if let Some((status, reason, message)) = condition(&resource, "Ready")
            && status != "True"
        {
            self.0.insert(format!("{reason}: {message}"));
        }
        Ok(())
    }

    /// Whether this pod was said not to serve, alone or among others.
    fn names(&self, pod: &str) -> bool {
        self.0.iter().any(|said| {
            said.split_once('(')
                .and_then(|(_, rest)| rest.split_once(')'))
                .is_some_and(|(who, _)| who.contains(" not") && who.contains(pod))
        })
    }
}
