//! Files that we write, read by Apache's own tools. Needs a Java machine on the path and Apache
//! ZooKeeper 3.9.5 with its dependencies in `ZOOKEEPER_CLASSPATH`; run with `--ignored`.

// What a test calls fails as the test itself does.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zookeeper_server::config::Compression;
use zookeeper_server::ids::Zxid;
use zookeeper_server::storage::{
    LogOptions, SnapshotFile, SnapshotOptions, TxnLog, open_snapshot, read_log, save_snapshot,
    verify_snapshot,
};
use zookeeper_server::tree::Database;

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/java-3.9.5/version-2")
        .join(name)
}

fn classpath() -> String {
    std::env::var("ZOOKEEPER_CLASSPATH")
        .expect("ZOOKEEPER_CLASSPATH must name Apache ZooKeeper's jars")
}

/// What a Java program prints.
fn java(main: &str, file: &Path) -> String {
    let output = Command::new("java")
        .args([
            "-Dzookeeper.extendedTypesEnabled=true",
            "-cp",
            &classpath(),
            main,
        ])
        .arg(file)
        .output()
        .expect("java must be on the path");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The lines of a listing, sorted: Java's order is a hash map's.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
#[ignore = "needs Java and ZOOKEEPER_CLASSPATH"]
fn java_reads_our_snapshots_as_its_own() {
    const FORMATTER: &str = "org.apache.zookeeper.server.SnapshotFormatter";
    let theirs = sorted(&java(FORMATTER, &golden("snapshot.17")));
    assert!(theirs.len() > 100);
    let file = SnapshotFile::at(&golden("snapshot.17")).unwrap();
    let (database, _) = open_snapshot(&file).unwrap();
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
        let temp = tempfile::tempdir().unwrap();
        let options = SnapshotOptions {
            compression,
            ..SnapshotOptions::default()
        };
        let ours = save_snapshot(temp.path(), Zxid(0x17), &database.freeze(), options).unwrap();
        assert_eq!(sorted(&java(FORMATTER, &ours)), theirs, "{compression:?}");
    }
}

/// A Java server, ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Java replays our log over our first snapshot and writes a snapshot of its own at once.
#[test]
#[ignore = "needs Java and ZOOKEEPER_CLASSPATH"]
fn a_java_server_starts_on_our_disk_and_comes_to_the_same_tree() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data/version-2");
    fs::create_dir_all(&dir).unwrap();
    let options = LogOptions {
        pre_alloc_bytes: 64 << 20,
        force_sync: true,
        size_limit_bytes: None,
        fsync_warning_threshold: Duration::from_secs(60),
    };
    let source = temp.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::copy(golden("log.1"), source.join("log.1")).unwrap();
    let mut log = TxnLog::open(&dir, options).unwrap();
    for entry in read_log(&source, Zxid::ZERO).unwrap() {
        let (zxid, payload) = entry.unwrap();
        log.append(zxid, &payload).unwrap();
        if zxid.0 % 5 == 0 {
            log.roll().unwrap();
        }
    }
    log.commit().unwrap();
    let empty = Database::with_extended_types(true).freeze();
    save_snapshot(&dir, Zxid::ZERO, &empty, SnapshotOptions::default()).unwrap();

    let cfg = temp.path().join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nextendedTypesEnabled=true\n",
        temp.path().join("data").display()
    );
    fs::write(&cfg, text).unwrap();
    let child = Command::new("java")
        .args(["-Xmx256m", "-cp", &classpath()])
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(&cfg)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("java must be on the path");
    let mut server = Server(child);
    let file = SnapshotFile::at(&dir.join("snapshot.17")).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while verify_snapshot(&file).is_err() {
        assert!(
            server.0.try_wait().unwrap().is_none(),
            "the Java server has ended"
        );
        assert!(
            Instant::now() < until,
            "no snapshot of the Java server in a minute"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(server);
    let theirs = fs::read(&file.path).unwrap();
    assert_eq!(theirs, fs::read(golden("snapshot.17")).unwrap());
}
