//! How long writes pause while a snapshot of a large tree is written: a real server on its disk, with
//! clients that write all the time.
//!
//! ```text
//! cargo build --release -p zookeeper-server --example snapshot_pause --bin zookeeper-server
//! target/release/examples/snapshot_pause [NODES] [DIRECTORY]
//! ```

// A benchmark ends where something is not as it should be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use zookeeper_client::Client;
use zookeeper_server::ids::{SessionId, WallMs, Xid, Zxid};
use zookeeper_server::proto::OpCode;
use zookeeper_server::storage::{SnapshotOptions, save_snapshot};
use zookeeper_server::tree::{Database, Watches, open_unsafe};
use zookeeper_server::txn::{Txn, TxnEntry, TxnHeader};

const DATA_BYTES: usize = 100;
const CLIENTS: usize = 16;
const QUIET: Duration = Duration::from_secs(8);

/// A tree of `nodes` nodes, a thousand below each parent.
fn tree(nodes: i64) -> Database {
    let mut database = Database::new();
    let (mut fired, mut watches) = (Vec::new(), Watches::new());
    for zxid in 1..=nodes {
        let path = match (zxid - 1) % 1_000 {
            0 => format!("/p{}", zxid / 1_000),
            n => format!("/p{}/n{n:03}", (zxid - 1) / 1_000),
        };
        let entry = TxnEntry {
            header: TxnHeader {
                client_id: SessionId(1),
                cxid: Xid(1),
                zxid: Zxid(zxid),
                time: WallMs(1),
                op: OpCode::CREATE,
            },
            txn: Txn::Create {
                path,
                data: Some(vec![b'x'; DATA_BYTES].into()),
                acl: open_unsafe(),
                ephemeral: false,
                parent_cversion: -1,
            },
            digest: None,
        };
        database.apply(&entry, &mut fired, &mut watches);
        fired.clear();
    }
    database
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ip\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn start(dir: &Path, client_port: u16, admin_port: u16) -> Server {
    let cfg = dir.join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort={client_port}\nclientPortAddress=127.0.0.1\n\
         admin.serverAddress=127.0.0.1\nadmin.serverPort={admin_port}\n",
        dir.display()
    );
    std::fs::write(&cfg, text).unwrap();
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("zookeeper-server");
    let child = Command::new(program)
        .arg("run")
        .arg(&cfg)
        .stderr(Stdio::null())
        .spawn()
        .expect("target/release/zookeeper-server");
    let server = Server(child);
    let deadline = Instant::now() + Duration::from_secs(300);
    while !get(admin_port, "/ready").is_some_and(|page| page.starts_with("HTTP/1.1 200")) {
        assert!(Instant::now() < deadline, "the server does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// What clients saw since it was last asked.
#[derive(Default)]
struct Seen {
    writes: u64,
    longest: Duration,
    /// The longest time in which no client at all got an answer.
    pause: Duration,
    last: Option<Instant>,
}

fn report(what: &str, seen: &Mutex<Seen>, took: Duration) {
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    println!(
        "{what}: {:.1} s, {:.0} writes/s, slowest write {:.1} ms, longest pause of all writes {:.1} ms",
        took.as_secs_f64(),
        seen.writes as f64 / took.as_secs_f64(),
        seen.longest.as_secs_f64() * 1e3,
        seen.pause.as_secs_f64() * 1e3,
    );
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let nodes = arguments
        .next()
        .map_or(1_000_000, |text| text.parse().unwrap());
    let parent = arguments.next().unwrap_or_else(|| ".".into());
    let dir = tempfile::tempdir_in(parent).unwrap();
    let version = dir.path().join("version-2");
    std::fs::create_dir(&version).unwrap();
    {
        let database = tree(nodes);
        let begun = Instant::now();
        let frozen = database.freeze();
        println!(
            "freezing {nodes} nodes: {:.2} ms",
            begun.elapsed().as_secs_f64() * 1e3
        );
        let options = SnapshotOptions::default();
        save_snapshot(&version, Zxid(nodes), &frozen, options).unwrap();
    }
    let (client_port, admin_port) = (free_port(), free_port());
    let _server = start(dir.path(), client_port, admin_port);

    let seen = Arc::new(Mutex::new(Seen::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(0));
    let mut writers = Vec::new();
    for _ in 0..CLIENTS {
        let (seen, stop, next) = (Arc::clone(&seen), Arc::clone(&stop), Arc::clone(&next));
        let client = Client::connect(&format!("127.0.0.1:{client_port}"))
            .await
            .unwrap();
        writers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // All over the tree, so that many of its chunks are copied.
                let n = next
                    .fetch_add(1, Ordering::Relaxed)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let node = n % nodes as u64;
                let path = match node % 1_000 {
                    0 => format!("/p{}", (node + 1) / 1_000),
                    n => format!("/p{}/n{n:03}", node / 1_000),
                };
                let begun = Instant::now();
                client
                    .set_data(&path, &[b'y'; DATA_BYTES], None)
                    .await
                    .expect("a write");
                let now = Instant::now();
                let mut seen = seen.lock().unwrap();
                seen.writes += 1;
                seen.longest = seen.longest.max(now - begun);
                if let Some(last) = seen.last {
                    seen.pause = seen.pause.max(now - last);
                }
                seen.last = Some(now);
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    std::mem::take(&mut *seen.lock().unwrap());
    tokio::time::sleep(QUIET).await;
    report("without a snapshot", &seen, QUIET);
    for _ in 0..3 {
        let begun = Instant::now();
        let taken = tokio::task::spawn_blocking(move || {
            get(admin_port, "/commands/snapshot?streaming=false").unwrap()
        });
        let page = taken.await.unwrap();
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        report("while a snapshot is written", &seen, begun.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::mem::take(&mut *seen.lock().unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}
