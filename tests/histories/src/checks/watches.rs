//! A watch's event comes before anything that shows its session a state with the change in it.

use super::writes::Writes;
use crate::history::{
    Answer, ClientHistory, Event, History, Operation, Register, Request, StepResult,
};
use std::collections::BTreeMap;

/// Something that a client received.
enum Received<'a> {
    Reply(&'a Operation),
    Event(&'a Event),
}

/// Checks every watch.
#[must_use]
pub fn check(history: &History, writes: &Writes<'_>) -> Vec<String> {
    let mut breaches = Vec::new();
    for client in &history.clients {
        check_client(client, writes, &mut breaches);
    }
    breaches
}

fn check_client(client: &ClientHistory, writes: &Writes<'_>, breaches: &mut Vec<String>) {
    let mut received: BTreeMap<u64, Received<'_>> = BTreeMap::new();
    for operation in &client.operations {
        if let Some(arrival) = operation.arrival() {
            received.insert(arrival, Received::Reply(operation));
        }
    }
    for event in &client.events {
        received.insert(event.arrival, Received::Event(event));
    }
    // Each watch with the position that its session had when it was left.
    let mut session = 0;
    let mut watches: BTreeMap<Register, i64> = BTreeMap::new();
    for item in received.values() {
        let its_session = match item {
            Received::Reply(operation) => operation.session,
            Received::Event(event) => event.session,
        };
        if its_session != session {
            session = its_session;
            watches.clear();
        }
        match item {
            Received::Event(event) => {
                let left_at =
                    Register::of_path(&event.path).and_then(|register| watches.remove(&register));
                // Events that make up for lost time name no transaction.
                if let Some(left_at) = left_at
                    && event.zxid > 0
                    && event.zxid <= left_at
                {
                    breaches.push(format!("a watch left at {left_at:x} tells of {event:?}"));
                }
            }
            Received::Reply(operation) => {
                let Some((zxid, answer)) = operation.reply() else {
                    continue;
                };
                for (register, left_at) in &watches {
                    let changed = writes.next_change(*register, *left_at);
                    if let Some(changed) = changed.filter(|changed| *changed <= zxid) {
                        breaches.push(format!(
                            "a watch of {register:?}, left at {left_at:x}, has told nothing of \
                             {changed:x}: {operation:?}"
                        ));
                    }
                }
                if let (
                    Request::Steps {
                        group,
                        steps,
                        watch: true,
                        ..
                    },
                    Answer::Steps(results),
                ) = (&operation.request, answer)
                    && let ([step], [StepResult::Value(..)]) =
                        (steps.as_slice(), results.as_slice())
                {
                    let register = Register {
                        group: *group,
                        node: step.node(),
                    };
                    watches.entry(register).or_insert(zxid);
                }
            }
        }
    }
}
