//! Writing a snapshot: beside the running server, whole or not at all.

use super::name::snapshot_name;
use super::seal::SealedWriter;
use super::snappy::SnappyWriter;
use super::{DB_ID, MAGIC, VERSION};
use crate::config::{Compression, StorageConfig};
use crate::ids::Zxid;
use crate::storage::error::StorageError;
use crate::storage::files;
use crate::tree::{DIGEST_VERSION, Frozen};
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How a snapshot is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// How it is packed.
    pub compression: Compression,
    /// Whether the tree's digest stands behind it (`digest.enabled`).
    pub digest: bool,
    /// Whether the last zxid stands behind that (`serializeLastProcessedZxid.enabled`).
    pub last_processed: bool,
}

impl SnapshotOptions {
    /// As configured.
    #[must_use]
    pub fn of(config: &StorageConfig) -> Self {
        SnapshotOptions {
            compression: config.compression,
            digest: config.digest_enabled,
            last_processed: config.serialize_last_processed_zxid,
        }
    }
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        SnapshotOptions {
            compression: Compression::None,
            digest: true,
            last_processed: true,
        }
    }
}

/// Writes a frozen database as the snapshot at `zxid` into a `version-2` directory: its last
/// transaction, or the start of an epoch behind it. Durable on return; a failure leaves nothing behind.
///
/// # Errors
/// [`StorageError::Io`].
pub fn save_snapshot(
    dir: &Path,
    zxid: Zxid,
    frozen: &Frozen,
    options: SnapshotOptions,
) -> Result<PathBuf, StorageError> {
    let name = snapshot_name(zxid, options.compression);
    let path = dir.join(&name);
    // Neither Java nor we take this name for a snapshot, so a leftover of a crash harms nobody.
    let temp = dir.join(format!("tmp.{name}"));
    let written = File::create(&temp).and_then(|file| write_file(file, zxid, frozen, options));
    if let Err(error) = written {
        let _ = fs::remove_file(&temp);
        return Err(StorageError::io("write the snapshot", path)(error));
    }
    fs::rename(&temp, &path).map_err(StorageError::io("name the snapshot", &path))?;
    files::sync_dir(dir)?;
    Ok(path)
}

/// Takes away what an interrupted [`save_snapshot`] left.
pub(crate) fn remove_leftovers(dir: &Path) -> Result<(), StorageError> {
    let leftovers = files::list(dir, |name| {
        name.starts_with("tmp.snapshot.")
            .then_some((Zxid::ZERO, ()))
    })?;
    for (_, path, ()) in leftovers {
        files::remove(&path)?;
    }
    Ok(())
}

fn write_file(file: File, zxid: Zxid, frozen: &Frozen, options: SnapshotOptions) -> io::Result<()> {
    let file = match options.compression {
        Compression::None => write_stream(file, zxid, frozen, options)?,
        Compression::Gzip => {
            let packer = GzEncoder::new(file, flate2::Compression::default());
            write_stream(packer, zxid, frozen, options)?.finish()?
        }
        Compression::Snappy => {
            let packer = SnappyWriter::new(io::BufWriter::new(file))?;
            write_stream(packer, zxid, frozen, options)?
                .finish()?
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?
        }
    };
    file.sync_all()
}

/// The content, with everything flushed into `out`. Source: `FileSnap.java` serialize.
pub(super) fn write_stream<W: Write>(
    out: W,
    zxid: Zxid,
    frozen: &Frozen,
    options: SnapshotOptions,
) -> io::Result<W> {
    let mut out = SealedWriter::new(out);
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_be_bytes())?;
    out.write_all(&DB_ID.to_be_bytes())?;
    frozen.write_snapshot(&mut out)?;
    out.seal()?;
    if options.digest {
        // Before the first transaction Java has no digest to write and writes zeros.
        let digest = if zxid > Zxid::ZERO {
            frozen.digest()
        } else {
            0
        };
        out.write_all(&zxid.0.to_be_bytes())?;
        out.write_all(&DIGEST_VERSION.to_be_bytes())?;
        out.write_all(&digest.to_be_bytes())?;
        out.seal()?;
    }
    if options.last_processed {
        out.write_all(&zxid.0.to_be_bytes())?;
        out.seal()?;
    }
    out.into_inner()
}
