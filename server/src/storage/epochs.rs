//! `acceptedEpoch` and `currentEpoch`: the promises a member made, as decimal text beside the
//! snapshots. Source: `QuorumPeer.java` loadDataBase, readLongFromFile, writeLongToFile.

use super::error::StorageError;
use super::files;
use crate::ids::{Epoch, Zxid};
use std::path::{Path, PathBuf};

/// The two files with what they say. Every change is durable before it is seen here.
#[derive(Debug)]
pub struct EpochFiles {
    dir: PathBuf,
    accepted: Epoch,
    current: Epoch,
}

const ACCEPTED: &str = "acceptedEpoch";
const CURRENT: &str = "currentEpoch";
/// A lost promise can't be guessed: too low, and the member would vote against its word.
const ADVICE: &str =
    "restore the file, or empty this member's disk and let it sync from the others";

impl EpochFiles {
    /// Reads both files from the directory of the snapshots. A missing one is made with the epoch
    /// of the last transaction, as Java does for disks from before the files existed.
    ///
    /// # Errors
    /// [`StorageError::EpochBehindLog`] where the data is newer than both promises,
    /// [`StorageError::BadEpoch`] where a file makes no sense, [`StorageError::Io`].
    pub fn open(dir: &Path, last_logged: Zxid) -> Result<Self, StorageError> {
        // An empty disk that may not vote is at -1 in Java; its epoch is 0 all the same.
        let of_log = last_logged.max(Zxid::ZERO).epoch();
        let mut current = read_or_create(dir, CURRENT, of_log)?;
        let accepted = read_or_create(dir, ACCEPTED, of_log.max(current))?;
        if of_log > current {
            // The new epoch was being written when the process ended: the update is completed, as
            // Java completes it from `currentEpoch.tmp`.
            let temp = dir.join(format!("{CURRENT}.tmp"));
            match read(&temp) {
                Ok(Some(epoch)) if epoch >= of_log => {
                    write(dir, CURRENT, epoch)?;
                    current = epoch;
                }
                // The process ended while it took a leader's history over, which is logged as it
                // comes, before the epoch is entered. That is no damage: only who agreed to an epoch
                // is sent anything of it, and the consensus goes by the log and enters it first
                // thing. Java refuses to start from such a disk.
                _ if of_log <= accepted => {}
                _ => {
                    return Err(StorageError::EpochBehindLog {
                        path: dir.join(CURRENT),
                        current,
                        last: last_logged,
                    });
                }
            }
        }
        if accepted < current {
            return Err(StorageError::BadEpoch {
                path: dir.join(ACCEPTED),
                problem: format!(
                    "accepted epoch {accepted} is less than the current one, {current}; {ADVICE}"
                ),
            });
        }
        Ok(EpochFiles {
            dir: dir.to_owned(),
            accepted,
            current,
        })
    }

    /// The newest epoch this member promised to follow.
    #[must_use]
    pub fn accepted(&self) -> Epoch {
        self.accepted
    }

    /// The newest epoch whose history this member has.
    #[must_use]
    pub fn current(&self) -> Epoch {
        self.current
    }

    /// Promises an epoch; durable on return.
    ///
    /// # Errors
    /// [`StorageError`]; the old promise holds then.
    pub fn set_accepted(&mut self, epoch: Epoch) -> Result<(), StorageError> {
        write(&self.dir, ACCEPTED, epoch)?;
        self.accepted = epoch;
        Ok(())
    }

    /// Enters an epoch; durable on return. Everything of it that counts must be in the log before.
    ///
    /// # Errors
    /// [`StorageError`]; the old epoch holds then.
    pub fn set_current(&mut self, epoch: Epoch) -> Result<(), StorageError> {
        write(&self.dir, CURRENT, epoch)?;
        self.current = epoch;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Epoch>, StorageError> {
    let Some(text) = files::read_text(path)? else {
        return Ok(None);
    };
    let first = text.lines().next().unwrap_or_default().trim();
    match first.parse::<i64>() {
        Ok(epoch) if epoch >= 0 => Ok(Some(Epoch(epoch))),
        _ => Err(StorageError::BadEpoch {
            path: path.to_owned(),
            problem: format!("`{first}` is no epoch; {ADVICE}"),
        }),
    }
}

fn read_or_create(dir: &Path, name: &str, default: Epoch) -> Result<Epoch, StorageError> {
    if let Some(epoch) = read(&dir.join(name))? {
        return Ok(epoch);
    }
    write(dir, name, default)?;
    Ok(default)
}

fn write(dir: &Path, name: &str, epoch: Epoch) -> Result<(), StorageError> {
    files::replace(&dir.join(name), epoch.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_epoch_files_starts_at_the_epoch_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let epochs = EpochFiles::open(dir.path(), Zxid::new(Epoch(4), 7)).unwrap();
        assert_eq!((epochs.accepted(), epochs.current()), (Epoch(4), Epoch(4)));
        assert_eq!(
            std::fs::read(dir.path().join("currentEpoch")).unwrap(),
            b"4"
        );
    }

    #[test]
    fn promises_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut epochs = EpochFiles::open(dir.path(), Zxid::ZERO).unwrap();
        epochs.set_accepted(Epoch(9)).unwrap();
        epochs.set_current(Epoch(8)).unwrap();
        let epochs = EpochFiles::open(dir.path(), Zxid::new(Epoch(8), 1)).unwrap();
        assert_eq!((epochs.accepted(), epochs.current()), (Epoch(9), Epoch(8)));
    }

    #[test]
    fn a_member_that_ended_while_it_took_a_history_over_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("currentEpoch"), "89").unwrap();
        std::fs::write(dir.path().join("acceptedEpoch"), "90").unwrap();
        let epochs = EpochFiles::open(dir.path(), Zxid::new(Epoch(90), 0x1020)).unwrap();
        // The consensus enters the epoch of its log before it does anything else.
        assert_eq!(
            (epochs.accepted(), epochs.current()),
            (Epoch(90), Epoch(89))
        );
    }

    #[test]
    fn a_log_newer_than_both_epochs_is_refused_unless_its_update_was_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("currentEpoch"), "1").unwrap();
        std::fs::write(dir.path().join("acceptedEpoch"), "1").unwrap();
        let last = Zxid::new(Epoch(2), 1);
        let refused = EpochFiles::open(dir.path(), last).unwrap_err();
        assert!(
            matches!(refused, StorageError::EpochBehindLog { .. }),
            "{refused}"
        );
        std::fs::write(dir.path().join("acceptedEpoch"), "2").unwrap();
        std::fs::write(dir.path().join("currentEpoch.tmp"), "2").unwrap();
        let epochs = EpochFiles::open(dir.path(), last).unwrap();
        assert_eq!(epochs.current(), Epoch(2));
    }

    #[test]
    fn an_accepted_epoch_below_the_current_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("currentEpoch"), "5").unwrap();
        std::fs::write(dir.path().join("acceptedEpoch"), "4\n").unwrap();
        assert!(matches!(
            EpochFiles::open(dir.path(), Zxid::ZERO).unwrap_err(),
            StorageError::BadEpoch { .. }
        ));
    }

    #[test]
    fn an_epoch_file_with_other_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("currentEpoch"), "").unwrap();
        assert!(matches!(
            EpochFiles::open(dir.path(), Zxid::ZERO).unwrap_err(),
            StorageError::BadEpoch { .. }
        ));
    }
}
