//! Names and the few ways in which files are made here: never half, never forgotten by the directory.

use super::error::StorageError;
use crate::ids::Zxid;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The directory inside of dataDir and dataLogDir that holds the files.
/// Source: `FileTxnSnapLog.java` version.
pub const VERSION_DIR: &str = "version-2";

/// `log.<hex>`. Source: `Util.java` makeLogName.
pub(super) fn log_name(first: Zxid) -> String {
    format!("log.{:x}", first.0)
}

/// The zxid in the name of a log.
pub(super) fn log_zxid(name: &str) -> Option<Zxid> {
    hex(name.strip_prefix("log.")?)
}

/// Hexadecimal as in file names: of a Java long, so never above 2^63.
pub(super) fn hex(text: &str) -> Option<Zxid> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(text, 16).ok().map(Zxid)
}

/// Files of a directory whose name `parse` understands, sorted by zxid. A missing directory is an
/// empty one.
pub(super) fn list<T>(
    dir: &Path,
    parse: impl Fn(&str) -> Option<(Zxid, T)>,
) -> Result<Vec<(Zxid, PathBuf, T)>, StorageError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StorageError::io("list", dir)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StorageError::io("list", dir))?;
        if let Some((zxid, extra)) = entry.file_name().to_str().and_then(&parse) {
            files.push((zxid, entry.path(), extra));
        }
    }
    files.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    Ok(files)
}

/// The logs of a directory by their first zxid.
pub(super) fn list_logs(dir: &Path) -> Result<Vec<(Zxid, PathBuf)>, StorageError> {
    let logs = list(dir, |name| log_zxid(name).map(|zxid| (zxid, ())))?;
    Ok(logs
        .into_iter()
        .map(|(zxid, path, ())| (zxid, path))
        .collect())
}

/// Bytes of the files of a directory, as far as they say.
pub(super) fn bytes_in(dir: &Path) -> Result<u64, StorageError> {
    let entries = fs::read_dir(dir).map_err(StorageError::io("list", dir))?;
    // A file that is deleted meanwhile takes nothing.
    let sizes = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    Ok(sizes
        .filter(fs::Metadata::is_file)
        .map(|meta| meta.len())
        .sum())
}

/// Makes a directory's entries durable: without it a new, renamed or deleted file may be undone by
/// a crash.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(StorageError::io("sync", dir))
}

/// Deletes a file durably; false where there was none.
pub(super) fn remove(path: &Path) -> Result<bool, StorageError> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StorageError::io("delete", path)(error)),
    }
    if let Some(dir) = path.parent() {
        sync_dir(dir)?;
    }
    Ok(true)
}

/// Replaces a small file's content: old or new, never something between, and durable on return.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut temp = path.as_os_str().to_owned();
    // The suffix of `AtomicFileOutputStream.java`: Java cleans up or reads our leftovers as its own.
    temp.push(".tmp");
    let temp = PathBuf::from(temp);
    let written = File::create(&temp).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // A leftover would be taken for an interrupted update at the next start.
        let _ = fs::remove_file(&temp);
        return Err(StorageError::io("write", temp)(error));
    }
    fs::rename(&temp, path).map_err(StorageError::io("replace", path))?;
    sync_dir(dir)
}

/// A small text file's content without outer whitespace; `None` where there is none.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, StorageError> {
    const TEXT_BYTES_MAX: u64 = 4096;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("read", path)(error)),
    };
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, TEXT_BYTES_MAX), &mut text)
        .map_err(StorageError::io("read", path))?;
    Ok(Some(text.trim().to_owned()))
}
