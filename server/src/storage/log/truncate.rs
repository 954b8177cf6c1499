//! Taking transactions away again. Source: `FileTxnLog.java` truncate, whose order is not ours.

use super::format::FILE_HEADER_LEN;
use super::read::{last_logged, read_log};
use crate::ids::Zxid;
use crate::storage::error::StorageError;
use crate::storage::files;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
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

/// Cuts a log file at a byte behind a whole record, durably; without a record it is deleted.
/// For tools: no server may run on it.
///
/// # Errors
/// [`StorageError::Io`].
pub fn cut_log(path: &Path, len: u64) -> Result<(), StorageError> {
    cut(path, len)
}

/// Copies the front of a log file, up to a byte behind a whole record, into a new file, durably.
///
/// # Errors
/// [`StorageError::Io`], also where the new file is there already.
pub fn copy_log_front(path: &Path, len: u64, target: &Path) -> Result<(), StorageError> {
    let mut from = File::open(path)
        .map_err(StorageError::io("read", path))?
        .take(len);
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(target)
        .map_err(StorageError::io("create", target))?;
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.sync_all());
    if let Err(error) = copied {
        let _ = std::fs::remove_file(target);
        return Err(StorageError::io("write", target)(error));
    }
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty());
    files::sync_dir(dir.unwrap_or(Path::new(".")))
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
