//! Whether a directory's file system has room, asked by taking some and giving it back: numbers
//! alone know nothing of quotas, nor of what is reserved for others.

use super::error::{StorageError, is_full};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

/// Beside the member's files, and only for a moment.
const PROBE_FILE: &str = "zookeeper-server.room";
/// No member goes on with less.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// Bytes that must be free before a member whose disk was full goes on: two steps of the log, so
/// that it does not stop again at once, but no more than a sixteenth of a small file system.
pub(super) fn needed(dir: &Path, pre_alloc_bytes: u64) -> u64 {
    let needed = pre_alloc_bytes.saturating_mul(2).max(ROOM_BYTES_MIN);
    match statvfs(dir) {
        Ok(stat) => needed.min(stat.f_blocks.saturating_mul(stat.f_frsize) / 16),
        Err(_) => needed,
    }
}

/// Bytes that are free by the file system's own account.
pub(super) fn free(dir: &Path) -> io::Result<u64> {
    let stat = statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether `bytes` can be had now.
pub(super) fn has_room(dir: &Path, bytes: u64) -> Result<bool, StorageError> {
    let path = dir.join(PROBE_FILE);
    let taken = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .and_then(|file| {
            match fallocate(&file, FallocateFlags::empty(), 0, bytes.max(1)) {
                // A file system that can't reserve is believed.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(free(dir)? >= bytes),
                Err(error) => Err(error.into()),
                Ok(()) => Ok(true),
            }
        });
    let removed = fs::remove_file(&path);
    match taken {
        Ok(taken) => {
            removed.map_err(StorageError::io("delete", path))?;
            Ok(taken)
        }
        Err(error) if is_full(&error) => Ok(false),
        Err(error) => Err(StorageError::io("write", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_found_where_there_is_some_and_nothing_stays_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert!(has_room(dir.path(), 4096).unwrap());
        // More than any file system of today has.
        assert!(!has_room(dir.path(), 1 << 60).unwrap_or(false));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(needed(dir.path(), 0) <= ROOM_BYTES_MIN);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_no_lack_of_room() {
        let dir = tempfile::tempdir().unwrap();
        let problem = has_room(&dir.path().join("gone"), 1).unwrap_err();
        assert!(!problem.is_disk_full(), "{problem}");
    }
}
