//! The small files that say who this disk belongs to and whether it may vote while it is empty.

use super::directories::Directories;
use super::error::StorageError;
use super::files;
use crate::ids::ServerId;
use std::path::{Path, PathBuf};

/// Java's name for the marker that lets an empty disk vote. Source: `FileTxnSnapLog.java` restore.
pub const INITIALIZE_FILE: &str = "initialize";
/// The name of the cluster that a disk belongs to; ours, beside `myid`.
pub const CLUSTER_ID_FILE: &str = "cluster-id";
/// The member's number.
pub const MYID_FILE: &str = "myid";

/// Writes `myid`, or checks the one that is there.
///
/// # Errors
/// [`StorageError::OtherMember`] where it says something else.
pub fn write_myid(data_dir: &Path, id: ServerId) -> Result<(), StorageError> {
    let path = data_dir.join(MYID_FILE);
    match files::read_text(&path)? {
        None => files::replace(&path, format!("{id}\n").as_bytes()),
        Some(found) if found.parse() == Ok(id.0) => Ok(()),
        Some(found) => Err(StorageError::OtherMember {
            path,
            found,
            wanted: id,
        }),
    }
}

/// Writes `cluster-id`, or checks the one that is there.
///
/// # Errors
/// [`StorageError::OtherCluster`] where it says something else.
pub fn write_cluster_id(data_dir: &Path, id: &str) -> Result<(), StorageError> {
    let path = data_dir.join(CLUSTER_ID_FILE);
    match files::read_text(&path)? {
        None => files::replace(&path, format!("{id}\n").as_bytes()),
        Some(found) if found == id => Ok(()),
        Some(found) => Err(StorageError::OtherCluster {
            path,
            found,
            wanted: id.to_owned(),
        }),
    }
}

/// The cluster that the disk belongs to, where it was told.
///
/// # Errors
/// [`StorageError::Io`].
pub fn read_cluster_id(data_dir: &Path) -> Result<Option<String>, StorageError> {
    let id = files::read_text(&data_dir.join(CLUSTER_ID_FILE))?;
    Ok(id.filter(|id| !id.is_empty()))
}

/// Both places of the marker: Java's script writes it into dataDir, Java's server looks for it in
/// dataLogDir, which is the same place unless dataLogDir is set.
fn markers(data_dir: &Path, log_dir: &Path) -> Vec<PathBuf> {
    let mut paths = vec![data_dir.join(INITIALIZE_FILE)];
    if data_dir != log_dir {
        paths.push(log_dir.join(INITIALIZE_FILE));
    }
    paths
}

/// Lets the empty disk count as an empty database at the next start.
///
/// # Errors
/// [`StorageError::Io`].
pub fn write_initialize_marker(data_dir: &Path, log_dir: &Path) -> Result<(), StorageError> {
    for path in markers(data_dir, log_dir) {
        files::replace(&path, b"")?;
    }
    Ok(())
}

/// Whether the marker is there.
pub(super) fn has_initialize_marker(directories: &Directories) -> bool {
    markers(directories.data_dir(), directories.log_dir())
        .iter()
        .any(|path| path.exists())
}

/// Takes the marker away.
///
/// # Errors
/// [`StorageError::Io`].
pub fn remove_initialize_marker(data_dir: &Path, log_dir: &Path) -> Result<(), StorageError> {
    for path in markers(data_dir, log_dir) {
        files::remove(&path)?;
    }
    Ok(())
}

/// Whether a disk holds no snapshot and no log, in which case it must be told to vote.
///
/// # Errors
/// [`StorageError::Io`].
pub fn is_empty_disk(data_dir: &Path, log_dir: &Path) -> Result<bool, StorageError> {
    let any = |root: &Path| {
        files::list(&root.join(files::VERSION_DIR), |name| {
            (name.starts_with("log.") || name.starts_with("snapshot."))
                .then_some((crate::ids::Zxid::ZERO, ()))
        })
        .map(|files| !files.is_empty())
    };
    Ok(!any(data_dir)? && !any(log_dir)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn myid_is_written_once_and_never_changed() {
        let dir = tempfile::tempdir().unwrap();
        write_myid(dir.path(), ServerId(3)).unwrap();
        write_myid(dir.path(), ServerId(3)).unwrap();
        let refused = write_myid(dir.path(), ServerId(4)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "{}/myid says 3, not 4; this disk belongs to another member",
                dir.path().display()
            )
        );
    }

    #[test]
    fn the_cluster_id_is_written_once_and_never_changed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_cluster_id(dir.path()).unwrap(), None);
        write_cluster_id(dir.path(), "a-1").unwrap();
        write_cluster_id(dir.path(), "a-1").unwrap();
        assert_eq!(read_cluster_id(dir.path()).unwrap().as_deref(), Some("a-1"));
        assert!(write_cluster_id(dir.path(), "b-2").is_err());
    }
}
