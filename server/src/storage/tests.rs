//! Whole disks: recovery, truncation, purge.

use super::*;
use crate::config::Compression;
use crate::ids::{Epoch, SessionId, WallMs, Xid, Zxid};
use crate::jute::Record;
use crate::proto::OpCode;
use crate::tree::{DIGEST_VERSION, Database, Watches, open_unsafe};
use crate::txn::{Txn, TxnDigest, TxnEntry, TxnHeader};
use std::fs;
use std::path::Path;
use std::time::Duration;

pub(super) const LOG: LogOptions = LogOptions {
    pre_alloc_bytes: 4096,
    force_sync: false,
    size_limit_bytes: None,
    fsync_warning_threshold: Duration::from_secs(60),
};

pub(super) const RECOVER: RecoverOptions = RecoverOptions {
    commit_log_count: 5,
    db_autocreate: true,
    trust_empty_snapshot: false,
    extended_types: false,
    snapshot: SnapshotOptions {
        compression: Compression::None,
        digest: true,
        last_processed: true,
    },
};

fn create(zxid: Zxid) -> TxnEntry {
    TxnEntry {
        header: TxnHeader {
            client_id: SessionId(1),
            cxid: Xid(1),
            zxid,
            time: WallMs(1_000),
            op: OpCode::CREATE,
        },
        txn: Txn::Create {
            path: format!("/n{:x}", zxid.0),
            data: Some(zxid.0.to_be_bytes().to_vec().into()),
            acl: open_unsafe(),
            ephemeral: false,
            parent_cversion: -1,
        },
        digest: None,
    }
}

/// A disk in use: log, and the database that it leads to.
pub(super) struct Member {
    _temp: tempfile::TempDir,
    pub(super) directories: Directories,
    pub(super) snapshots: SnapshotDir,
    pub(super) log: TxnLog,
    pub(super) database: Database,
}

impl Member {
    pub(super) fn new() -> Self {
        // In memory where that is possible: what is tested here is what is in the files.
        let memory = Path::new("/dev/shm");
        let temp = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let directories = Directories::open(temp.path(), temp.path(), true).unwrap();
        let recovered = recover_with(&directories, &RECOVER).unwrap();
        assert!(recovered.initialized);
        Member {
            snapshots: SnapshotDir::new(&directories, RECOVER.snapshot),
            log: TxnLog::open(&directories.logs(), LOG).unwrap(),
            directories,
            _temp: temp,
            database: recovered.database,
        }
    }

    pub(super) fn write(&mut self, zxids: impl IntoIterator<Item = i64>) {
        for zxid in zxids {
            let mut entry = create(Zxid(zxid));
            self.database
                .apply(&entry, &mut Vec::new(), &mut Watches::new());
            entry.digest = Some(TxnDigest {
                version: DIGEST_VERSION,
                tree_digest: self.database.digest(),
            });
            self.log.append(Zxid(zxid), &entry.to_vec()).unwrap();
        }
        self.log.commit().unwrap();
    }

    pub(super) fn snapshot(&mut self) {
        self.log.roll().unwrap();
        self.snapshots
            .save(self.database.last_processed(), &self.database.freeze())
            .unwrap();
    }

    fn recover(&self) -> Result<Recovered, StorageError> {
        recover_with(&self.directories, &RECOVER)
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.directories.snapshots().join(name)
    }
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

pub(super) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_empty_disk_gets_the_snapshot_that_java_writes() {
    let member = Member::new();
    assert_eq!(names(&member.directories.snapshots()), ["snapshot.0"]);
    assert!(member.recover().unwrap().initialized);
}

#[test]
fn an_empty_disk_without_autocreate_is_not_initialized_until_the_marker_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let (data, log) = (temp.path().join("data"), temp.path().join("log"));
    let directories = Directories::open(&data, &log, true).unwrap();
    let options = RecoverOptions {
        db_autocreate: false,
        ..RECOVER
    };
    let recovered = recover_with(&directories, &options).unwrap();
    assert!(!recovered.initialized);
    assert_eq!(recovered.last_logged, Zxid(-1));
    assert!(is_empty_disk(&data, &log).unwrap());

