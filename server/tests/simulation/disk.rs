//! A member's disk: what a crash leaves of a log whose end was not synced, of a cut and of a taken
//! over tree that were not finished.

use super::random::Random;
use crate::ids::{Epoch, Zxid};
use crate::zab::{Config, Durable, Entry};
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;

/// A transaction by its position and by what it is: no two proposals have the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Txn {
    pub(crate) zxid: Zxid,
    pub(crate) value: u64,
}

impl Txn {
    /// `None` for bytes that nobody in the simulation ever proposed.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let value = *entry.payload.first_chunk()?;
        Some(Txn {
            zxid: entry.zxid,
            value: u64::from_be_bytes(value),
        })
    }

    pub(crate) fn entry(self) -> Entry {
        Entry {
            zxid: self.zxid,
            payload: Bytes::copy_from_slice(&self.value.to_be_bytes()),
        }
    }
}

/// A state of the tree: all that was ever applied to it, in order.
pub(crate) type Tree = Vec<Txn>;

/// Why the log can't be cut.
#[derive(Debug)]
pub(crate) enum Uncut {
    /// No snapshot that would stay leads to the position: consensus is told `HistoryUnusable`.
    CantTruncate,
    /// What must not happen.
    Fault(String),
}

/// Epoch files and snapshots are durable at once, the log once it is synced.
pub(crate) struct Disk {
    /// False for an empty disk without the `initialize` marker.
    initialized: bool,
    pub(crate) accepted_epoch: Epoch,
    pub(crate) current_epoch: Epoch,
    /// Snapshots with their positions, oldest first.
    snapshots: Vec<(Zxid, Rc<Tree>)>,
    /// The log. It may reach back behind the newest snapshot, and end before it.
    log: Vec<Entry>,
    /// How many entries of the log are synced.
    synced: usize,
    /// How many entries the fsync under way covers.
    pub(crate) syncing: Option<usize>,
    /// The first record that is only half there; what stands behind it may be whole.
    torn: Option<usize>,
    /// The configuration in force and a newer one that was proposed, each in a file of its own.
    pub(crate) config: Option<Arc<Config>>,
    pub(crate) config_seen: Option<Arc<Config>>,
    /// Goes up whenever the log is cut: a word about an older log says nothing about this one.
    pub(crate) generation: u64,
}

impl Disk {
    pub(crate) fn empty(initialized: bool) -> Self {
        Disk {
            initialized,
            accepted_epoch: Epoch(0),
            current_epoch: Epoch(0),
            snapshots: vec![(Zxid::ZERO, Rc::new(Tree::new()))],
            log: Vec::new(),
            synced: 0,
            syncing: None,
            torn: None,
            config: None,
            config_seen: None,
            generation: 0,
        }
    }

    /// A disk that has this log, all of it synced.
    pub(crate) fn with_log(accepted: i64, current: i64, log: &[Txn]) -> Self {
        Disk {
            accepted_epoch: Epoch(accepted),
            current_epoch: Epoch(current),
            synced: log.len(),
            log: log.iter().map(|txn| txn.entry()).collect(),
            ..Disk::empty(true)
        }
    }

    /// A disk that has this snapshot and nothing else.
    pub(crate) fn with_snapshot(accepted: i64, current: i64, zxid: Zxid, tree: &[Txn]) -> Self {
        Disk {
            accepted_epoch: Epoch(accepted),
            current_epoch: Epoch(current),
            snapshots: vec![(zxid, Rc::new(tree.to_vec()))],
            ..Disk::empty(true)
        }
    }

    pub(crate) fn is_initialized(&self) -> bool {
        self.initialized || self.newest_snapshot().0 > Zxid::ZERO || !self.log.is_empty()
    }

    fn newest_snapshot(&self) -> &(Zxid, Rc<Tree>) {
        self.snapshots.last().expect("the first one is never lost")
    }

    pub(crate) fn end(&self) -> Zxid {
        let logged = self.log.last().map_or(Zxid::ZERO, |entry| entry.zxid);
        logged.max(self.newest_snapshot().0)
    }

