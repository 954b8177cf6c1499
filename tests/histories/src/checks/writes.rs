//! What is known of all writes to registers: from their own replies, and from reads that saw them.

use crate::history::{Answer, History, Operation, Register, Request, Step, StepResult};
use std::collections::{BTreeMap, HashMap};

/// What a transaction left in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This value.
    Value(u64),
    /// No node.
    Deleted,
}

/// All writes, by value and by register.
#[derive(Debug, Default)]
pub struct Writes<'a> {
    /// Who wrote a value.
    pub writer: HashMap<u64, &'a Operation>,
    /// The transaction that wrote a value, where that is known.
    pub zxid_of: HashMap<u64, i64>,
    /// What is known to have happened to a register, in order.
    pub changes: HashMap<Register, BTreeMap<i64, Effect>>,
    /// Deletions of a register that may have happened, by when they were asked for.
    pub maybe_deleted: HashMap<Register, Vec<u64>>,
    /// Replies that contradict each other.
    pub contradictions: Vec<String>,
}

impl<'a> Writes<'a> {
    /// Collects them.
    #[must_use]
    pub fn of(history: &'a History) -> Self {
        let mut writes = Writes::default();
        for operation in history.operations() {
            writes.note_write(operation);
        }
        for operation in history.operations() {
            writes.note_seen(operation);
        }
        writes
    }

    fn note_write(&mut self, operation: &'a Operation) {
        let Request::Steps { group, steps, .. } = &operation.request else {
            return;
        };
        for step in steps {
            let register = Register {
                group: *group,
                node: step.node(),
            };
            if let Some(value) = step.writes() {
                self.writer.insert(value, operation);
            }
            let effect = match step {
                Step::Create { value, .. } | Step::Set { value, .. } => Effect::Value(*value),
                Step::Delete { .. } => Effect::Deleted,
                Step::Check { .. } | Step::Get { .. } => continue,
            };
            match operation.reply() {
                Some((zxid, Answer::Steps(_))) => {
                    if let Effect::Value(value) = effect {
                        self.zxid_of.insert(value, zxid);
                    }
                    self.changes
                        .entry(register)
                        .or_default()
                        .insert(zxid, effect);
                }
                Some(_) => {}
                None if effect == Effect::Deleted => {
                    let asked = self.maybe_deleted.entry(register).or_default();
                    asked.push(operation.call);
                }
                None => {}
            }
        }
    }

    /// A read tells which transaction wrote what it saw.
    fn note_seen(&mut self, operation: &Operation) {
        let Request::Steps { group, steps, .. } = &operation.request else {
            return;
        };
        let Some((_, Answer::Steps(results))) = operation.reply() else {
            return;
        };
        for (step, result) in steps.iter().zip(results) {
            let (Step::Get { node }, StepResult::Value(value, stat)) = (step, result) else {
                continue;
            };
            let register = Register {
                group: *group,
                node: *node,
            };
            let known = *self.zxid_of.entry(*value).or_insert(stat.mzxid);
            if known != stat.mzxid {
                self.contradictions.push(format!(
                    "{value} was written by {known:x} and, says a read, by {:x}: {operation:?}",
                    stat.mzxid
                ));
            }
            self.changes
                .entry(register)
                .or_default()
                .insert(stat.mzxid, Effect::Value(*value));
        }
    }

    /// The last known change of a register up to a position.
    #[must_use]
    pub fn last_change(&self, register: Register, up_to: i64) -> Option<(i64, Effect)> {
        let changes = self.changes.get(&register)?;
        let (zxid, effect) = changes.range(..=up_to).next_back()?;
        Some((*zxid, *effect))
    }

    /// The first known change of a register behind a position.
    #[must_use]
    pub fn next_change(&self, register: Register, behind: i64) -> Option<i64> {
        let changes = self.changes.get(&register)?;
        let (zxid, _) = changes.range(behind.saturating_add(1)..).next()?;
        Some(*zxid)
    }
}