    write_initialize_marker(&data, &log).unwrap();
    let recovered = recover_with(&directories, &options).unwrap();
    assert!(recovered.initialized);
    assert_eq!(recovered.last_logged, Zxid::ZERO);
    assert!(!data.join("initialize").exists() && !log.join("initialize").exists());
    assert!(!is_empty_disk(&data, &log).unwrap());
    assert!(recover_with(&directories, &options).unwrap().initialized);
}

#[test]
fn a_disk_comes_back_from_snapshot_and_log() {
    let mut member = Member::new();
    member.write(1..=20);
    member.snapshot();
    member.write(21..=30);
    let recovered = member.recover().unwrap();
    assert_eq!(recovered.last_logged, Zxid(30));
    assert_eq!(recovered.database.digest(), member.database.digest());
    assert_eq!(recovered.database.last_processed(), Zxid(30));
    let recent: Vec<i64> = recovered.recent.iter().map(|(zxid, _)| zxid.0).collect();
    assert_eq!(recent, [26, 27, 28, 29, 30]);
    let first = TxnEntry::from_slice(&recovered.recent[0].1).unwrap();
    assert_eq!(first.txn, create(Zxid(26)).txn);
}

#[test]
fn every_compression_reads_back_to_the_same_tree() {
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
        for (digest, last_processed) in [(true, true), (true, false), (false, true), (false, false)]
        {
            let mut member = Member::new();
            member.write(1..=2_000);
            let options = SnapshotOptions {
                compression,
                digest,
                last_processed,
            };
            let path = save_snapshot(
                &member.directories.snapshots(),
                Zxid(2_000),
                &member.database.freeze(),
                options,
            )
            .unwrap();
            let info = verify_snapshot(&SnapshotFile::at(&path).unwrap()).unwrap();
            assert_eq!(info.nodes, member.database.tree.node_count());
            assert_eq!(
                info.digest,
                digest.then(|| (Zxid(2_000), member.database.digest()))
            );
            fs::remove_dir_all(member.directories.logs()).unwrap();
            fs::create_dir_all(member.directories.logs()).unwrap();
            save_snapshot(
                &member.directories.snapshots(),
                Zxid(2_000),
                &member.database.freeze(),
                options,
            )
            .unwrap();
            let recovered = member.recover().unwrap();
            assert_eq!(recovered.database.digest(), member.database.digest());
        }
    }
}

