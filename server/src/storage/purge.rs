//! Which old files go. Source: `PurgeTxnLog.java`.

use super::error::StorageError;
use super::files;
use super::snapshot::{self, SnapshotFile, list_snapshots};
use crate::ids::Zxid;
use std::path::{Path, PathBuf};

/// What a purge takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// The files, snapshots first.
    pub files: Vec<PathBuf>,
    /// The oldest snapshot that stays, to which and behind which all logs stay.
    pub oldest_kept: Option<Zxid>,
}

/// Takes away all snapshots but the newest `retain` whole ones, and the logs that none of those
/// needs. With fewer whole snapshots than that, nothing goes.
///
/// # Errors
/// [`StorageError::Io`].
pub fn purge(snap_dir: &Path, log_dir: &Path, retain: usize) -> Result<Purged, StorageError> {
    let plan = plan(snap_dir, log_dir, retain)?;
    for path in &plan.files {
        files::remove(path)?;
    }
    Ok(plan)
}

fn plan(snap_dir: &Path, log_dir: &Path, retain: usize) -> Result<Purged, StorageError> {
    let snapshots = list_snapshots(snap_dir)?;
    // A damaged snapshot keeps nothing alive, or a full disk would in time push out the good ones.
    let mut kept: Vec<&SnapshotFile> = Vec::new();
    for file in &snapshots {
        if kept.len() == retain.max(1) {
            break;
        }
        match snapshot::check(file) {
            Ok(_) => kept.push(file),
            Err(StorageError::WrongFile { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    let Some(oldest) = kept.last().filter(|_| kept.len() == retain.max(1)) else {
        return Ok(Purged::default());
    };
    let oldest = oldest.zxid;
    let mut files: Vec<PathBuf> = snapshots
        .iter()
        .filter(|file| file.zxid < oldest)
        .map(|file| file.path.clone())
        .collect();
    let logs = files::list_logs(log_dir)?;
    // The last log that starts at or before the snapshot can hold transactions behind it.
    let needed = logs.iter().rposition(|(first, _)| *first <= oldest);
    let unneeded = logs.into_iter().take(needed.unwrap_or(0));
    files.extend(unneeded.map(|(_, path)| path));
    Ok(Purged {
        files,
        oldest_kept: Some(oldest),
    })
}
