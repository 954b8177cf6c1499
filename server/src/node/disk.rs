//! A member's disk: read at its start, and again wherever what is in memory can't be trusted to be
//! on it. Whatever takes long runs on a thread of its own, while the heartbeat goes on.

use super::error::NodeError;
use crate::config::ServerConfig;
use crate::ids::Zxid;
use crate::service::Service;
use crate::storage::{
    Directories, EpochFiles, LogOptions, Recovered, SnapshotDir, StorageError, TxnLog, recover,
};
use crate::zab::{Durable, Entry};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a loop waits at most before it shows again that it turns over.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);

/// Where a member's files are, and how they are read.
pub(super) struct Disk {
    directories: Directories,
    config: ServerConfig,
}

/// All that a disk held, its log open for more.
pub(super) struct OpenDisk {
    pub(super) log: TxnLog,
    pub(super) recovered: Recovered,
}

impl Disk {
    /// Makes the directories, or checks and locks those that are there.
    pub(super) fn new(config: &ServerConfig) -> Result<Self, StorageError> {
        let directories = Directories::open(
            &config.data_dir,
            &config.data_log_dir,
            config.storage.datadir_autocreate,
        )?;
        Ok(Disk {
            directories,
            config: config.clone(),
        })
    }

    pub(super) fn directories(&self) -> &Directories {
        &self.directories
    }

    pub(super) fn snapshots(&self) -> SnapshotDir {
        SnapshotDir::of(&self.directories, &self.config)
    }

    /// Opens the log and reads the database.
    pub(super) fn open(&self) -> Result<OpenDisk, StorageError> {
        let options = LogOptions::of(&self.config.storage);
        // Opening the log first cuts a torn tail, which recovery would only stop at.
        let log = TxnLog::open(&self.directories.logs(), options)?;
        let recovered = self.recover()?;
        Ok(OpenDisk { log, recovered })
    }

    /// Reads the database alone.
    pub(super) fn recover(&self) -> Result<Recovered, StorageError> {
        recover(&self.directories, &self.config)
    }

    pub(super) fn epochs(&self, last_logged: Zxid) -> Result<EpochFiles, StorageError> {
        EpochFiles::open(&self.directories.snapshots(), last_logged)
    }

    /// Whether there is room to go on after there was none.
    pub(super) fn has_room(&self) -> Result<bool, StorageError> {
        let step = self.config.storage.pre_alloc_bytes;
        self.directories.have_room(step)
    }

    /// Takes away old files, where the configuration has that done at all.
    pub(super) fn purge(&self) -> Result<(), StorageError> {
        let purge = self.config.purge;
        if purge.purge_interval_hours > 0 {
            let purged = self.snapshots().purge(purge.snap_retain_count)?;
            tracing::info!(
                files = purged.files.len(),
                "autopurge, for the disk is full"
            );
        }
        Ok(())
    }
}

/// What consensus is told of a disk.
pub(super) fn durable(
    epochs: &EpochFiles,
    initialized: bool,
    last_logged: Zxid,
    recent: Vec<(Zxid, bytes::Bytes)>,
) -> Durable {
    Durable {
        accepted_epoch: epochs.accepted(),
        current_epoch: epochs.current(),
        last_logged: initialized.then_some(last_logged),
        recent: recent
            .into_iter()
            .map(|(zxid, payload)| Entry { zxid, payload })
            .collect(),
    }
}

/// Does work that may take minutes, a large tree written or read, and waits for it while the
/// heartbeat goes on: `/live` is about loops that hang, not about disks that are slow.
pub(super) fn long<T: Send>(
    service: &Service,
    work: impl FnOnce() -> Result<T, StorageError> + Send,
) -> Result<T, NodeError> {
    thread::scope(|scope| {
        let (done, result) = mpsc::channel();
        thread::Builder::new()
            .name("disk".into())
            .spawn_scoped(scope, move || {
                // The receiver waits below.
                let _ = done.send(work());
            })
            .map_err(|source| NodeError::System {
                intention: "start a thread for the disk",
                source,
            })?;
        loop {
            match result.recv_timeout(HEARTBEAT) {
                Ok(result) => return Ok(result?),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    service.status.write().heartbeat = Instant::now();
                }
                // The thread has panicked, and so does the scope at its end.
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(NodeError::EngineGone),
            }
        }
    })
}
