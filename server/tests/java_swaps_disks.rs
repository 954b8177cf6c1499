//! A standalone server's disk goes from Apache's server to ours and the other way, after kill -9: in
//! all three ways of packing snapshots, with small log files that follow each other, every kind of
//! node, a living session, several access lists, and a log that ends in a multi. Needs Java and
//! Apache ZooKeeper 3.9.5 with its dependencies in `ZOOKEEPER_CLASSPATH`; run with `--ignored`.

// What a test calls fails as the test itself does.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use test_support::{free_ports, mode};
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission};
use zookeeper_server::config::Compression;
use zookeeper_server::ids::Zxid;
use zookeeper_server::jute::Record;
use zookeeper_server::proto::OpCode;
use zookeeper_server::storage::{
    Directories, RecoverOptions, SnapshotOptions, list_snapshots, read_log, recover_with,
    verify_snapshot,
};
use zookeeper_server::txn::TxnEntry;

const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Java,
    Ours,
}

/// A server on a disk, ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Whether the server says that it serves.
fn serves(port: u16) -> Option<()> {
    // A server that begins to listen can lose a connection that came too early.
    let mode = mode((Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(2))?;
    (mode == "standalone").then_some(())
}

impl Server {
    fn start(kind: Kind, dir: &Path, method: &str) -> Self {
        let port = free_ports(1)[0];
        let cfg = dir.join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
             extendedTypesEnabled=true\nsnapCount=30\npreAllocSize=16\ntxnLogSizeLimitInKb=4\n\
             snapshot.compression.method={method}\n",
            dir.join("data").display()
        );
        fs::write(&cfg, text).unwrap();
        let log_file = dir.join(format!("{kind:?}.log"));
        let log = File::create(&log_file).unwrap();
        let mut command = match kind {
            Kind::Ours => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_zookeeper-server"));
                command.arg("run");
                command
            }
            Kind::Java => {
                let classpath = std::env::var("ZOOKEEPER_CLASSPATH")
                    .expect("ZOOKEEPER_CLASSPATH must name Apache ZooKeeper's jars");
                let mut command = Command::new("java");
                command
                    .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", &classpath])
                    .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                command
            }
        };
        let child = command
            .arg(&cfg)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the program can be run");
        let mut server = Server { child, port };
        wait_for("a server that serves", || {
            if server.child.try_wait().unwrap().is_some() {
                let log = fs::read_to_string(&log_file).unwrap_or_default();
                panic!("{kind:?} has ended: {log}");
            }
            serves(port)
        });
        server
    }

    async fn client(&self) -> Client {
        let address = format!("127.0.0.1:{}", self.port);
        Client::connector()
            .with_session_timeout(Duration::from_secs(40))
            .with_auth("digest", b"owner:secret")
            .connect(&address)
            .await
            .unwrap()
    }
}

/// Every kind of change, more than a snapshot's worth of them, and a multi at the end.
async fn write(client: &Client) {
    let open = Acls::anyone_all();
    let persistent = CreateMode::Persistent.with_acls(open);
    let sequential = CreateMode::PersistentSequential.with_acls(open);
    client
        .create("/plain", "ünïcödé".as_bytes(), &persistent)
        .await
        .unwrap();
    client.create("/empty", b"", &persistent).await.unwrap();
    for n in 0..25_u8 {
        let data = vec![n; 40 * usize::from(n)];
        client
            .create("/plain/s-", &data, &sequential)
            .await
            .unwrap();
        client.set_data("/plain", &data, None).await.unwrap();
    }
    let container = CreateMode::Container.with_acls(open);
    client.create("/container", b"", &container).await.unwrap();
    client
        .create("/container/child", b"x", &persistent)
        .await
        .unwrap();
    let lasting = persistent.clone().with_ttl(Duration::from_secs(1_000_000));
    client.create("/ttl", b"", &lasting).await.unwrap();
    let ephemeral = CreateMode::Ephemeral.with_acls(open);
    client
        .create("/plain/ephemeral", b"mine", &ephemeral)
        .await
        .unwrap();
    let lists = [
        vec![Acl::new(Permission::ALL, AuthId::authed())],
        vec![
            Acl::new(Permission::ALL, AuthId::new("ip", "127.0.0.1")),
            Acl::new(Permission::READ, AuthId::anyone()),
        ],
    ];
    for (n, list) in lists.iter().enumerate() {
        let options = CreateMode::Persistent.with_acls(Acls::new(list));
        client
            .create(&format!("/acl-{n}"), b"", &options)
            .await
            .unwrap();
        client.set_acl("/empty", list, None).await.unwrap();
    }
    client.create("/gone", b"", &persistent).await.unwrap();
    client.delete("/gone", None).await.unwrap();
    client.create("/plain", b"", &persistent).await.unwrap_err();
    let mut multi = client.new_multi_writer();
    multi.add_create("/m", b"1", &persistent).unwrap();
    multi.add_set_data("/m", b"2", Some(0)).unwrap();
    multi.add_delete("/plain/s-0000000000", None).unwrap();
    multi.commit().await.unwrap();
}

