//! The log against torn ends, damage, full disks and truncation.

use super::faulty::{Faults, faulty_log};
use super::format::{self, FILE_HEADER_LEN};
use super::write::padded_size;
use super::*;
use crate::ids::{Epoch, SessionId, WallMs, Xid, Zxid};
use crate::jute::Record;
use crate::proto::OpCode;
use crate::storage::StorageError;
use crate::txn::{Txn, TxnEntry, TxnHeader};
use proptest::prelude::*;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OPTIONS: LogOptions = LogOptions {
    pre_alloc_bytes: 8192,
    force_sync: true,
    size_limit_bytes: None,
    fsync_warning_threshold: Duration::from_secs(60),
};

fn payload(zxid: Zxid, data_len: usize) -> Vec<u8> {
    TxnEntry {
        header: TxnHeader {
            client_id: SessionId(7),
            cxid: Xid(1),
            zxid,
            time: WallMs(1_000),
            op: OpCode::SET_DATA,
        },
        txn: Txn::SetData {
            path: "/a".into(),
            data: Some(vec![0x42; data_len].into()),
            version: 1,
        },
        digest: None,
    }
    .to_vec()
}

fn append(log: &mut TxnLog, zxids: impl IntoIterator<Item = i64>) {
    for zxid in zxids {
        let zxid = Zxid(zxid);
        log.append(zxid, &payload(zxid, (zxid.0 % 40) as usize))
            .unwrap();
    }
    log.commit().unwrap();
}

fn open(dir: &Path) -> TxnLog {
    TxnLog::open(dir, OPTIONS).unwrap()
}

fn zxids(dir: &Path, from: i64) -> Vec<i64> {
    read_log(dir, Zxid(from))
        .unwrap()
        .map(|entry| entry.unwrap().0.0)
        .collect()
}

fn range(from: i64, to: i64) -> Vec<i64> {
    (from..=to).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The bytes of a file up to the zeros in advance.
fn used(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[test]
fn what_was_committed_reads_back_across_files_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1..=10);
    log.roll().unwrap();
    append(&mut log, 11..=20);
    drop(log);
    let mut log = open(dir.path());
    assert_eq!(log.last_committed(), Zxid(20));
    append(&mut log, 21..=25);
    assert_eq!(names(dir.path()), ["log.1", "log.15", "log.b"]);
    for from in 0..=26 {
        assert_eq!(
            zxids(dir.path(), from),
            range(from.max(1), 25),
            "from {from}"
        );
    }
}

#[test]
fn payloads_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    let payloads: Vec<Vec<u8>> = [0, 1, 5_000, 100_000]
        .iter()
        .enumerate()
        .map(|(index, len)| payload(Zxid(index as i64 + 1), *len))
        .collect();
    for (index, payload) in payloads.iter().enumerate() {
        log.append(Zxid(index as i64 + 1), payload).unwrap();
    }
    log.commit().unwrap();
    let read: Vec<Vec<u8>> = read_log(dir.path(), Zxid::ZERO)
        .unwrap()
        .map(|entry| entry.unwrap().1.to_vec())
        .collect();
    assert_eq!(read, payloads);
}

#[test]
fn files_grow_in_the_steps_of_java() {
    // `FilePaddingTest.java` and `FilePadding.java` calculateFileSizeWithPadding.
    assert_eq!(padded_size(16, 16, 65_536), 65_552);
    assert_eq!(padded_size(61_455, 65_552, 65_536), 65_552);
    assert_eq!(padded_size(61_456, 65_552, 65_536), 131_088);
    assert_eq!(padded_size(70_000, 65_552, 65_536), 131_072);
    assert_eq!(padded_size(70_000, 65_552, 0), 65_552);
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    append(&mut log, [1]);
    let len = || fs::metadata(dir.path().join("log.1")).unwrap().len();
    assert_eq!(len(), 16 + 8192);
    append(&mut log, 2..=100);
    append(&mut log, [101]);
    assert_eq!(len() % 16, 0);
    assert!(used(&dir.path().join("log.1")) as u64 <= len());
}

