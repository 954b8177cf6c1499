//! A member's disk: what a crash leaves of a log whose end was not synced.

use super::random::Random;
use std::rc::Rc;
use zookeeper_server::ids::{Epoch, Zxid};
use zookeeper_server::zab::{Durable, Entry};

/// A state of the tree: all that was ever applied to it, in order.
pub(crate) type Tree = Vec<Entry>;

/// Epoch files and snapshots are durable at once, the log once it is synced.
pub(crate) struct Disk {
    /// False for an empty disk without the `initialize` marker.
    initialized: bool,
    pub(crate) accepted_epoch: Epoch,
    pub(crate) current_epoch: Epoch,
    /// The newest snapshot and its position.
    snapshot: (Zxid, Rc<Tree>),
    /// The log behind the snapshot.
    log: Vec<Entry>,
    /// How many entries of the log are synced.
    synced: usize,
    /// How many entries the fsync under way covers.
    pub(crate) syncing: Option<usize>,
    /// Goes up whenever the log is cut: a word about an older log says nothing about this one.
    pub(crate) generation: u64,
}

impl Disk {
    pub(crate) fn empty(initialized: bool) -> Self {
        Disk {
            initialized,
            accepted_epoch: Epoch(0),
            current_epoch: Epoch(0),
            snapshot: (Zxid::ZERO, Rc::new(Tree::new())),
            log: Vec::new(),
            synced: 0,
            syncing: None,
            generation: 0,
        }
    }

    /// A disk that has this log, all of it synced.
    pub(crate) fn with_log(accepted: i64, current: i64, log: Vec<Entry>) -> Self {
        Disk {
            accepted_epoch: Epoch(accepted),
            current_epoch: Epoch(current),
            synced: log.len(),
            log,
            ..Disk::empty(true)
        }
    }

    /// A disk that has this snapshot and nothing else.
    pub(crate) fn with_snapshot(accepted: i64, current: i64, zxid: Zxid, tree: Tree) -> Self {
        Disk {
            accepted_epoch: Epoch(accepted),
            current_epoch: Epoch(current),
            snapshot: (zxid, Rc::new(tree)),
            ..Disk::empty(true)
        }
    }

    pub(crate) fn is_initialized(&self) -> bool {
        self.initialized || self.snapshot.0 > Zxid::ZERO || !self.log.is_empty()
    }

    pub(crate) fn end(&self) -> Zxid {
        self.log.last().map_or(self.snapshot.0, |entry| entry.zxid)
    }

    pub(crate) fn synced_end(&self) -> Zxid {
        match self.synced {
            0 => self.snapshot.0,
            synced => self.log[synced - 1].zxid,
        }
    }

    pub(crate) fn append(&mut self, entry: Entry) -> Result<(), String> {
        let end = self.end();
        let begins = entry.zxid.epoch() > end.epoch() && entry.zxid.counter() == 1;
        if entry.zxid != end.next() && !begins {
            return Err(format!("a hole in the log: {} behind {end}", entry.zxid));
        }
        self.log.push(entry);
        Ok(())
    }

    /// Starts an fsync of all that the log holds now, unless one is under way or not needed.
    pub(crate) fn start_sync(&mut self) -> bool {
        let needed = self.syncing.is_none() && self.synced < self.log.len();
        if needed {
            self.syncing = Some(self.log.len());
        }
        needed
    }

    /// The fsync is done; returns the position up to which the log is durable.
    pub(crate) fn finish_sync(&mut self) -> Option<Zxid> {
        self.synced = self.synced.max(self.syncing.take()?);
        Some(self.synced_end())
    }

    /// Cuts the log and syncs what is left of it.
    pub(crate) fn truncate(&mut self, to: Zxid) -> Result<(), String> {
        if to < self.snapshot.0 {
            return Err(format!(
                "cut to {to}, but the snapshot stands at {}",
                self.snapshot.0
            ));
        }
        self.log.retain(|entry| entry.zxid <= to);
        self.cut();
        if self.end() != to {
            return Err(format!("cut to {to}, but the log has {}", self.end()));
        }
        Ok(())
    }

    pub(crate) fn install(&mut self, zxid: Zxid, tree: Rc<Tree>) {
        self.snapshot = (zxid, tree);
        self.log.clear();
        self.initialized = true;
        self.cut();
    }

    fn cut(&mut self) {
        self.synced = self.log.len();
        self.syncing = None;
        self.generation += 1;
    }

    /// The machine dies: any part of what was not synced is lost. A torn entry is none.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        let survivors = random.between(self.synced as u64, self.log.len() as u64);
        self.log
            .truncate(usize::try_from(survivors).expect("a length"));
        self.cut();
    }

    /// What a member finds at its start, and the tree that it loads.
    pub(crate) fn recover(&self, recent_max: usize) -> (Durable, Tree) {
        let tree = self.tree();
        let recent = self.log[self.log.len().saturating_sub(recent_max)..].to_vec();
        let durable = Durable {
            accepted_epoch: self.accepted_epoch,
            current_epoch: self.current_epoch,
            last_logged: self.is_initialized().then(|| self.end()),
            recent,
        };
        (durable, tree)
    }

    /// Everything that the disk holds, applied.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::clone(&self.snapshot.1);
        tree.extend(self.log.iter().cloned());
        tree
    }
}
