//! Recovery from whatever may have happened to a disk: what comes back is the beginning of what
//! was written, with all that the damage did not touch, or a refusal.

use super::tests::{LOG, Member, RECOVER, names};
use super::*;
use crate::ids::Zxid;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

/// Cases of the property; more where the environment asks for them.
fn cases() -> u32 {
    let cases = std::env::var("ZOOKEEPER_DISK_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(192)
}

/// What a disk goes through while all is well.
#[derive(Clone, Debug)]
enum Step {
    /// So many transactions, made durable together.
    Write(i64),
    /// A snapshot, and a new log file.
    Snapshot,
    /// A snapshot in the middle of a log file, as a learner's.
    SnapshotAlone,
    /// A new log file.
    Roll,
    /// The process ends without a word, and another opens the log.
    Restart,
    /// The first transaction of a new leader.
    Epoch,
    /// Old files are taken away.
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_i64..8).prop_map(Step::Write),
        1 => Just(Step::Snapshot),
        1 => Just(Step::SnapshotAlone),
        1 => Just(Step::Roll),
        1 => Just(Step::Restart),
        1 => Just(Step::Epoch),
        1 => Just(Step::Purge),
    ]
}

/// What happens to one file.
#[derive(Clone, Debug)]
enum Damage {
    /// Some bits of one byte change.
    Flip(u8),
    /// The file ends here.
    Cut,
    /// So many bytes read as zeros, as a block that never reached the disk does.
    Zero(usize),
    /// So many bytes are something else.
    Garble(Vec<u8>),
    /// Something stands behind the end.
    Append(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (1_u8..=255).prop_map(Damage::Flip),
        Just(Damage::Cut),
        (1_usize..600).prop_map(Damage::Zero),
        proptest::collection::vec(any::<u8>(), 1..200).prop_map(Damage::Garble),
        proptest::collection::vec(any::<u8>(), 1..5000).prop_map(Damage::Append),
    ]
}

/// Does it, and returns where the file begins to differ.
fn inflict(damage: &Damage, path: &Path, at: usize) -> u64 {
    let mut bytes = fs::read(path).unwrap();
    let at = if bytes.is_empty() {
        0
    } else {
        at % bytes.len()
    };
    let before = bytes.clone();
    match damage {
        Damage::Flip(bits) => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bits;
            }
        }
        Damage::Cut => bytes.truncate(at),
        Damage::Zero(len) => {
            let end = bytes.len().min(at + len);
            bytes[at..end].fill(0);
        }
        Damage::Garble(garbage) => {
            let end = bytes.len().min(at + garbage.len());
            bytes[at..end].copy_from_slice(&garbage[..end - at]);
        }
        Damage::Append(garbage) => bytes.extend_from_slice(garbage),
    }
    fs::write(path, &bytes).unwrap();
    let same = before.iter().zip(&bytes).take_while(|(a, b)| a == b);
    same.count() as u64
}

/// A disk with a history, and the tree's digest after each of its transactions.
struct Written {
    member: Member,
    digests: Vec<(Zxid, i64)>,
}

fn written(steps: &[Step]) -> Written {
    let mut member = Member::new();
    let mut digests = vec![(Zxid::ZERO, member.database.digest())];
    let mut write = |member: &mut Member, zxid: Zxid| {
        member.write([zxid.0]);
        digests.push((zxid, member.database.digest()));
    };
    for step in steps {
        let last = member.database.last_processed();
        match step {
            Step::Write(count) => {
                for n in 1..=*count {
                    write(&mut member, Zxid(last.0 + n));
                }
            }
            Step::Epoch => write(&mut member, Zxid::new(last.epoch().next(), 1)),
            Step::Snapshot => member.snapshot(),
            Step::SnapshotAlone => {
                let frozen = member.database.freeze();
                member.snapshots.save(last, &frozen).unwrap();
            }
            Step::Roll => member.log.roll().unwrap(),
            Step::Purge => {
                member.snapshots.purge(3).unwrap();
            }
            Step::Restart => {
                member.log = TxnLog::open(&member.directories.logs(), LOG).unwrap();
            }
        }
    }
    Written { member, digests }
}