#[test]
fn nothing_reaches_the_disk_before_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.append(Zxid(1), &payload(Zxid(1), 3)).unwrap();
    assert!(names(dir.path()).is_empty());
    log.commit().unwrap();
    assert_eq!(zxids(dir.path(), 0), [1]);
}

#[test]
fn a_transaction_that_is_not_behind_the_last_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1..=3);
    assert!(matches!(
        log.append(Zxid(3), &payload(Zxid(3), 1)),
        Err(StorageError::NotBehindLast { .. })
    ));
    append(&mut log, [4]);
    assert_eq!(zxids(dir.path(), 0), range(1, 4));
}

#[test]
fn a_file_above_its_limit_is_followed_by_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        size_limit_bytes: Some(300),
        ..OPTIONS
    };
    let mut log = TxnLog::open(dir.path(), options).unwrap();
    for zxid in 1..=20 {
        append(&mut log, [zxid]);
    }
    assert!(names(dir.path()).len() > 3, "{:?}", names(dir.path()));
    assert_eq!(zxids(dir.path(), 0), range(1, 20));
}

/// Three records, the offset of the last one, and the bytes of the file without zeros in advance.
fn three_records(dir: &Path) -> (PathBuf, usize, Vec<u8>) {
    let mut log = open(dir);
    append(&mut log, 1..=2);
    let path = dir.join("log.1");
    let last = used(&path);
    append(&mut log, [3]);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(used(&path));
    (path, last, bytes)
}

#[test]
fn a_file_cut_at_any_byte_of_its_last_record_keeps_everything_before() {
    let dir = tempfile::tempdir().unwrap();
    let (path, last, bytes) = three_records(dir.path());
    for zeros in [0, 1, 13, 5000] {
        for cut in last..bytes.len() {
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            fs::write(&path, &torn).unwrap();
            let mut reader = read_log(dir.path(), Zxid::ZERO).unwrap();
            let read: Vec<i64> = reader.by_ref().map(|entry| entry.unwrap().0.0).collect();
            assert_eq!(read, [1, 2], "cut at {cut}, {zeros} zeros");
            // A first part of nothing but zeros can't be told from the zeros in advance.
            let whole_zeros = torn[last..].iter().all(|byte| *byte == 0);
            assert_eq!(reader.torn().is_empty(), whole_zeros, "cut at {cut}");
            if let [tail] = reader.torn() {
                assert_eq!(tail.offset, last as u64);
            }
            // Opened for writing, the log goes on as if the record had never been there.
            let mut log = open(dir.path());
            assert_eq!(log.last_committed(), Zxid(2));
            append(&mut log, 3..=4);
            assert_eq!(zxids(dir.path(), 0), range(1, 4), "cut at {cut}");
            fs::remove_file(dir.path().join("log.3")).unwrap();
        }
    }
}

#[test]
fn a_last_record_with_any_byte_changed_is_torn_and_everything_before_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (path, last, bytes) = three_records(dir.path());
    for at in last..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut torn = bytes.clone();
            torn[at] ^= change;
            torn.resize(bytes.len() + 4096, 0);
            fs::write(&path, &torn).unwrap();
            assert_eq!(zxids(dir.path(), 0), [1, 2], "byte {at} xor {change:#x}");
        }
    }
}

#[test]
fn garbage_behind_the_last_record_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _, bytes) = three_records(dir.path());
    for garbage in [&[1_u8][..], &[0, 0, 0, 0, 1], &[0xff; 300]] {
        let mut torn = bytes.clone();
        torn.extend_from_slice(garbage);
        fs::write(&path, &torn).unwrap();
        assert_eq!(zxids(dir.path(), 0), [1, 2, 3]);
    }
}

