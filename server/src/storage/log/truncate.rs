//! Taking transactions away again. Source: `FileTxnLog.java` truncate, whose order is not ours.

use super::format::FILE_HEADER_LEN;
use super::read::{last_logged, read_log};
use crate::ids::Zxid;
use crate::storage::error::StorageError;
use crate::storage::files;
use std::fs::OpenOptions;
use std::path::Path;

/// Cuts a file at `len`, durably; a file without a record is deleted.
pub(super) fn cut(path: &Path, len: u64) -> Result<(), StorageError> {
    if len <= FILE_HEADER_LEN as u64 {
        files::remove(path)?;
        return Ok(());
    }
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| {
            file.set_len(len)?;
            file.sync_all()
        })
        .map_err(StorageError::io("truncate", path))
}

/// Takes away every transaction behind `to` and returns the last one left, `ZERO` for none.
///
/// Java cuts the file that holds `to` first and deletes the later ones after it: a crash in
/// between leaves a hole (ZOOKEEPER-5094). From the newest file backwards, every state in between
/// is a whole history, only longer.
pub(super) fn truncate(dir: &Path, to: Zxid) -> Result<Zxid, StorageError> {
    truncate_in_steps(dir, to, &mut || Ok(()))
}

/// [`truncate`], asking before every change of the disk, so that a test can end it there.
pub(super) fn truncate_in_steps(
    dir: &Path,
    to: Zxid,
    may_go_on: &mut dyn FnMut() -> Result<(), StorageError>,
) -> Result<Zxid, StorageError> {
    for (first, path) in files::list_logs(dir)?.into_iter().rev() {
        if first > to {
            may_go_on()?;
            files::remove(&path)?;
            continue;
        }
        let mut reader = read_log(dir, first)?;
        let mut keep = FILE_HEADER_LEN as u64;
        let mut behind = false;
        loop {
            match reader.next() {
                None => break,
                Some(entry) => {
                    if entry?.0 > to {
                        behind = true;
                        break;
                    }
                    keep = reader.place().map_or(keep, |(_, position)| position);
                }
            }
        }
        if behind || !reader.torn().is_empty() {
            may_go_on()?;
            cut(&path, keep)?;
        }
        break;
    }
    Ok(last_logged(dir)?.zxid)
}
