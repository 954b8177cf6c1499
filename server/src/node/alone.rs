//! A standalone server's consensus: with itself. Epochs stay as they are on the disk.
//! Source: `ZooKeeperServer.java` setupRequestProcessors.

use crate::ids::Zxid;
use crate::zab::{Entry, Output};
use std::collections::VecDeque;

/// The order of a standalone server's transactions.
pub(super) struct Alone {
    last_proposed: Zxid,
    pending: VecDeque<Entry>,
}

impl Alone {
    /// Goes on behind `last_logged`.
    pub(super) fn new(last_logged: Zxid) -> Self {
        Alone {
            last_proposed: last_logged,
            pending: VecDeque::new(),
        }
    }

    pub(super) fn next_zxid(&self) -> Zxid {
        self.last_proposed.next()
    }

    pub(super) fn last_proposed(&self) -> Zxid {
        self.last_proposed
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn propose(&mut self, entry: Entry, out: &mut Vec<Output>) {
        self.last_proposed = entry.zxid;
        self.pending.push_back(entry.clone());
        out.push(Output::Append(entry));
    }

    pub(super) fn persisted(&mut self, zxid: Zxid, out: &mut Vec<Output>) {
        while let Some(entry) = self.pending.pop_front_if(|entry| entry.zxid <= zxid) {
            out.push(Output::Deliver(entry));
        }
    }
}