/// All nodes as a client sees them.
async fn nodes(client: &Client) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec!["/".to_owned()];
    while let Some(path) = open.pop() {
        let (data, stat) = client.get_data(&path).await.unwrap();
        let (acl, _) = client.get_acl(&path).await.unwrap();
        for child in client.list_children(&path).await.unwrap() {
            open.push(format!("{}/{child}", path.trim_end_matches('/')));
        }
        found.insert(path, format!("{data:?} {stat:?} {acl:?}"));
    }
    found
}

/// Whether a whole snapshot of the configured kind stands there beside the first one.
fn packed_snapshot(version: &Path, compression: Compression) -> Option<()> {
    let snapshots = list_snapshots(version).ok()?;
    let later = snapshots
        .iter()
        .filter(|file| file.zxid > Zxid::ZERO && file.compression == compression);
    later
        .into_iter()
        .find_map(|file| verify_snapshot(file).ok())
        .map(drop)
}

/// What a reader of ours finds on the disk: log files that follow each other, a multi at the end,
/// and every digest as it was written.
fn check_files(dir: &Path) {
    let version = dir.join("data/version-2");
    let logs = fs::read_dir(&version).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("log.")
    });
    assert!(logs.count() >= 3, "log files have a limit");
    let last = read_log(&version, Zxid::ZERO)
        .unwrap()
        .last()
        .unwrap()
        .unwrap();
    let entry = TxnEntry::from_slice(&last.1).unwrap();
    assert_eq!(entry.header.op, OpCode::MULTI);
    assert!(entry.digest.is_some());
    // On a copy: reading takes leftovers away.
    let copy = tempfile::tempdir().unwrap();
    let directories = Directories::open(copy.path(), copy.path(), true).unwrap();
    for entry in fs::read_dir(&version).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directories.logs().join(entry.file_name())).unwrap();
    }
    let options = RecoverOptions {
        commit_log_count: 0,
        db_autocreate: false,
        trust_empty_snapshot: false,
        extended_types: true,
        snapshot: SnapshotOptions::default(),
    };
    let recovered = recover_with(&directories, &options).unwrap();
    assert_eq!(recovered.last_logged, last.0);
    assert_eq!(recovered.database.digest_mismatches(), 0);
    let tree = &recovered.database.tree;
    assert_eq!(tree.digest(), tree.digest_recomputed());
}

async fn from_one_to_the_other(writer: Kind, reader: Kind, compression: Compression) {
    let method = match compression {
        Compression::None => "",
        Compression::Gzip => "gz",
        Compression::Snappy => "snappy",
    };
    let temp = tempfile::tempdir().unwrap();
    let version: PathBuf = temp.path().join("data/version-2");
    fs::create_dir(temp.path().join("data")).unwrap();
    let before = {
        let server = Server::start(writer, temp.path(), method);
        let client = server.client().await;
        write(&client).await;
        wait_for("a snapshot", || packed_snapshot(&version, compression));
        let before = nodes(&client).await;
        // The server first: the session must outlive it.
        drop(server);
        before
    };
    assert!(before.contains_key("/plain/ephemeral"));
    check_files(temp.path());
    let server = Server::start(reader, temp.path(), method);
    let client = server.client().await;
    assert_eq!(
        nodes(&client).await,
        before,
        "{writer:?} to {reader:?}, {compression:?}"
    );
    // And it goes on from there.
    let (stat, _) = client
        .create(
            "/after",
            b"",
            &CreateMode::Persistent.with_acls(Acls::anyone_all()),
        )
        .await
        .unwrap();
    let changes = i64::try_from(before.len()).unwrap();
    assert!(stat.czxid > changes, "no position is given out twice");
    let log = fs::read_to_string(temp.path().join("Java.log")).unwrap_or_default();
    assert!(!log.contains("igests are not matching"), "{log}");
}

macro_rules! disks {
    ($($name:ident: $writer:ident to $reader:ident, $compression:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Java and ZOOKEEPER_CLASSPATH"]
            async fn $name() {
                let swap = from_one_to_the_other(Kind::$writer, Kind::$reader, Compression::$compression);
                tokio::time::timeout(2 * PATIENCE, swap).await.expect("no answer");
            }
        )*
    };
}

disks! {
    ours_goes_on_from_javas_disk: Java to Ours, None;
    ours_goes_on_from_javas_disk_with_gzip: Java to Ours, Gzip;
    ours_goes_on_from_javas_disk_with_snappy: Java to Ours, Snappy;
    java_goes_on_from_our_disk: Ours to Java, None;
    java_goes_on_from_our_disk_with_gzip: Ours to Java, Gzip;
    java_goes_on_from_our_disk_with_snappy: Ours to Java, Snappy;
}