#[test]
fn damage_with_a_whole_record_behind_it_is_an_error_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (path, last, bytes) = three_records(dir.path());
    let first_end = FILE_HEADER_LEN + (last - FILE_HEADER_LEN) / 2;
    for at in FILE_HEADER_LEN..first_end - 2 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let errors: Vec<StorageError> = read_log(dir.path(), Zxid::ZERO)
            .unwrap()
            .filter_map(Result::err)
            .collect();
        assert!(
            matches!(errors.as_slice(), [StorageError::LogDamaged { .. }]),
            "byte {at}: {errors:?}"
        );
        assert!(TxnLog::open(dir.path(), OPTIONS).is_err(), "byte {at}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "opening must not cut");
    }
}

#[test]
fn a_zeroed_record_with_a_whole_record_behind_it_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (path, last, mut bytes) = three_records(dir.path());
    bytes[FILE_HEADER_LEN..last].fill(0);
    fs::write(&path, &bytes).unwrap();
    let first = read_log(dir.path(), Zxid::ZERO).unwrap().next();
    assert!(matches!(first, Some(Err(StorageError::LogDamaged { .. }))));
}

#[test]
fn a_damaged_end_of_an_older_file_is_an_error_unless_the_next_transaction_follows() {
    let dir = tempfile::tempdir().unwrap();
    let (path, last, bytes) = three_records(dir.path());
    // Java leaves a torn 3 in place and writes 3 again into a new file.
    fs::write(&path, &bytes[..last + 20]).unwrap();
    let next = |zxid: i64| {
        let mut file = format::file_header().to_vec();
        let payload = payload(Zxid(zxid), 1);
        format::write_record(&mut file, &payload, payload.len() as i32);
        fs::write(dir.path().join(format!("log.{zxid:x}")), file).unwrap();
    };
    next(3);
    assert_eq!(zxids(dir.path(), 0), [1, 2, 3]);
    fs::remove_file(dir.path().join("log.3")).unwrap();
    next(4);
    let errors = read_log(dir.path(), Zxid::ZERO)
        .unwrap()
        .filter(Result::is_err);
    assert_eq!(errors.count(), 1);
    fs::remove_file(dir.path().join("log.4")).unwrap();
    // A new epoch begins: the torn record was not committed, the damaged whole one may have been.
    next(Zxid::new(Epoch(1), 1).0);
    assert_eq!(zxids(dir.path(), 0).len(), 3);
    let mut damaged = bytes.clone();
    damaged[last + 30] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let errors = read_log(dir.path(), Zxid::ZERO)
        .unwrap()
        .filter(Result::is_err);
    assert_eq!(errors.count(), 1);
}

#[test]
fn an_empty_or_headerless_last_file_is_taken_away() {
    for content in [&b""[..], b"ZK", b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0", &[0; 8192]] {
        let dir = tempfile::tempdir().unwrap();
        append(&mut open(dir.path()), 1..=3);
        fs::write(dir.path().join("log.4"), content).unwrap();
        assert_eq!(zxids(dir.path(), 0), [1, 2, 3]);
        let mut log = open(dir.path());
        assert_eq!(log.last_committed(), Zxid(3));
        assert_eq!(names(dir.path()), ["log.1"]);
        append(&mut log, [4]);
        assert_eq!(zxids(dir.path(), 0), range(1, 4));
    }
}

#[test]
fn a_file_that_is_no_log_is_an_error() {
    // The second ends within its header, and is not the beginning of any that was written.
    for content in [&[7; 100][..], b"ZKLG\0\0\0\x02\0\x01"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log.1"), content).unwrap();
        let refused = TxnLog::open(dir.path(), OPTIONS).unwrap_err();
        assert!(
            matches!(refused, StorageError::WrongFile { .. }),
            "{refused}"
        );
    }
}

#[test]
fn a_transaction_logged_twice_by_java_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    append(&mut open(dir.path()), 1..=3);
    let mut file = format::file_header().to_vec();
    for zxid in [3, 4] {
        let payload = payload(Zxid(zxid), zxid as usize);
        format::write_record(&mut file, &payload, payload.len() as i32);
    }
    fs::write(dir.path().join("log.3"), &file).unwrap();
    assert_eq!(zxids(dir.path(), 0), range(1, 4));
    // Another transaction at the same position is another history.
    let mut file = format::file_header().to_vec();
    let payload = payload(Zxid(3), 30);
    format::write_record(&mut file, &payload, payload.len() as i32);
    fs::write(dir.path().join("log.3"), &file).unwrap();
    assert!(
        read_log(dir.path(), Zxid(1))
            .unwrap()
            .any(|entry| entry.is_err())
    );
}

