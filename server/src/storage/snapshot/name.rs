//! Names of snapshot files: `snapshot.<hex>`, behind it the way of compression.

use crate::config::Compression;
use crate::ids::Zxid;
use crate::storage::error::StorageError;
use crate::storage::files;
use std::path::{Path, PathBuf};

/// A snapshot file by its name; nothing is said about its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Everything up to here is in it.
    pub zxid: Zxid,
    /// The file.
    pub path: PathBuf,
    /// How it is packed.
    pub compression: Compression,
}

impl SnapshotFile {
    /// The snapshot at a path; `None` where the name is not a snapshot's.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let (zxid, compression) = parse_name(path.file_name()?.to_str()?)?;
        Some(SnapshotFile {
            zxid,
            path: path.to_owned(),
            compression,
        })
    }
}

/// Source: `Util.java` makeSnapshotName.
pub(super) fn snapshot_name(zxid: Zxid, compression: Compression) -> String {
    let extension = match compression {
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Snappy => ".snappy",
    };
    format!("snapshot.{:x}{extension}", zxid.0)
}

/// Unfinished files (`.tmp`) and strangers are no snapshots.
pub(super) fn parse_name(name: &str) -> Option<(Zxid, Compression)> {
    let rest = name.strip_prefix("snapshot.")?;
    let (zxid, compression) = match rest.split_once('.') {
        None => (rest, Compression::None),
        Some((zxid, "gz")) => (zxid, Compression::Gzip),
        Some((zxid, "snappy")) => (zxid, Compression::Snappy),
        Some(_) => return None,
    };
    Some((files::hex(zxid)?, compression))
}

/// The snapshots of a `version-2` directory, the newest first.
///
/// # Errors
/// [`StorageError::Io`].
pub fn list_snapshots(dir: &Path) -> Result<Vec<SnapshotFile>, StorageError> {
    let mut found: Vec<SnapshotFile> = files::list(dir, parse_name)?
        .into_iter()
        .map(|(zxid, path, compression)| SnapshotFile {
            zxid,
            path,
            compression,
        })
        .collect();
    found.reverse();
    Ok(found)
}