#[test]
fn a_snapshot_cut_or_changed_anywhere_is_never_taken() {
    let mut member = Member::new();
    member.write(1..=3);
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
        let options = SnapshotOptions {
            compression,
            ..RECOVER.snapshot
        };
        let dir = member.directories.snapshots();
        let frozen = member.database.freeze();
        let path = save_snapshot(&dir, Zxid(3), &frozen, options).unwrap();
        let file = SnapshotFile::at(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let whole = verify_snapshot(&file).unwrap();
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let skimmed = snapshot::check(&file);
            match verify_snapshot(&file) {
                Err(StorageError::WrongFile { .. }) => {
                    assert!(skimmed.is_err(), "{compression:?} cut at {cut}");
                }
                // Cut exactly between two sections: an older server's whole snapshot.
                Ok(info) => assert_eq!(info.nodes, whole.nodes, "{compression:?} cut at {cut}"),
                Err(other) => panic!("{compression:?} cut at {cut}: {other}"),
            }
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            fs::write(&path, &changed).unwrap();
            // What a purge looks at is as strict as what a start does.
            assert_eq!(
                snapshot::check(&file).is_ok(),
                verify_snapshot(&file).is_ok(),
                "{compression:?} byte {at}"
            );
            // Bytes that mean nothing (dbid, a gzip header's time, the "/" of a seal) may differ.
            if let Ok(info) = verify_snapshot(&file) {
                assert_eq!(
                    SnapshotInfo {
                        bytes: whole.bytes,
                        ..info
                    },
                    whole,
                    "{compression:?} byte {at}"
                );
            }
        }
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_older_snapshot_and_the_log_replace_a_damaged_newest_one() {
    let mut member = Member::new();
    member.write(1..=10);
    member.snapshot();
    member.write(11..=20);
    member.snapshot();
    member.write(21..=25);
    damage(&member.path("snapshot.14"));
    let recovered = member.recover().unwrap();
    assert_eq!(recovered.last_logged, Zxid(25));
    assert_eq!(recovered.database.digest(), member.database.digest());
}

#[test]
fn a_damaged_newest_snapshot_is_refused_where_the_logs_do_not_reach_it() {
    let mut member = Member::new();
    member.write(1..=10);
    member.snapshot();
    member.write(11..=20);
    member.snapshot();
    member.write(21..=25);
    damage(&member.path("snapshot.14"));
    // Transactions 11 to 20 are in no log any more.
    fs::remove_file(member.path("log.b")).unwrap();
    let refused = member.recover().unwrap_err();
    assert!(
        matches!(
            refused,
            StorageError::LogGap {
                from: Zxid(10),
                to: Zxid(21),
                ..
            }
        ),
        "{refused}"
    );
    // And neither is anything behind them.
    fs::remove_file(member.path("log.15")).unwrap();
    let refused = member.recover().unwrap_err();
    assert!(
        matches!(refused, StorageError::NoUsableSnapshot { .. }),
        "{refused}"
    );
}

#[test]
fn a_disk_with_nothing_but_damaged_snapshots_is_refused() {
    let mut member = Member::new();
    member.write(1..=3);
    member.snapshot();
    damage(&member.path("snapshot.0"));
    damage(&member.path("snapshot.3"));
    fs::remove_file(member.path("log.1")).unwrap();
    let refused = member.recover().unwrap_err();
    assert!(
        matches!(refused, StorageError::NoUsableSnapshot { .. }),
        "{refused}"
    );
}

#[test]
fn half_a_first_snapshot_of_an_empty_disk_is_written_anew() {
    let member = Member::new();
    let bytes = fs::read(member.path("snapshot.0")).unwrap();
    fs::write(member.path("snapshot.0"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(member.recover().unwrap().initialized);
    assert_eq!(fs::read(member.path("snapshot.0")).unwrap(), bytes);
}

#[test]
fn logs_without_a_snapshot_are_refused_unless_trusted() {
    let mut member = Member::new();
    member.write(1..=3);
    fs::remove_file(member.path("snapshot.0")).unwrap();
    let refused = member.recover().unwrap_err();
    assert!(
        matches!(refused, StorageError::LogsWithoutSnapshot { .. }),
        "{refused}"
    );
    let trusting = RecoverOptions {
        trust_empty_snapshot: true,
        ..RECOVER
    };
    let recovered = recover_with(&member.directories, &trusting).unwrap();
    assert_eq!(recovered.last_logged, Zxid(3));
}

#[test]
fn a_missing_log_between_two_is_noticed() {
    let mut member = Member::new();
    for start in [1, 11, 21] {
        member.write(start..start + 10);
        member.log.roll().unwrap();
    }
    fs::remove_file(member.path("log.b")).unwrap();
    let refused = member.recover().unwrap_err();
    assert!(
        matches!(
            refused,
            StorageError::LogGap {
                from: Zxid(10),
                to: Zxid(21),
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn a_new_epoch_is_no_gap() {
    let mut member = Member::new();
    member.write(1..=3);
    member.write((1..=3).map(|counter| Zxid::new(Epoch(2), counter).0));
    let recovered = member.recover().unwrap();
    assert_eq!(recovered.last_logged, Zxid::new(Epoch(2), 3));
    assert_eq!(recovered.database.digest(), member.database.digest());
}

/// The epoch that lost them is over, so that no position is missing: only the digests tell.
#[test]
fn transactions_missing_at_an_epochs_end_are_noticed_by_the_next_epochs_digest() {
    let mut member = Member::new();
    member.write(1..=3);
    let end = member.log.file_bytes();
    member.write(4..=5);
    member.log.roll().unwrap();
    member.write((1..=3).map(|counter| Zxid::new(Epoch(2), counter).0));
    let log = member.path("log.1");
    fs::OpenOptions::new()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(end)
        .unwrap();
    let refused = member.recover().unwrap_err();
    assert!(
        matches!(refused, StorageError::LogGap { from: Zxid(3), .. }),
        "{refused}"
    );
}

#[test]
fn a_snapshot_ahead_of_the_log_is_where_the_history_goes_on() {
    let mut member = Member::new();
    member.write(1..=3);
    // The leader sent its tree at 100.
    let mut sent = Database::new();
    sent.apply(&create(Zxid(100)), &mut Vec::new(), &mut Watches::new());
    member.snapshots.save(Zxid(100), &sent.freeze()).unwrap();
    member.log.continue_behind_snapshot(Zxid(100)).unwrap();
    member.database = sent;
    member.write(101..=103);
    let recovered = member.recover().unwrap();
    assert_eq!(recovered.last_logged, Zxid(103));
    assert_eq!(recovered.database.digest(), member.database.digest());
}

#[test]
fn what_is_truncated_is_gone_from_snapshots_too() {
    let mut member = Member::new();
    member.write(1..=10);
    member.snapshot();
    let digest_at_10 = member.database.digest();
    member.write(11..=20);
    member.snapshot();
    member.write(21..=22);
    member.snapshots.forget_behind(Zxid(10)).unwrap();
    // Interrupted here, the whole history is still there.
    assert_eq!(member.recover().unwrap().last_logged, Zxid(22));
    assert_eq!(member.log.truncate(Zxid(10)).unwrap(), Zxid(10));
    let recovered = member.recover().unwrap();
    assert_eq!(recovered.last_logged, Zxid(10));
    assert_eq!(recovered.database.digest(), digest_at_10);
}

#[test]
fn a_truncation_without_a_way_back_is_refused_before_anything_is_touched() {
    let mut member = Member::new();
    member.write(1..=10);
    member.snapshot();
    member.write(11..=20);
    member.snapshot();
    fs::remove_file(member.path("log.b")).unwrap();
    fs::remove_file(member.path("snapshot.0")).unwrap();
    let before = names(&member.directories.snapshots());
    for to in [5, 15] {
        let refused = member.snapshots.forget_behind(Zxid(to)).unwrap_err();
        assert!(
            matches!(refused, StorageError::CantTruncate { .. }),
            "{refused}"
        );
    }
    assert_eq!(names(&member.directories.snapshots()), before);
}

#[test]
fn a_leftover_of_an_interrupted_snapshot_is_cleared_away() {
    let member = Member::new();
    fs::write(member.path("tmp.snapshot.5"), b"half").unwrap();
    member.recover().unwrap();
    assert_eq!(names(&member.directories.snapshots()), ["snapshot.0"]);
}

#[test]
fn a_purge_keeps_whole_snapshots_and_every_log_that_one_of_them_needs() {
    let mut member = Member::new();
    let mut next = 1;
    for _ in 0..6 {
        member.write(next..next + 5);
        member.snapshot();
        next += 5;
    }
    member.write(next..next + 2);
    damage(&member.path("snapshot.19"));
    let purged = member.snapshots.purge(3).unwrap();
    assert_eq!(purged.oldest_kept, Some(Zxid(15)));
    assert_eq!(
        names(&member.directories.snapshots()),
        [
            "log.10",
            "log.15",
            "log.1a",
            "log.1f",
            "log.b",
            "snapshot.14",
            "snapshot.19",
            "snapshot.1e",
            "snapshot.f"
        ]
    );
    // From each of those that stayed, the history leads to its end.
    for newest in ["snapshot.1e", "snapshot.19", "snapshot.14"] {
        let recovered = member.recover().unwrap();
        assert_eq!(recovered.database.digest(), member.database.digest());
        fs::remove_file(member.path(newest)).unwrap();
    }
    let recovered = member.recover().unwrap();
    assert_eq!(recovered.database.digest(), member.database.digest());
}

#[test]
fn a_purge_with_too_few_snapshots_takes_nothing() {
    let mut member = Member::new();
    member.write(1..=5);
    member.snapshot();
    let before = names(&member.directories.snapshots());
    assert_eq!(member.snapshots.purge(3).unwrap(), Purged::default());
    assert_eq!(names(&member.directories.snapshots()), before);
}

#[test]
fn a_log_that_goes_on_over_several_snapshots_is_kept_for_the_oldest() {
    let mut member = Member::new();
    member.write(1..=5);
    for zxid in 6..=9 {
        // Snapshots without a new log file, as a learner writes them.
        member.write([zxid]);
        member
            .snapshots
            .save(Zxid(zxid), &member.database.freeze())
            .unwrap();
    }
    member.snapshots.purge(3).unwrap();
    assert_eq!(
        names(&member.directories.snapshots()),
        ["log.1", "snapshot.7", "snapshot.8", "snapshot.9"]
    );
}
