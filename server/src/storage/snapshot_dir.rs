//! The snapshots of a running server: new ones, and those that have to go.

use super::directories::Directories;
use super::error::StorageError;
use super::files;
use super::log::read_log;
use super::purge::{Purged, purge};
use super::recover::follows;
use super::room;
use super::snapshot::{self, SnapshotOptions, list_snapshots, save_snapshot};
use crate::config::{Compression, ServerConfig};
use crate::ids::Zxid;
use crate::tree::Frozen;
use parking_lot::Mutex;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// Where a server's snapshots go, and how they are written.
#[derive(Clone, Debug)]
pub struct SnapshotDir {
    snapshots: PathBuf,
    logs: PathBuf,
    options: SnapshotOptions,
    /// Bytes that a snapshot leaves to the log.
    log_step_bytes: u64,
    /// One snapshot is written at a time: two of the same tree have the same name.
    writing: Arc<Mutex<()>>,
}

impl SnapshotDir {
    /// The directory of a configured server.
    #[must_use]
    pub fn of(directories: &Directories, config: &ServerConfig) -> Self {
        SnapshotDir {
            log_step_bytes: config.storage.pre_alloc_bytes,
            ..Self::new(directories, SnapshotOptions::of(&config.storage))
        }
    }

    /// The directory, with snapshots written as `options` say.
    #[must_use]
    pub fn new(directories: &Directories, options: SnapshotOptions) -> Self {
        SnapshotDir {
            snapshots: directories.snapshots(),
            logs: directories.logs(),
            options,
            log_step_bytes: 0,
            writing: Arc::default(),
        }
    }

    /// As [`SnapshotDir::save`], but only where there is clearly room for it and for the log's next
    /// step: a snapshot must not take the log's last bytes, for a while, only to fail itself.
    ///
    /// # Errors
    /// As [`SnapshotDir::save`].
    pub fn save_if_room(&self, zxid: Zxid, frozen: &Frozen) -> Result<PathBuf, StorageError> {
        // Packed ones are smaller by how much nobody knows before; a third is the usual size.
        let packed = match self.options.compression {
            Compression::None => 1,
            Compression::Gzip | Compression::Snappy => 3,
        };
        let wanted = frozen.snapshot_bytes() / packed + self.log_step_bytes;
        let free =
            room::free(&self.snapshots).map_err(StorageError::io("look at", &self.snapshots))?;
        if free < wanted {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(StorageError::io("write a snapshot in", &self.snapshots)(
                full,
            ));
        }
        self.save(zxid, frozen)
    }

    /// Writes a snapshot; durable on return. See [`save_snapshot`].
    ///
    /// # Errors
    /// [`StorageError::Io`]; nothing is left behind then.
    pub fn save(&self, zxid: Zxid, frozen: &Frozen) -> Result<PathBuf, StorageError> {
        let _alone = self.writing.lock();
        save_snapshot(&self.snapshots, zxid, frozen, self.options)
    }

    /// The newest snapshot by name, and when it was written.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn newest(&self) -> Result<Option<(Zxid, SystemTime)>, StorageError> {
        let Some(file) = list_snapshots(&self.snapshots)?.into_iter().next() else {
            return Ok(None);
        };
        let written = fs::metadata(&file.path).and_then(|meta| meta.modified());
        let written = written.map_err(StorageError::io("look at", file.path))?;
        Ok(Some((file.zxid, written)))
    }

    /// Bytes of the files beside the snapshots, and of those beside the logs.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn sizes(&self) -> Result<(u64, u64), StorageError> {
        Ok((
            files::bytes_in(&self.snapshots)?,
            files::bytes_in(&self.logs)?,
        ))
    }

    /// Takes old snapshots and logs away. See [`purge`].
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn purge(&self, retain: usize) -> Result<Purged, StorageError> {
        purge(&self.snapshots, &self.logs, retain)
    }

    /// Takes away every snapshot that holds anything behind `to`, whole or in part: before the log
    /// is truncated to `to` on a leader's word. In this order a crash leaves an older snapshot with
    /// a complete log behind it: a history that is only longer than wanted, never one with a hole
    /// (ZOOKEEPER-5094, and Java's snapshots that outlive a truncation).
    ///
    /// # Errors
    /// [`StorageError::CantTruncate`] before anything is touched, where the snapshots that would
    /// stay and the log do not lead to `to`: the leader must send a snapshot then.
    pub fn forget_behind(&self, to: Zxid) -> Result<(), StorageError> {
        let mut behind = Vec::new();
        let mut base = None;
        for file in list_snapshots(&self.snapshots)? {
            if file.zxid > to {
                behind.push(file.path);
                continue;
            }
            match snapshot::check(&file) {
                // Java's snapshots can hold parts of transactions behind their name.
                Ok(info) if info.fuzzy_until <= to => {
                    base = Some(file.zxid);
                    break;
                }
                Ok(_) | Err(StorageError::WrongFile { .. }) => behind.push(file.path),
                Err(other) => return Err(other),
            }
        }
        if behind.is_empty() {
            return Ok(());
        }
        match base {
            Some(base) if self.log_leads(base, to)? => {}
            _ => return Err(StorageError::CantTruncate { to }),
        }
        for path in behind {
            files::remove(&path)?;
        }
        Ok(())
    }

    /// Takes away every snapshot with a name behind `zxid`: after the leader's tree at `zxid` was
    /// saved and the log truncated, so that the next start begins with it.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn forget_newer(&self, zxid: Zxid) -> Result<(), StorageError> {
        for file in list_snapshots(&self.snapshots)? {
            if file.zxid > zxid {
                files::remove(&file.path)?;
            }
        }
        Ok(())
    }

    /// Whether the log leads without a gap from a snapshot to a position.
    fn log_leads(&self, base: Zxid, to: Zxid) -> Result<bool, StorageError> {
        let mut last = base;
        for entry in read_log(&self.logs, base.next())? {
            let (zxid, _) = entry?;
            if zxid > to {
                break;
            }
            if !follows(last, zxid) {
                return Ok(false);
            }
            last = zxid;
        }
        // A position that is no transaction (an epoch's start) is reached by the one before it.
        Ok(last == to || (last < to && to.counter() == 0))
    }
}
