//! A member's log as consensus sees it: where it ends, what of it is committed and durable.

use crate::ids::Zxid;
use bytes::Bytes;
use std::collections::VecDeque;

/// A transaction at its position, opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub zxid: Zxid,
    /// Header, transaction and digest, as in a proposal and in the log.
    pub payload: Bytes,
}

/// The log's positions and its newest end.
#[derive(Debug)]
pub struct History {
    /// Committed and delivered, oldest first, at most `recent_max`.
    recent: VecDeque<Entry>,
    recent_max: usize,
    /// Logged behind `committed`, oldest first.
    pending: VecDeque<Entry>,
    /// The end of the log; `None` for a disk never initialised.
    last_logged: Option<Zxid>,
    /// Everything up to here has been delivered.
    committed: Zxid,
    /// Everything up to here is durable.
    persisted: Zxid,
    /// The log on disk is known to reach back to here: it can be cut here or behind, but not before.
    floor: Zxid,
}

impl History {
    pub(super) fn new(last_logged: Option<Zxid>, recent: Vec<Entry>, recent_max: usize) -> Self {
        let end = last_logged.unwrap_or(Zxid::ZERO);
        let floor = recent.first().map_or(end, |entry| entry.zxid);
        let mut history = History {
            floor,
            recent: recent.into(),
            recent_max,
            pending: VecDeque::new(),
            last_logged,
            committed: end,
            persisted: end,
        };
        history.forget_oldest();
        history
    }

    /// The end of the log; `None` for a disk never initialised, -1 on the wire.
    #[must_use]
    pub fn last_logged(&self) -> Option<Zxid> {
        self.last_logged
    }

    /// The end of the log, 0 where there is none.
    #[must_use]
    pub fn end(&self) -> Zxid {
        self.last_logged.unwrap_or(Zxid::ZERO)
    }

    /// The last transaction delivered to the tree.
    #[must_use]
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// The last durable transaction.
    #[must_use]
    pub fn durable(&self) -> Zxid {
        self.persisted
    }

    /// Whether all of the log is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.persisted >= self.end()
    }

    /// Committed transactions in memory, oldest first.
    #[must_use]
    pub fn recent(&self) -> &VecDeque<Entry> {
        &self.recent
    }

    /// Logged and not committed yet, oldest first.
    #[must_use]
    pub fn pending(&self) -> &VecDeque<Entry> {
        &self.pending
    }

    pub(super) fn append(&mut self, entry: Entry) {
        self.last_logged = Some(entry.zxid);
        self.pending.push_back(entry);
    }

    pub(super) fn persisted(&mut self, zxid: Zxid) {
        // A word about entries that have been cut off meanwhile says nothing about those we have.
        self.persisted = self.persisted.max(zxid.min(self.end()));
    }

    /// Commits the oldest pending entry and returns it.
    pub(super) fn commit_next(&mut self) -> Option<Entry> {
        let entry = self.pending.pop_front()?;
        self.committed = entry.zxid;
        self.recent.push_back(entry.clone());
        self.forget_oldest();
        Some(entry)
    }

    /// Whether the log is known to reach back to `to`. A snapshot that came from a leader may hold
    /// transactions behind `to` that nothing can take out again.
    pub(super) fn can_truncate(&self, to: Zxid) -> bool {
        to >= self.floor
    }

    /// Cuts everything behind `to`. True where delivered transactions were among it.
    pub(super) fn truncate(&mut self, to: Zxid) -> bool {
        while self.pending.back().is_some_and(|entry| entry.zxid > to) {
            self.pending.pop_back();
        }
        while self.recent.back().is_some_and(|entry| entry.zxid > to) {
            self.recent.pop_back();
        }
        let undelivers = self.committed > to;
        self.last_logged = Some(to.min(self.end()));
        self.committed = self.committed.min(to);
        // Cutting leaves a durable log; words about the appends before it are not waited for.
        self.persisted = self.end();
        undelivers
    }

    /// Counts as a disk that was never initialised from here on.
    pub(super) fn forget(&mut self) {
        self.reset(Zxid::ZERO);
        self.last_logged = None;
    }

    /// Starts anew behind a snapshot.
    pub(super) fn reset(&mut self, zxid: Zxid) {
        self.recent.clear();
        self.pending.clear();
        self.last_logged = Some(zxid);
        self.committed = zxid;
        self.persisted = zxid;
        self.floor = zxid;
    }

    fn forget_oldest(&mut self) {
        while self.recent.len() > self.recent_max {
            self.recent.pop_front();
        }
    }

    pub(super) fn invariants(&self) -> Result<(), String> {
        let end = self.end();
        if self.committed > end || self.persisted > end {
            return Err(format!(
                "committed {} or persisted {} is past the log's end {end}",
                self.committed, self.persisted
            ));
        }
        if let Some(front) = self.pending.front()
            && front.zxid <= self.committed
        {
            return Err(format!(
                "pending {} is committed already ({})",
                front.zxid, self.committed
            ));
        }
        Ok(())
    }
}
