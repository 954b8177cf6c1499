//! Files that Apache ZooKeeper 3.9.5 wrote, read and written again, byte for byte where the bytes
//! are determined.
//!
//! `golden/java-3.9.5` is the disk of a standalone server that a Java client used (every kind of
//! node, a refused create, two multis, two sessions), the same snapshot packed in all three ways,
//! and what the Java client saw of it.

// What a test calls fails as the test itself does.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zookeeper_server::config::Compression;
use zookeeper_server::ids::Zxid;
use zookeeper_server::jute::Record;
use zookeeper_server::proto::OpCode;
use zookeeper_server::storage::{
    Directories, LogOptions, RecoverOptions, Recovered, SnapshotFile, SnapshotOptions, TxnLog,
    open_snapshot, read_log, recover_with, save_snapshot, verify_snapshot,
};
use zookeeper_server::tree::{Database, NodeRef};
use zookeeper_server::txn::TxnEntry;

const LAST: Zxid = Zxid(0x17);

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/java-3.9.5")
}

fn snapshot(extension: &str) -> SnapshotFile {
    let path = golden().join(format!("version-2/snapshot.17{extension}"));
    SnapshotFile::at(&path).expect("the name is a snapshot's")
}

/// A copy of the golden disk with only the files named.
fn disk(files: &[&str]) -> (tempfile::TempDir, Directories) {
    let temp = tempfile::tempdir().unwrap();
    let directories = Directories::open(temp.path(), temp.path(), true).unwrap();
    for file in files {
        let from = golden().join("version-2").join(file);
        fs::copy(from, directories.logs().join(file)).unwrap();
    }
    (temp, directories)
}

fn recover(directories: &Directories) -> Recovered {
    let options = RecoverOptions {
        commit_log_count: 500,
        db_autocreate: false,
        trust_empty_snapshot: false,
        extended_types: true,
        snapshot: SnapshotOptions::default(),
    };
    recover_with(directories, &options).unwrap()
}

/// Every node with data, children and stat, as the Java client printed them.
fn nodes(database: &Database) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![database.tree.get("/").unwrap()];
    while let Some(node) = open.pop() {
        found.insert(node.path(), described(&node));
        open.extend(node.children());
    }
    found
}

fn described(node: &NodeRef<'_>) -> String {
    let stat = node.stat();
    let data = node.data().map_or_else(
        || "null".into(),
        |data| String::from_utf8_lossy(data).into_owned(),
    );
    format!(
        "{data} | {} {} {} {} {} {} {:x} {}",
        stat.czxid.0,
        stat.mzxid.0,
        stat.pzxid.0,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.ephemeral_owner.0,
        stat.num_children
    )
}

fn seen_by_java() -> BTreeMap<String, String> {
    let text = fs::read_to_string(golden().join("nodes.txt")).unwrap();
    let line = |line: &str| {
        let (path, rest) = line.split_once(" | ").unwrap();
        (path.to_owned(), rest.to_owned())
    };
    text.lines().map(line).collect()
}

