//! Appending: transactions are collected, then written and made durable together.

use super::format::{self, FILE_HEADER_LEN};
use super::medium::{Disk, LogFile, Medium};
use super::read::last_logged;
use crate::config::StorageConfig;
use crate::ids::Zxid;
use crate::storage::error::{StorageError, is_full};
use crate::storage::files;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How the log is written.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Steps in which a file grows, in bytes; 0 for none. Source: `FilePadding.java`.
    pub pre_alloc_bytes: u64,
    /// Whether a commit waits for the disk.
    pub force_sync: bool,
    /// From which size a file is followed by a new one.
    pub size_limit_bytes: Option<u64>,
    /// From when on a commit is worth a warning.
    pub fsync_warning_threshold: Duration,
}

impl LogOptions {
    /// As configured.
    #[must_use]
    pub fn of(config: &StorageConfig) -> Self {
        LogOptions {
            pre_alloc_bytes: config.pre_alloc_bytes,
            force_sync: config.force_sync,
            size_limit_bytes: config.txn_log_size_limit_bytes,
            fsync_warning_threshold: Duration::from_millis(
                config.fsync_warning_threshold_ms.into(),
            ),
        }
    }
}

/// The file being written.
struct Current {
    path: PathBuf,
    file: Box<dyn LogFile>,
    /// Bytes that are written and count; what stands behind are zeros.
    position: u64,
    /// Bytes of the file, zeros in advance included.
    size: u64,
}

/// The log of one server, open for appending. One thread owns it.
///
/// `committed <= last`: what lies between waits in the buffer for [`TxnLog::commit`], and nothing
/// of it may be acknowledged before that returned.
pub struct TxnLog {
    dir: PathBuf,
    options: LogOptions,
    medium: Box<dyn Medium>,
    current: Option<Current>,
    /// Records since the last commit, in one piece.
    pending: Vec<u8>,
    /// The first of them.
    pending_first: Zxid,
    /// The last transaction appended.
    last: Zxid,
    /// The last transaction committed.
    committed: Zxid,
    /// The first failure, after which nothing is taken.
    poison: Option<String>,
    /// How long the last fdatasync took.
    last_sync: Duration,
}

impl std::fmt::Debug for TxnLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TxnLog")
            .field("dir", &self.dir)
            .field("file", &self.current.as_ref().map(|current| &current.path))
            .field("last", &self.last)
            .field("committed", &self.committed)
            .field("poison", &self.poison)
            .finish_non_exhaustive()
    }
}

impl TxnLog {
    /// Opens the log in a `version-2` directory for appending. A torn end, which a crash leaves of
    /// transactions that nobody was told about, is cut off first.
    ///
    /// # Errors
    /// [`StorageError::LogDamaged`] where the end can't be found without losing transactions,
    /// [`StorageError::Io`].
    pub fn open(dir: &Path, options: LogOptions) -> Result<Self, StorageError> {
        // After a crash of the process alone, what can be read need not be on the disk, and the
        // member is about to answer for all of it.
        if options.force_sync
            && let Some((_, newest)) = files::list_logs(dir)?.last()
        {
            read_from_disk_alone(newest).map_err(StorageError::io("make durable", newest))?;
            files::sync_dir(dir)?;
        }
        let last = last_logged(dir)?;
        for tail in &last.torn {
            tracing::warn!(file = %tail.path.display(), offset = tail.offset, reason = tail.reason, "cutting the torn end of a transaction log");
            super::truncate::cut(&tail.path, tail.offset)?;
        }
        Ok(Self::with_medium(dir, options, last.zxid, Box::new(Disk)))
    }

    pub(super) fn with_medium(
        dir: &Path,
        options: LogOptions,
        last: Zxid,
        medium: Box<dyn Medium>,
    ) -> Self {
        TxnLog {
            dir: dir.to_owned(),
            options,
            medium,
            current: None,
            pending: Vec::new(),
            pending_first: Zxid::ZERO,
            last,
            committed: last,
            poison: None,
            last_sync: Duration::ZERO,
        }
    }

    /// The last transaction that is durable, or was found when the log was opened.
    #[must_use]
    pub fn last_committed(&self) -> Zxid {
        self.committed
    }

