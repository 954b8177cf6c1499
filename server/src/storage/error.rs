//! What can go wrong with files, said so that the person who reads it knows what to do.

use crate::ids::{Epoch, ServerId, Zxid};
use std::io;
use std::path::PathBuf;

/// Why the disk can't be used, or did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file or directory could not be worked with.
    #[error("can't {doing} {}: {source}{}", path.display(), hint(source))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A directory is missing, and making it was forbidden.
    #[error("{} is missing and datadir.autocreate is false; create it, or check dataDir and dataLogDir", path.display())]
    DirectoryMissing {
        /// The directory.
        path: PathBuf,
    },
    /// Snapshots among logs or logs among snapshots: the two directories were mixed up.
    #[error("{} holds {found}; check whether dataDir and dataLogDir are the wrong way round", path.display())]
    DirectoriesMixedUp {
        /// The directory.
        path: PathBuf,
        /// What should not be in it.
        found: &'static str,
    },
    /// Another process runs on the directory.
    #[error("{} is in use{}; stop the other server first", path.display(), .holder.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, if it could be seen.
        holder: Option<u32>,
    },
    /// The disk is full. Nothing of the batch was logged, the log is as it was before and can go
    /// on once there is room.
    #[error("no room to log {first} in {}; nothing of it was written, free some space", path.display())]
    DiskFull {
        /// The first transaction of the batch that found no room.
        first: Zxid,
        /// The log file or directory.
        path: PathBuf,
    },
    /// An earlier write or fsync failed, so nobody knows what is on the disk: the log takes
    /// nothing more, and the server must stop and recover from what it finds at its next start.
    #[error("the log in {} failed before ({reason}) and takes nothing more; restart the server", path.display())]
    Poisoned {
        /// The log's directory.
        path: PathBuf,
        /// The first failure.
        reason: String,
    },
    /// A transaction was appended that is not behind the last one.
    #[error("transaction {zxid} can't be logged behind {last}")]
    NotBehindLast {
        /// The transaction.
        zxid: Zxid,
        /// The last one in the log.
        last: Zxid,
    },
    /// A payload that no log can hold.
    #[error("a transaction of {len} bytes can't be logged")]
    BadPayload {
        /// Its length.
        len: usize,
    },
    /// A file that is not what its name says.
    #[error("{} is no {expected}: {problem}", path.display())]
    WrongFile {
        /// The file.
        path: PathBuf,
        /// `transaction log` or `snapshot`.
        expected: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A damaged record that transactions follow: this is no torn end, something acknowledged may
    /// be lost.
    #[error(
        "{} is damaged at byte {offset}: {problem}; transactions behind it would be lost. \
         Restore the file, or empty this member's disk and let it sync from the others", path.display()
    )]
    LogDamaged {
        /// The log file.
        path: PathBuf,
        /// Where the damaged record starts.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Transactions are missing between two that are there.
    #[error(
        "the transactions between {from} and {to} are missing before {}. \
         Restore the missing log file, or empty this member's disk and let it sync from the others", path.display()
    )]
    LogGap {
        /// The last position that is complete.
        from: Zxid,
        /// The next transaction found.
        to: Zxid,
        /// The file it was found in.
        path: PathBuf,
    },
    /// Every snapshot that could be tried is damaged, or the logs do not reach from an older one
    /// to where the damaged ones were.
    #[error("no usable snapshot in {}: {problem}. Restore one, or empty this member's disk and let it sync from the others", path.display())]
    NoUsableSnapshot {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        problem: String,
    },
    /// Logs without any snapshot. Source: `FileTxnSnapLog.java` restore, ZOOKEEPER-2325 and 3056.
    #[error(
        "{} has transaction logs, but {} has no snapshot: the data is incomplete. \
         Restore the snapshot; after an upgrade from 3.4, set snapshot.trust.empty=true for one start", log_dir.display(), snap_dir.display()
    )]
    LogsWithoutSnapshot {
        /// Where the logs are.
        log_dir: PathBuf,
        /// Where a snapshot should be.
        snap_dir: PathBuf,
    },
    /// The disk can't be taken back to a position, because no snapshot at or before it is left.
    #[error(
        "can't go back to {to}: no snapshot at or before it is left, so the leader must send one"
    )]
    CantTruncate {
        /// The position.
        to: Zxid,
    },
    /// An epoch file does not fit the other one or the data.
    #[error("{}: {problem}", path.display())]
    BadEpoch {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// `currentEpoch` is behind the epoch of the last transaction.
    #[error(
        "currentEpoch {current} in {} is older than the epoch of the last transaction, {last}. \
         Restore the file, or empty this member's disk and let it sync from the others", path.display()
    )]
    EpochBehindLog {
        /// The file.
        path: PathBuf,
        /// What it says.
        current: Epoch,
        /// The last transaction.
        last: Zxid,
    },
    /// `myid` holds another number than asked for.
    #[error("{} says {found}, not {wanted}; this disk belongs to another member", path.display())]
    OtherMember {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it was to say.
        wanted: ServerId,
    },
    /// `cluster-id` holds another name than asked for.
    #[error("{} says {found}, not {wanted}; this disk belongs to another cluster", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it was to say.
        wanted: String,
    },
}

impl StorageError {
    /// An I/O error, told with what was being done to which file.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> StorageError {
        let path = path.into();
        move |source| StorageError::Io {
            doing,
            path,
            source,
        }
    }

    /// Whether the disk has no room (or the quota is used up), which passes, unlike other faults.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            StorageError::DiskFull { .. } => true,
            StorageError::Io { source, .. } => is_full(source),
            _ => false,
        }
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What to do about the errors that people meet most.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; the user that runs the server needs to read and write it"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable, or point dataDir elsewhere",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space",
        _ => "",
    }
}
