//! The order of transactions is one, it agrees with the clocks on the wall, and reads show states of
//! it. The zxids in the replies say which order; [`super::linear`] believes none of them.

use super::writes::{Effect, Writes};
use crate::history::{Answer, History, Nanos, Operation, Register, Request, Step, StepResult};
use std::collections::BTreeMap;

/// No two writes have one zxid, and a write that was answered before another was asked for has the
/// smaller one.
#[must_use]
pub fn check(history: &History) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut by_zxid: BTreeMap<i64, &Operation> = BTreeMap::new();
    let writes = history
        .operations()
        .filter(|operation| operation.request.is_write());
    for operation in writes {
        let Some((zxid, _)) = operation.reply() else {
            continue;
        };
        if let Some(other) = by_zxid.insert(zxid, operation) {
            breaches.push(format!(
                "two writes at {zxid:x}: {other:?} and {operation:?}"
            ));
        }
    }
    // Backwards through the order: whatever comes later must not have been answered before this
    // one was asked for.
    let mut earliest: Option<(u64, &Operation)> = None;
    for operation in by_zxid.values().rev() {
        if let Some((answered, later)) = earliest
            && answered < operation.call
        {
            breaches.push(format!(
                "{later:?} was answered before {operation:?} was asked, and is ordered behind it"
            ));
        }
        let at = operation.answered_at().unwrap_or(u64::MAX);
        if earliest.is_none_or(|(answered, _)| at < answered) {
            earliest = Some((at, operation));
        }
    }
    breaches
}

/// Every read, wherever it was asked, shows each register as the transactions up to the reply's zxid
/// left it: no value that nobody wrote, none that was replaced by then, none from later.
#[must_use]
pub fn check_reads(history: &History, writes: &Writes<'_>) -> Vec<String> {
    let mut breaches = Vec::new();
    for operation in history.operations() {
        let Request::Steps { group, steps, .. } = &operation.request else {
            continue;
        };
        let Some((zxid, Answer::Steps(results))) = operation.reply() else {
            continue;
        };
        for (step, result) in steps.iter().zip(results) {
            let Step::Get { node } = step else { continue };
            let register = Register {
                group: *group,
                node: *node,
            };
            let at = operation.answered_at().unwrap_or(u64::MAX);
            if let Some(what) = check_read(register, zxid, at, *result, writes) {
                breaches.push(format!("{what}: {operation:?}"));
            }
        }
    }
    breaches
}

/// What is wrong with reading `result` from a member at `zxid`, having heard of it at `at`.
pub(super) fn check_read(
    register: Register,
    zxid: i64,
    at: Nanos,
    result: StepResult,
    writes: &Writes<'_>,
) -> Option<String> {
    let last = writes.last_change(register, zxid);
    match result {
        StepResult::Value(value, stat) => {
            let Some(writer) = writes.writer.get(&value) else {
                return Some(format!("{value} was never written"));
            };
            if writer.reply().is_some() && !writer.is_done() {
                return Some(format!("{value} was refused, and is there"));
            }
            if writer.call > at {
                return Some(format!("{value} was read before it was written"));
            }
            if stat.mzxid > zxid {
                return Some(format!("a member at {zxid:x} shows {:x}", stat.mzxid));
            }
            match last {
                Some((changed, effect)) if changed > stat.mzxid => Some(format!(
                    "{value} of {:x} was replaced at {changed:x} by {effect:?}",
                    stat.mzxid
                )),
                _ => None,
            }
        }
        StepResult::Missing => {
            let (changed, Effect::Value(value)) = last? else {
                return None;
            };
            let asked = writes.maybe_deleted.get(&register);
            let maybe = asked.is_some_and(|asked| asked.iter().any(|call| *call < at));
            (!maybe).then(|| format!("{value} of {changed:x} is lost"))
        }
        _ => None,
    }
}