    /// The directory that it is in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes of the current file that count, without the zeros in advance.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.position)
    }

    /// Bytes that wait for a commit.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// How long the disk took for the last commit.
    #[must_use]
    pub fn last_sync(&self) -> Duration {
        self.last_sync
    }

    /// Takes a transaction into the buffer: header, body and digest as they were proposed.
    ///
    /// # Errors
    /// [`StorageError::NotBehindLast`], [`StorageError::BadPayload`], or
    /// [`StorageError::Poisoned`] after an earlier failure. The log is as before then.
    pub fn append(&mut self, zxid: Zxid, payload: &[u8]) -> Result<(), StorageError> {
        self.check_poison()?;
        if zxid <= self.last {
            return Err(StorageError::NotBehindLast {
                zxid,
                last: self.last,
            });
        }
        let len = i32::try_from(payload.len())
            .ok()
            .filter(|len| *len > 0)
            .ok_or(StorageError::BadPayload { len: payload.len() })?;
        if self.pending.is_empty() {
            self.pending_first = zxid;
            if self.current.is_none() {
                self.pending.extend_from_slice(&format::file_header());
            }
        }
        format::write_record(&mut self.pending, payload, len);
        self.last = zxid;
        Ok(())
    }

    /// Writes everything appended since the last commit, in one write and one fdatasync. Only when
    /// it returned `Ok` may any of it be acknowledged.
    ///
    /// # Errors
    /// [`StorageError::DiskFull`]: nothing of the batch is in the log, which can go on later.
    /// Anything else poisons the log for good.
    pub fn commit(&mut self) -> Result<(), StorageError> {
        self.check_poison()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let created = self.current.is_none();
        let result = self.write_pending();
        match result {
            Ok(()) => {}
            Err(Failure { source, path, full }) if full => {
                return Err(self.give_up_batch(created, path, source));
            }
            Err(Failure { source, path, .. }) => {
                // Nobody is told of the batch. The kernel may show it to the next reader all the
                // same, though the disk never took it, so it is taken out as well as that goes.
                let _ = self.take_back(created, &path);
                return Err(self.poisoned("write the transaction log", path, source));
            }
        }
        self.pending.clear();
        // A batch can be large once and never again; its memory need not stay.
        const BUFFER_BYTES_KEPT: usize = 4 << 20;
        self.pending.shrink_to(BUFFER_BYTES_KEPT);
        self.committed = self.last;
        let full = self
            .options
            .size_limit_bytes
            .is_some_and(|limit| self.file_bytes() > limit);
        if full {
            self.current = None;
        }
        Ok(())
    }

    /// Commits, and lets the next transaction begin a new file: after a snapshot, so that older
    /// files can go.
    ///
    /// # Errors
    /// As [`TxnLog::commit`].
    pub fn roll(&mut self) -> Result<(), StorageError> {
        self.commit()?;
        self.current = None;
        Ok(())
    }

    /// Takes away every transaction behind `to`, in the buffer and on the disk, durably. Returns
    /// the last one that is left. A crash in between leaves a complete history that is only
    /// longer, never one with a hole (ZOOKEEPER-5094).
    ///
    /// Snapshots are not touched: see [`crate::storage::SnapshotDir::forget_behind`].
    ///
    /// # Errors
    /// [`StorageError`], which poisons the log.
    pub fn truncate(&mut self, to: Zxid) -> Result<Zxid, StorageError> {
        self.check_poison()?;
        self.pending.clear();
        self.current = None;
        match super::truncate::truncate(&self.dir, to) {
            Ok(last) => {
                self.last = last;
                self.committed = last;
                Ok(last)
            }
            Err(error) => {
                self.poison = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// Says that the history goes on behind a snapshot at `zxid`, which holds more than the log.
    /// The next transaction begins a new file.
    ///
    /// # Errors
    /// As [`TxnLog::commit`], or [`StorageError::NotBehindLast`] where the log holds more:
    /// truncate it first.
    pub fn continue_behind_snapshot(&mut self, zxid: Zxid) -> Result<(), StorageError> {
        self.roll()?;
        if zxid < self.last {
            return Err(StorageError::NotBehindLast {
                zxid,
                last: self.last,
            });
        }
        self.last = zxid;
        self.committed = zxid;
        Ok(())
    }

    fn check_poison(&self) -> Result<(), StorageError> {
        match &self.poison {
            None => Ok(()),
            Some(reason) => Err(StorageError::Poisoned {
                path: self.dir.clone(),
                reason: reason.clone(),
            }),
        }
    }

    fn write_pending(&mut self) -> Result<(), Failure> {
        let created = self.current.is_none();
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let path = self.dir.join(files::log_name(self.pending_first));
                let file = self
                    .medium
                    .create(&path)
                    .map_err(Failure::recoverable(&path))?;
                self.current.insert(Current {
                    path,
                    file,
                    position: 0,
                    size: 0,
                })
            }
        };
        // Java writes the header first and pads from behind it.
        let position = current.position.max(FILE_HEADER_LEN as u64);
        let size = current.size.max(FILE_HEADER_LEN as u64);
        let padded = padded_size(position, size, self.options.pre_alloc_bytes);
        if padded > size {
            match current.file.grow(current.size, padded) {
                Ok(()) => current.size = padded,
                // The batch itself may still find room.
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(Failure::of(&current.path, error)),
            }
        }
        current
            .file
            .write_all_at(&self.pending, current.position)
            .map_err(Failure::recoverable(&current.path))?;
        if self.options.force_sync {
            let start = Instant::now();
            // After a failed fsync the kernel may have dropped the pages: nothing more is known,
            // not even where the error says that the disk is full.
            current
                .file
                .sync_data()
                .map_err(|error| Failure::of(&current.path, error))?;
            if created {
                self.medium
                    .sync_dir(&self.dir)
                    .map_err(|error| Failure::of(&current.path, error))?;
            }
            self.last_sync = start.elapsed();
            if self.last_sync > self.options.fsync_warning_threshold {
                tracing::warn!(
                    file = %current.path.display(),
                    bytes = self.pending.len(),
                    took_ms = u64::try_from(self.last_sync.as_millis()).unwrap_or(u64::MAX),
                    "the disk was slow to make the transaction log durable; requests wait for it"
                );
            }
        }
        current.position += self.pending.len() as u64;
        current.size = current.size.max(current.position);
        Ok(())
    }

    /// The batch found no room: takes the file back to where it was and forgets the batch.
    fn give_up_batch(&mut self, created: bool, path: PathBuf, source: io::Error) -> StorageError {
        if self.take_back(created, &path).is_err() {
            return self.poisoned("write the transaction log", path, source);
        }
        self.pending.clear();
        self.last = self.committed;
        StorageError::DiskFull {
            first: self.pending_first,
            path,
        }
    }

    /// Takes the file back to where it was before a batch.
    fn take_back(&mut self, created: bool, path: &Path) -> io::Result<()> {
        if created {
            self.current = None;
            return match self.medium.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        current.size = current.position;
        current.file.set_len(current.position)
    }

    fn poisoned(&mut self, doing: &'static str, path: PathBuf, source: io::Error) -> StorageError {
        self.poison = Some(format!("{}: {source}", path.display()));
        self.pending.clear();
        StorageError::Io {
            doing,
            path,
            source,
        }
    }
}

/// Writes out what the kernel holds of a file and has it forget the rest, so that what is read next
/// is what the disk has: after an fsync that failed, the two can differ.
fn read_from_disk_alone(path: &Path) -> io::Result<()> {
    let file = std::fs::File::open(path)?;
    file.sync_all()?;
    // Advice, as its name says: a file system that keeps files in memory takes none.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    Ok(())
}

/// Why a batch is not in the log.
struct Failure {
    source: io::Error,
    path: PathBuf,
    /// Whether there was no room, and the file can be taken back.
    full: bool,
}

impl Failure {
    fn of(path: &Path, source: io::Error) -> Self {
        Failure {
            source,
            path: path.to_owned(),
            full: false,
        }
    }

    fn recoverable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Failure {
            full: is_full(&source),
            source,
            path,
        }
    }
}

/// The size a file is to have before something is written at `position`.
/// Source: `FilePadding.java` calculateFileSizeWithPadding.
pub(super) fn padded_size(position: u64, size: u64, step: u64) -> u64 {
    const NEAR_THE_END_BYTES: u64 = 4096;
    if step == 0 || position + NEAR_THE_END_BYTES < size {
        size
    } else if position > size {
        let size = position + step;
        size - size % step
    } else {
        size + step
    }
}