/// The last transaction whose record ends before `offset` of a log file, or in a file before it.
fn last_before(member: &Member, file: &Path, offset: u64) -> Zxid {
    let mut last = Zxid::ZERO;
    let mut reader = read_log(&member.directories.logs(), Zxid::ZERO).unwrap();
    while let Some(entry) = reader.next() {
        let (zxid, _) = entry.unwrap();
        let (path, end) = reader.place().unwrap();
        if path > file || (path == file && end > offset) {
            break;
        }
        last = zxid;
    }
    last
}

/// What a start does with a disk.
fn start(member: &Member) -> Result<Recovered, StorageError> {
    let log = TxnLog::open(&member.directories.logs(), LOG)?;
    let recovered = recover_with(&member.directories, &RECOVER)?;
    assert!(log.last_committed() <= recovered.last_logged);
    Ok(recovered)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn a_damaged_disk_comes_back_with_all_that_was_written_before_the_damage_or_not_at_all(
        steps in proptest::collection::vec(step(), 1..18),
        which in any::<prop::sample::Index>(),
        at in any::<usize>(),
        damage in damage(),
    ) {
        let Written { member, digests } = written(&steps);
        let whole = start(&member).map(|whole| (whole.last_logged, whole.database.digest()));
        prop_assert_eq!(whole.ok(), digests.last().copied(), "without any damage");
        let dir = member.directories.snapshots();
        let files = names(&dir);
        let name = &files[which.index(files.len())];
        let path = dir.join(name);
        // Asked while the disk is whole.
        let untouched = {
            let whole = fs::read(&path).unwrap();
            let offset = inflict(&damage, &path, at);
            let damaged = fs::read(&path).unwrap();
            fs::write(&path, &whole).unwrap();
            let (end, _) = *digests.last().unwrap();
            let untouched = if name.starts_with("log.") {
                last_before(&member, &path, offset)
            } else {
                end
            };
            fs::write(&path, damaged).unwrap();
            untouched
        };
        match start(&member) {
            Ok(recovered) => {
                let last = recovered.last_logged;
                prop_assert!(last >= untouched, "{last} came back, {untouched} was not touched");
                let expected = digests.iter().find(|(zxid, _)| *zxid == last);
                prop_assert_eq!(
                    expected.map(|(_, digest)| *digest),
                    Some(recovered.database.digest()),
                    "another tree came back at {}", last
                );
                prop_assert_eq!(recovered.database.last_processed(), last);
                // And it stays so: what a start changes on the disk loses nothing more.
                let again = start(&member);
                prop_assert_eq!(again.map(|again| again.last_logged).ok(), Some(last));
            }
            Err(refusal) => {
                let text = refusal.to_string();
                prop_assert!(text.contains(dir.to_str().unwrap()), "no file named: {text}");
            }
        }
    }
}

/// Files without content, as a full disk leaves them (ZOOKEEPER-2325, 2332, 3082).
#[test]
fn empty_files_that_a_full_disk_left_are_told_from_lost_data() {
    let mut member = Member::new();
    member.write(1..=10);
    member.snapshot();
    member.write(11..=12);
    let digest = member.database.digest();
    for empty in ["snapshot.c", "snapshot.c.gz", "snapshot.c.snappy", "log.d"] {
        fs::write(member.path(empty), b"").unwrap();
        let recovered = start(&member).unwrap();
        assert_eq!(recovered.last_logged, Zxid(12), "{empty}");
        assert_eq!(recovered.database.digest(), digest, "{empty}");
        let _ = fs::remove_file(member.path(empty));
    }
    // A log without content where transactions must have been.
    fs::write(member.path("log.1"), b"").unwrap();
    fs::write(member.path("snapshot.a"), b"").unwrap();
    let refused = start(&member).unwrap_err();
    assert!(matches!(refused, StorageError::LogGap { .. }), "{refused}");
}

/// Java stops at such a file. Nothing of it was ever acknowledged, so a start goes on.
#[test]
fn raw_garbage_behind_the_last_record_is_cut_off_and_the_log_goes_on() {
    let mut member = Member::new();
    member.write(1..=10);
    let path = member.path("log.1");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend((0..9_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]));
    fs::write(&path, bytes).unwrap();
    assert_eq!(start(&member).unwrap().last_logged, Zxid(10));
    member.log = TxnLog::open(&member.directories.logs(), LOG).unwrap();
    member.write(11..=12);
    assert_eq!(start(&member).unwrap().last_logged, Zxid(12));
}