#[test]
fn truncation_keeps_exactly_what_is_not_behind_the_position() {
    for to in 0..=26 {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        for files in [1..=10, 11..=11, 12..=25] {
            append(&mut log, files);
            log.roll().unwrap();
        }
        let last = log.truncate(Zxid(to)).unwrap();
        let kept = to.min(25);
        assert_eq!(last, Zxid(kept));
        assert_eq!(zxids(dir.path(), 0), range(1, kept), "to {to}");
        append(&mut log, kept + 1..=kept + 3);
        drop(log);
        let log = open(dir.path());
        assert_eq!(log.last_committed(), Zxid(kept + 3));
        assert_eq!(zxids(dir.path(), 0), range(1, kept + 3), "to {to}");
    }
}

#[test]
fn a_truncation_forgets_what_was_only_appended() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1..=3);
    log.append(Zxid(4), &payload(Zxid(4), 1)).unwrap();
    assert_eq!(log.truncate(Zxid(9)).unwrap(), Zxid(3));
    append(&mut log, [4]);
    assert_eq!(zxids(dir.path(), 0), range(1, 4));
}

#[test]
fn a_truncation_interrupted_at_any_step_leaves_a_longer_history_without_a_hole() {
    let mut steps_seen = 0;
    for stop_at in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        for start in [1, 6, 11, 16] {
            append(&mut log, start..start + 5);
            log.roll().unwrap();
        }
        let mut steps = 0;
        let result = super::truncate::truncate_in_steps(dir.path(), Zxid(3), &mut || {
            steps += 1;
            if steps > stop_at {
                return Err(StorageError::CantTruncate { to: Zxid(3) });
            }
            Ok(())
        });
        // The crash: whoever comes next finds the files as they are.
        let read = zxids(dir.path(), 0);
        assert_eq!(
            read,
            range(1, read.len() as i64),
            "stopped before step {stop_at}"
        );
        assert!(read.len() >= 3);
        assert_eq!(result.is_ok(), read.len() == 3);
        assert_eq!(open(dir.path()).last_committed(), Zxid(read.len() as i64));
        steps_seen = steps_seen.max(steps);
    }
    assert_eq!(steps_seen, 4, "three files deleted, one cut");
}

#[test]
fn a_history_goes_on_behind_a_snapshot_but_never_before_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1..=3);
    assert!(log.continue_behind_snapshot(Zxid(2)).is_err());
    log.continue_behind_snapshot(Zxid(100)).unwrap();
    append(&mut log, [101]);
    assert_eq!(names(dir.path()), ["log.1", "log.65"]);
    assert_eq!(zxids(dir.path(), 100), [101]);
}

fn faulty(dir: &Path) -> (TxnLog, Faults) {
    faulty_log(dir, OPTIONS)
}

#[test]
fn a_full_disk_leaves_the_log_clean_and_able_to_go_on() {
    for (prepared, operation) in [(0, "create"), (0, "write"), (2, "write")] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, faults) = faulty(dir.path());
        append(&mut log, 1..=prepared);
        faults.next(operation, io::ErrorKind::StorageFull);
        for zxid in prepared + 1..=prepared + 3 {
            log.append(Zxid(zxid), &payload(Zxid(zxid), 10)).unwrap();
        }
        let refused = log.commit().unwrap_err();
        assert!(refused.is_disk_full(), "{refused}");
        assert_eq!(log.last_committed(), Zxid(prepared));
        assert_eq!(zxids(dir.path(), 0), range(1, prepared));
        // There is room again, for other transactions at the same positions.
        append(&mut log, prepared + 1..=prepared + 2);
        assert_eq!(zxids(dir.path(), 0), range(1, prepared + 2));
    }
}

