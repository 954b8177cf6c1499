//! The order of each session, over all of its connections: positions never go back, a write comes
//! behind all that its session has seen, and an older write never behind a newer one.

use super::writes::Writes;
use crate::history::{Answer, History, Operation, Request};
use std::collections::BTreeMap;

/// Checks every session.
#[must_use]
pub fn check(history: &History, writes: &Writes<'_>) -> Vec<String> {
    let mut breaches = Vec::new();
    for client in &history.clients {
        let mut sessions: BTreeMap<i64, Vec<&Operation>> = BTreeMap::new();
        for operation in &client.operations {
            sessions
                .entry(operation.session)
                .or_default()
                .push(operation);
        }
        for operations in sessions.values() {
            check_positions(operations, &mut breaches);
            check_unknown_writes(operations, writes, &mut breaches);
        }
        for operation in &client.operations {
            check_answer(operation, &client.operations, &mut breaches);
        }
    }
    breaches
}

/// Replies come in the order of the requests, so what was sent is in the order of what came.
fn check_positions(operations: &[&Operation], breaches: &mut Vec<String>) {
    let mut seen: Option<(i64, u64)> = None;
    for operation in operations {
        let (Some((zxid, _)), Some(arrival)) = (operation.reply(), operation.arrival()) else {
            continue;
        };
        if let Some((before, arrived)) = seen {
            if arrival <= arrived {
                breaches.push(format!(
                    "answered before what was sent earlier: {operation:?}"
                ));
            }
            let forward = if operation.request.is_write() {
                zxid > before
            } else {
                zxid >= before
            };
            if !forward {
                breaches.push(format!("the session had seen {before:x}: {operation:?}"));
            }
        }
        seen = Some((zxid, arrival));
    }
}

/// A write that nobody answered, and that reads have seen, is ordered before every later write of its
/// session that was answered.
fn check_unknown_writes(
    operations: &[&Operation],
    writes: &Writes<'_>,
    breaches: &mut Vec<String>,
) {
    let mut next_answered: Option<(i64, &Operation)> = None;
    for operation in operations.iter().rev() {
        if !operation.request.is_write() {
            continue;
        }
        if let Some((zxid, _)) = operation.reply() {
            next_answered = Some((zxid, operation));
            continue;
        }
        let Request::Steps { steps, .. } = &operation.request else {
            continue;
        };
        let happened = steps
            .iter()
            .filter_map(|step| step.writes())
            .find_map(|value| writes.zxid_of.get(&value));
        if let (Some(zxid), Some((later, by))) = (happened, next_answered)
            && *zxid > later
        {
            breaches.push(format!(
                "{operation:?} happened at {zxid:x}, behind the later {by:?}"
            ));
        }
    }
}

/// Answers that can't be: each node of the ledger is created once, as is a session's ephemeral; and
/// the ephemeral of a session that is over is not seen behind a write.
fn check_answer(operation: &Operation, all: &[Operation], breaches: &mut Vec<String>) {
    match (&operation.request, operation.reply()) {
        (Request::Record { .. } | Request::Ephemeral, Some((_, Answer::Refused { .. }))) => {
            breaches.push(format!("created once, and there already: {operation:?}"));
        }
        (Request::Gone { fence, .. }, Some((_, Answer::Exists(true))))
            if all.get(*fence).is_some_and(Operation::is_done) =>
        {
            breaches.push(format!("its session is over: {operation:?}"));
        }
        _ => {}
    }
}
