//! The two directories of a server, checked and locked once at its start.

use super::error::StorageError;
use super::files::{self, VERSION_DIR};
use super::room;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A server's directories. While it lives, no other server of this kind gets them.
#[derive(Debug)]
pub struct Directories {
    data_dir: PathBuf,
    log_dir: PathBuf,
    _locks: Vec<File>,
}

/// The lock's file, beside `myid`: Java never looks at it.
const LOCK_FILE: &str = "zookeeper-server.lock";

impl Directories {
    /// Makes the directories where they are missing and `create` allows it, checks that they can
    /// be written and are not mixed up, and locks them.
    /// Source: `FileTxnSnapLog.java` constructor, ZOOKEEPER-1161 and 2967.
    ///
    /// # Errors
    /// [`StorageError`] naming the directory and what to do.
    pub fn open(data_dir: &Path, log_dir: &Path, create: bool) -> Result<Self, StorageError> {
        let mut roots = vec![data_dir];
        if data_dir != log_dir {
            roots.push(log_dir);
        }
        for root in &roots {
            let dir = root.join(VERSION_DIR);
            if !dir.is_dir() {
                if !create {
                    return Err(StorageError::DirectoryMissing { path: dir });
                }
                fs::create_dir_all(&dir).map_err(StorageError::io("create", &dir))?;
                files::sync_dir(root)?;
            }
        }
        let mut locks = Vec::new();
        for root in &roots {
            locks.push(lock(root)?);
            check_writable(&root.join(VERSION_DIR))?;
        }
        let directories = Directories {
            data_dir: data_dir.to_owned(),
            log_dir: log_dir.to_owned(),
            _locks: locks,
        };
        directories.check_not_mixed_up()?;
        Ok(directories)
    }

    fn check_not_mixed_up(&self) -> Result<(), StorageError> {
        let same = match (
            fs::canonicalize(&self.data_dir),
            fs::canonicalize(&self.log_dir),
        ) {
            (Ok(data), Ok(log)) => data == log,
            _ => self.data_dir == self.log_dir,
        };
        if same {
            return Ok(());
        }
        for (dir, prefix, found) in [
            (self.logs(), "snapshot.", "snapshots, but is for logs"),
            (self.snapshots(), "log.", "logs, but is for snapshots"),
        ] {
            let strangers = files::list(&dir, |name| {
                name.starts_with(prefix)
                    .then_some((crate::ids::Zxid::ZERO, ()))
            })?;
            if !strangers.is_empty() {
                return Err(StorageError::DirectoriesMixedUp { path: dir, found });
            }
        }
        Ok(())
    }

    /// dataDir.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// dataLogDir.
    #[must_use]
    pub fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// Whether both directories have room for a member that logs in steps of `pre_alloc_bytes`.
    ///
    /// # Errors
    /// [`StorageError::Io`] for anything but a lack of room.
    pub fn have_room(&self, pre_alloc_bytes: u64) -> Result<bool, StorageError> {
        for dir in [self.snapshots(), self.logs()] {
            if !room::has_room(&dir, room::needed(&dir, pre_alloc_bytes))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where snapshots and epochs are: `version-2` in dataDir.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.data_dir.join(VERSION_DIR)
    }

    /// Where logs are: `version-2` in dataLogDir.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.log_dir.join(VERSION_DIR)
    }
}

/// That files can be made, found out now and not at the first write. A lack of room is another
/// matter, and passes.
fn check_writable(dir: &Path) -> Result<(), StorageError> {
    room::has_room(dir, 1).map(drop)
}

/// An advisory lock that the kernel drops with the process, so that none is ever left behind.
fn lock(root: &Path) -> Result<File, StorageError> {
    let path = root.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StorageError::io("write in", root))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(StorageError::InUse {
                path: root.to_owned(),
                holder: text.trim().parse().ok(),
            });
        }
        Err(fs::TryLockError::Error(error)) => return Err(StorageError::io("lock", path)(error)),
    }
    // The number is a courtesy to whoever is refused: failing to write it refuses nobody.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_serves_one_server_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directories::open(dir.path(), dir.path(), true).unwrap();
        let refused = Directories::open(dir.path(), dir.path(), true).unwrap_err();
        assert!(
            matches!(&refused, StorageError::InUse { holder: Some(pid), .. } if *pid == std::process::id()),
            "{refused}"
        );
        drop(first);
        Directories::open(dir.path(), dir.path(), true).unwrap();
    }

    #[test]
    fn a_missing_directory_is_made_only_where_that_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        let refused = Directories::open(&data, &data, false).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "{}/version-2 is missing and datadir.autocreate is false; create it, or check dataDir and dataLogDir",
                data.display()
            )
        );
        Directories::open(&data, &data, true).unwrap();
        assert!(data.join("version-2").is_dir());
    }

    #[test]
    fn mixed_up_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (data, log) = (dir.path().join("data"), dir.path().join("log"));
        drop(Directories::open(&data, &log, true).unwrap());
        fs::write(log.join("version-2/snapshot.0"), b"").unwrap();
        let refused = Directories::open(&data, &log, true).unwrap_err();
        assert!(
            matches!(refused, StorageError::DirectoriesMixedUp { .. }),
            "{refused}"
        );
    }
}