    pub(crate) fn synced_end(&self) -> Zxid {
        let logged = match self.synced {
            0 => Zxid::ZERO,
            synced => self.log[synced - 1].zxid,
        };
        logged.max(self.newest_snapshot().0)
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

    /// Keeps the tree as it is at `zxid`, and of the log only what is behind the snapshot before.
    pub(crate) fn save_snapshot(&mut self, zxid: Zxid, tree: Rc<Tree>) {
        if zxid <= self.newest_snapshot().0 {
            return;
        }
        let before = self.newest_snapshot().0;
        self.snapshots.push((zxid, tree));
        self.snapshots.drain(..self.snapshots.len() - 2);
        let purged = self.log.partition_point(|entry| entry.zxid <= before);
        let purged = purged.min(self.synced);
        if self.syncing.is_none() {
            self.log.drain(..purged);
            self.synced -= purged;
        }
    }

    /// Cuts the log behind `to` and syncs what is left of it.
    pub(crate) fn truncate(&mut self, to: Zxid) -> Result<(), Uncut> {
        let stay = self.snapshots.partition_point(|(zxid, _)| *zxid <= to);
        if stay < self.snapshots.len() && !self.leads_to(stay, to) {
            return Err(Uncut::CantTruncate);
        }
        self.snapshots.truncate(stay);
        self.log.retain(|entry| entry.zxid <= to);
        self.cut();
        if self.end() != to {
            let end = self.end();
            return Err(Uncut::Fault(format!("cut to {to}, but the log has {end}")));
        }
        Ok(())
    }

    /// Whether the first `stay` snapshots and the log lead to `to` without a hole.
    fn leads_to(&self, stay: usize, to: Zxid) -> bool {
        let Some((base, _)) = stay.checked_sub(1).map(|last| &self.snapshots[last]) else {
            return false;
        };
        let mut end = *base;
        for entry in self.log.iter().filter(|entry| entry.zxid > *base) {
            let begins = entry.zxid.epoch() > end.epoch() && entry.zxid.counter() == 1;
            if end == to || (entry.zxid != end.next() && !begins) {
                break;
            }
            end = entry.zxid;
        }
        end == to
    }

    /// The machine dies while the log is being cut to `to`: snapshots go first, then the log from
    /// its end on, and any part of that is done.
    pub(crate) fn truncate_partly(&mut self, to: Zxid, random: &mut Random) {
        let stay = self.snapshots.partition_point(|(zxid, _)| *zxid <= to);
        if stay < self.snapshots.len() && !self.leads_to(stay, to) {
            return;
        }
        self.snapshots.truncate(stay);
        let keep = self.log.partition_point(|entry| entry.zxid <= to) as u64;
        let left = random.between(keep, self.log.len() as u64);
        self.log.truncate(usize::try_from(left).expect("a length"));
        self.synced = self.synced.min(self.log.len());
    }

    pub(crate) fn install(&mut self, zxid: Zxid, tree: Rc<Tree>) {
        self.snapshots = vec![(zxid, tree)];
        self.log.clear();
        self.initialized = true;
        self.cut();
    }

    /// The machine dies once the tree is written, with the log and the older snapshots still there.
    pub(crate) fn install_partly(&mut self, zxid: Zxid, tree: Rc<Tree>) {
        self.snapshots.push((zxid, tree));
        self.snapshots.sort_by_key(|(zxid, _)| *zxid);
    }

    fn cut(&mut self) {
        self.synced = self.log.len();
        self.syncing = None;
        self.torn = None;
        self.generation += 1;
    }

    /// The machine dies: of what was not synced any part is lost. Where `tears`, the first record
    /// that is lost stands there in half, with others behind it that are whole.
    pub(crate) fn crash(&mut self, random: &mut Random, tears: bool) {
        let survivors = random.between(self.synced as u64, self.log.len() as u64);
        let survivors = usize::try_from(survivors).expect("a length");
        let torn = (tears && survivors < self.log.len()).then_some(survivors);
        if torn.is_none() {
            self.log.truncate(survivors);
        }
        self.cut();
        self.torn = torn;
    }

    /// What a member finds at its start, and the tree that it loads. The log ends before its first
    /// torn record, whatever stands behind that. True where there was one.
    pub(crate) fn recover(&mut self, recent_max: usize) -> (Durable, Tree, bool) {
        let torn = self.torn.take();
        if let Some(torn) = torn {
            self.log.truncate(torn);
            self.synced = self.log.len();
        }
        let tree = self.tree();
        let behind = self.behind_snapshot();
        let recent = behind[behind.len().saturating_sub(recent_max)..].to_vec();
        let durable = Durable {
            accepted_epoch: self.accepted_epoch,
            current_epoch: self.current_epoch,
            last_logged: self.is_initialized().then(|| self.end()),
            recent,
        };
        (durable, tree, torn.is_some())
    }

    fn behind_snapshot(&self) -> &[Entry] {
        let from = self.newest_snapshot().0;
        &self.log[self.log.partition_point(|entry| entry.zxid <= from)..]
    }

    /// Everything that the disk holds, applied.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::clone(&self.newest_snapshot().1);
        tree.extend(self.behind_snapshot().iter().filter_map(Txn::of));
        tree
    }
}