#[test]
fn a_disk_without_room_to_grow_in_advance_still_takes_what_fits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, faults) = faulty(dir.path());
    faults.next("grow", io::ErrorKind::StorageFull);
    append(&mut log, 1..=2);
    assert_eq!(zxids(dir.path(), 0), [1, 2]);
}

#[test]
fn any_other_failure_poisons_the_log_for_good() {
    for (operation, kind) in [
        ("create", io::ErrorKind::PermissionDenied),
        ("write", io::ErrorKind::Other),
        ("sync", io::ErrorKind::Other),
        ("sync", io::ErrorKind::StorageFull),
        ("sync_dir", io::ErrorKind::Other),
        ("grow", io::ErrorKind::Other),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, faults) = faulty(dir.path());
        faults.next(operation, kind);
        log.append(Zxid(1), &payload(Zxid(1), 10)).unwrap();
        let failed = log.commit().unwrap_err();
        assert!(
            matches!(failed, StorageError::Io { .. }),
            "{operation}: {failed}"
        );
        for _ in 0..2 {
            let refused = log.append(Zxid(2), &payload(Zxid(2), 1)).unwrap_err();
            assert!(
                matches!(refused, StorageError::Poisoned { .. }),
                "{operation}"
            );
            assert!(log.commit().is_err(), "{operation}");
            assert!(log.roll().is_err(), "{operation}");
            assert!(log.truncate(Zxid::ZERO).is_err(), "{operation}");
        }
        assert_eq!(log.last_committed(), Zxid::ZERO, "{operation}");
    }
}

#[test]
fn what_a_failed_fsync_left_behind_is_not_found_by_the_next_start() {
    for prepared in [0, 2] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, faults) = faulty(dir.path());
        append(&mut log, 1..=prepared);
        faults.next("sync", io::ErrorKind::Other);
        let next = Zxid(prepared + 1);
        log.append(next, &payload(next, 10)).unwrap();
        assert!(log.commit().is_err());
        drop(log);
        // Read again it would pass for durable, and be voted with.
        assert_eq!(zxids(dir.path(), 0), range(1, prepared));
        assert_eq!(open(dir.path()).last_committed(), Zxid(prepared));
    }
}

#[test]
fn a_full_disk_that_can_t_be_cleaned_up_poisons_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, faults) = faulty(dir.path());
    append(&mut log, 1..=2);
    faults.next("write", io::ErrorKind::StorageFull);
    faults.next("set_len", io::ErrorKind::Other);
    log.append(Zxid(3), &payload(Zxid(3), 10)).unwrap();
    assert!(log.commit().is_err());
    assert!(matches!(log.commit(), Err(StorageError::Poisoned { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is cut off or overwritten at the end of the last file, a prefix comes back, and it
    /// holds everything that was whole before the first changed byte.
    #[test]
    fn any_damage_to_the_end_gives_back_every_record_before_it(
        batches in proptest::collection::vec(1_i64..6, 1..6),
        cut in 0_usize..4000,
        garbage in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        let mut next = 1;
        let mut ends = vec![(FILE_HEADER_LEN, 0)];
        for batch in batches {
            append(&mut log, next..next + batch);
            next += batch;
            ends.push((used(&dir.path().join("log.1")), next - 1));
        }
        drop(log);
        let path = dir.path().join("log.1");
        let mut bytes = fs::read(&path).unwrap();
        let cut = FILE_HEADER_LEN + cut % (used(&path) - FILE_HEADER_LEN + 1);
        bytes.truncate(cut);
        bytes.extend_from_slice(&garbage);
        fs::write(&path, &bytes).unwrap();
        let whole = ends.iter().rev().find(|(end, _)| *end <= cut).map_or(0, |(_, last)| *last);
        let read = zxids(dir.path(), 0);
        prop_assert_eq!(&read, &range(1, read.len() as i64));
        prop_assert!(read.len() as i64 >= whole);
        let mut log = open(dir.path());
        let last = log.last_committed().0;
        append(&mut log, last + 1..=last + 2);
        prop_assert_eq!(zxids(dir.path(), 0), range(1, last + 2));
    }
}
