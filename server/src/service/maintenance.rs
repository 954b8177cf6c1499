//! What people ask of a member's disk while it runs.

use crate::ids::Zxid;
use crate::storage::StorageError;
use std::fs::File;
use std::io::Read;
use std::time::SystemTime;

/// A snapshot that was taken for somebody, open for reading: it stays readable when it is purged.
#[derive(Debug)]
pub struct TakenSnapshot {
    /// Everything up to here is in it.
    pub zxid: Zxid,
    /// The file.
    pub file: File,
    /// Its bytes, as packed.
    pub bytes: u64,
}

/// Bytes of a member's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectorySizes {
    /// Of dataDir's `version-2`.
    pub data: u64,
    /// Of dataLogDir's.
    pub log: u64,
}

/// Why a snapshot that was sent was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is no snapshot, or it is damaged.
    #[error("what was sent is no whole snapshot: {0}")]
    NotWhole(String),
    /// The members of an ensemble agree on one history, which none of them can change alone.
    #[error(
        "a member of an ensemble can't be restored alone: stop all members, put the snapshot into one's empty dataDir, empty the others' disks, and start that one first"
    )]
    InEnsemble,
    /// The member closed meanwhile, or its disk failed.
    #[error("the server did not take it; see its log")]
    Refused,
}

/// The way to the disk. Each call waits for it, so none may be made where others wait.
pub trait Maintenance: Send + Sync {
    /// Writes a snapshot of the tree as it is now.
    ///
    /// # Errors
    /// [`StorageError`]; nothing is left behind then.
    fn take_snapshot(&self) -> Result<TakenSnapshot, StorageError>;

    /// Puts a snapshot, packed or not, in the place of the tree, and returns its position.
    ///
    /// # Errors
    /// [`RestoreError`]; the tree is as before then.
    fn restore(&self, sent: &mut dyn Read) -> Result<Zxid, RestoreError>;

    /// The newest snapshot on the disk, and when it was written.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    fn last_snapshot(&self) -> Result<Option<(Zxid, SystemTime)>, StorageError>;

    /// How much the files take.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    fn directory_sizes(&self) -> Result<DirectorySizes, StorageError>;
}