#[test]
fn every_transaction_of_javas_log_reads_and_writes_to_the_same_bytes() {
    let (temp, directories) = disk(&["log.1"]);
    let mut reader = read_log(&directories.logs(), Zxid::ZERO).unwrap();
    let entries: Vec<(Zxid, bytes::Bytes)> = reader.by_ref().map(Result::unwrap).collect();
    assert!(reader.torn().is_empty());
    assert_eq!(entries.last().unwrap().0, LAST);
    assert_eq!(entries.len(), 23);

    let again = temp.path().join("again");
    fs::create_dir(&again).unwrap();
    let options = LogOptions {
        // The server that wrote it ran with preAllocSize=64.
        pre_alloc_bytes: 64 * 1024,
        force_sync: true,
        size_limit_bytes: None,
        fsync_warning_threshold: Duration::from_secs(60),
    };
    let mut log = TxnLog::open(&again, options).unwrap();
    for (zxid, payload) in &entries {
        let entry = TxnEntry::from_slice(payload).unwrap();
        assert_eq!(entry.header.zxid, *zxid);
        // A refused request changes nothing, so it carries no digest.
        assert_eq!(
            entry.digest.is_none(),
            entry.header.op == OpCode::ERROR,
            "{zxid}"
        );
        log.append(*zxid, &entry.to_vec()).unwrap();
        log.commit().unwrap();
    }
    let ours = fs::read(again.join("log.1")).unwrap();
    let javas = fs::read(directories.logs().join("log.1")).unwrap();
    assert_eq!(ours.len(), 16 + 64 * 1024, "zeros in advance, as Java's");
    // The golden file is cut behind a part of its zeros.
    assert_eq!(ours[..javas.len()], javas);
    assert!(ours[javas.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn javas_snapshot_reads_to_the_nodes_that_its_client_saw() {
    for extension in ["", ".gz", ".snappy"] {
        let (database, info) = open_snapshot(&snapshot(extension)).unwrap();
        assert_eq!(nodes(&database), seen_by_java(), "snapshot.17{extension}");
        assert_eq!(info.digest, Some((LAST, database.digest())));
        assert_eq!((info.sessions, info.fuzzy_until), (1, LAST));
    }
}

#[test]
fn javas_log_replayed_over_its_first_snapshot_gives_its_last_one() {
    let (_temp, directories) = disk(&["snapshot.0", "log.1"]);
    let recovered = recover(&directories);
    let (last, _) = open_snapshot(&snapshot("")).unwrap();
    assert_eq!(recovered.last_logged, LAST);
    assert_eq!(recovered.database.digest(), last.digest());
    assert_eq!(recovered.database.sessions(), last.sessions());
    assert_eq!(nodes(&recovered.database), seen_by_java());
    // Each of Java's transactions carries its tree's digest, and ours had it after each.
    assert_eq!(recovered.database.digest_mismatches(), 0);
    assert_eq!(recovered.recent.len(), 23);
}

#[test]
fn the_first_snapshot_is_javas_byte_for_byte() {
    let (_temp, directories) = disk(&[]);
    fs::write(directories.data_dir().join("initialize"), "").unwrap();
    recover(&directories);
    let ours = fs::read(directories.snapshots().join("snapshot.0")).unwrap();
    let javas = fs::read(golden().join("version-2/snapshot.0")).unwrap();
    assert_eq!(ours, javas);
}

/// Java writes nodes in the order of a hash map, so only their order differs: the same bytes,
/// sorted, apart from the checksums over them.
#[test]
fn javas_last_snapshot_written_again_differs_in_the_order_of_nodes_alone() {
    let (database, info) = open_snapshot(&snapshot("")).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let options = SnapshotOptions::default();
    let path = save_snapshot(temp.path(), LAST, &database.freeze(), options).unwrap();
    let (ours, javas) = (
        fs::read(&path).unwrap(),
        fs::read(golden().join("version-2/snapshot.17")).unwrap(),
    );
    assert_eq!(ours.len(), javas.len());
    let without_seals = |bytes: &[u8]| {
        // Tree, seal, digest's section, seal, zxid's section, seal.
        let mut bytes = bytes[..bytes.len() - 13 - 8 - 13 - 20 - 13].to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(without_seals(&ours), without_seals(&javas));
    let again = SnapshotFile::at(&path).unwrap();
    assert_eq!(verify_snapshot(&again).unwrap(), info);
    let (reread, _) = open_snapshot(&again).unwrap();
    assert_eq!(nodes(&reread), seen_by_java());
}

/// Packed again in Java's framing: what is inside is what we write without packing.
#[test]
fn packed_snapshots_hold_the_same_tree() {
    let (database, _) = open_snapshot(&snapshot(".snappy")).unwrap();
    for compression in [Compression::Gzip, Compression::Snappy] {
        let temp = tempfile::tempdir().unwrap();
        let options = SnapshotOptions {
            compression,
            ..SnapshotOptions::default()
        };
        let path = save_snapshot(temp.path(), LAST, &database.freeze(), options).unwrap();
        let (again, _) = open_snapshot(&SnapshotFile::at(&path).unwrap()).unwrap();
        assert_eq!(nodes(&again), seen_by_java());
    }
    let bytes = fs::read(&snapshot(".snappy").path).unwrap();
    assert_eq!(&bytes[..16], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
}
