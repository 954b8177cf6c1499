//! When snapshots are taken, and by whom: a thread of their own, over a frozen tree, while writes
//! go on.

use super::engine::Engine;
use super::{NodeError, NodeEvent};
use crate::ids::Zxid;
use crate::storage::{SnapshotDir, StorageError};
use crate::tree::Frozen;
use crate::zab::Entry;
use std::sync::mpsc;
use std::thread;
use tracing::{error, info};

/// Counts transactions and writes snapshots.
pub(super) struct Snapshots {
    dir: SnapshotDir,
    /// Transactions between snapshots at most. Source: `SyncRequestProcessor.java` shouldSnapshot.
    snap_count: u64,
    /// Bytes of log between snapshots at most; 0 for no such limit.
    snap_bytes: u64,
    transactions: u64,
    bytes: u64,
    /// This round's share of the limits, so that members don't take snapshots at the same time.
    share: f64,
    under_way: bool,
    events: mpsc::Sender<NodeEvent>,
}

impl Snapshots {
    pub(super) fn new(
        dir: SnapshotDir,
        snap_count: u64,
        snap_bytes: u64,
        seed: u64,
        events: mpsc::Sender<NodeEvent>,
    ) -> Self {
        Snapshots {
            dir,
            snap_count,
            snap_bytes,
            transactions: 0,
            bytes: 0,
            share: share(seed),
            under_way: false,
            events,
        }
    }

    /// These entries go to the log.
    pub(super) fn logged(&mut self, entries: &[Entry]) {
        self.transactions += entries.len() as u64;
        self.bytes += entries
            .iter()
            .map(|entry| entry.payload.len() as u64)
            .sum::<u64>();
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    fn is_due(&self) -> bool {
        let within = |limit: u64| (limit as f64 * self.share) as u64;
        !self.under_way
            && (self.transactions > within(self.snap_count)
                || (self.snap_bytes > 0 && self.bytes > within(self.snap_bytes)))
    }

    /// Writes a snapshot on the caller's thread and waits for the disk.
    pub(super) fn write_now(&self, zxid: Zxid, frozen: &Frozen) -> Result<(), StorageError> {
        self.dir.save(zxid, frozen)?;
        Ok(())
    }

    /// Takes away snapshots behind a position that the log is about to be cut to.
    pub(super) fn forget_behind(&self, to: Zxid) -> Result<(), StorageError> {
        self.dir.forget_behind(to)
    }

    /// Takes away snapshots newer than the leader's own.
    pub(super) fn forget_newer(&self, zxid: Zxid) -> Result<(), StorageError> {
        self.dir.forget_newer(zxid)
    }

    fn start(&mut self, zxid: Zxid, frozen: Frozen) {
        self.transactions = 0;
        self.bytes = 0;
        self.share = share(zxid.0.unsigned_abs());
        let dir = self.dir.clone();
        let events = self.events.clone();
        let spawned = thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || {
                let result = dir.save_if_room(zxid, &frozen).map(|_| zxid);
                let _node_gone = events.send(NodeEvent::SnapshotDone(result));
            });
        match spawned {
            Ok(_) => self.under_way = true,
            Err(error) => error!(%error, "can't start a thread for a snapshot"),
        }
    }

    /// A snapshot has been written, or has not; the log still has everything then.
    pub(super) fn done(&mut self, result: Result<Zxid, StorageError>) {
        self.under_way = false;
        match result {
            Ok(zxid) => info!(%zxid, "snapshot written"),
            Err(error) => error!(%error, "no snapshot was written; the log keeps everything"),
        }
    }
}

/// Between a half and the whole, from a hash of `seed`. Source: `SyncRequestProcessor.java`
/// resetSnapshotStats.
#[allow(clippy::cast_precision_loss)]
fn share(seed: u64) -> f64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    0.5 + mixed as f64 / (1_u64 << 53) as f64 / 2.0
}

impl Engine {
    /// Takes a snapshot where one is due. Only committed transactions are in the tree, so a
    /// snapshot never holds what a later leader could cut off.
    pub(super) fn tend_snapshots(&mut self) -> Result<(), NodeError> {
        if !self.serving || !self.snapshots.is_due() {
            return Ok(());
        }
        self.log.roll()?;
        let frozen = self.service.database.read().freeze();
        self.snapshots.start(frozen.last_processed(), frozen);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_between_a_half_and_the_whole_and_differs_by_seed() {
        let shares = (0..1_000).map(share).collect::<Vec<_>>();
        assert!(shares.iter().all(|share| (0.5..1.0).contains(share)));
        assert!(shares.iter().any(|share| *share < 0.6));
        assert!(shares.iter().any(|share| *share > 0.9));
    }
}
