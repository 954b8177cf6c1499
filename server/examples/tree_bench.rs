//! What a large tree costs: bytes per node, lookups and transactions a second, how long a freeze
//! holds writes up. `cargo run --release -p zookeeper-server --example tree_bench [NODES]`.

use bytes::Bytes;
use std::time::{Duration, Instant};
use zookeeper_server::ids::{SessionId, WallMs, Xid, Zxid};
use zookeeper_server::jute::Writer;
use zookeeper_server::proto::OpCode;
use zookeeper_server::tree::{Database, Watches, open_unsafe, read_snapshot};
use zookeeper_server::txn::{
    PrepareSettings, Preparer, Request, SessionCheck, Txn, TxnEntry, TxnHeader,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DATA: [u8; 100] = [7; 100];

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

fn entry(zxid: i64, op: OpCode, txn: Txn) -> TxnEntry {
    TxnEntry {
        header: TxnHeader {
            client_id: SessionId(0x100_0000_0000_0001),
            cxid: Xid(1),
            zxid: Zxid(zxid),
            time: WallMs(1_700_000_000_000 + zxid),
            op,
        },
        txn,
        digest: None,
    }
}

fn create(zxid: i64, path: String, cversion: i32) -> TxnEntry {
    let txn = Txn::Create {
        path,
        data: Some(Bytes::from_static(&DATA)),
        acl: open_unsafe(),
        ephemeral: false,
        parent_cversion: cversion,
    };
    entry(zxid, OpCode::CREATE, txn)
}

fn path(parent: usize, n: usize) -> String {
    format!("/p{parent:03}/n{n:07}")
}

/// Time that this thread has had a processor, so that busy neighbours don't count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = stat.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(ns.unwrap_or_default())
}

/// Says how long `what` took for `count` things.
fn timed<T>(what: &str, count: usize, work: impl FnOnce() -> T) -> T {
    let (start, start_cpu) = (Instant::now(), cpu_time());
    let result = work();
    let (wall, cpu) = (start.elapsed(), cpu_time() - start_cpu);
    #[allow(clippy::cast_precision_loss)]
    let each = cpu.as_nanos() as f64 / count.max(1) as f64;
    println!("{what}: {cpu:.1?} of processor in {wall:.1?}, {each:.0} ns each");
    result
}

fn main() {
    let nodes: usize = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let parents = 100;
    let mut db = Database::new();
    let mut watches = Watches::new();
    let mut fired = Vec::new();
    let before = resident_bytes();
    let mut zxid = 0;
    let mut slowest = Duration::ZERO;
    timed("apply creates", nodes, || {
        for parent in 0..parents {
            zxid += 1;
            let txn = create(zxid, format!("/p{parent:03}"), -1);
            db.apply(&txn, &mut fired, &mut watches);
        }
        for n in 0..nodes {
            zxid += 1;
            let txn = create(zxid, path(n % parents, n), -1);
            let start = Instant::now();
            db.apply(&txn, &mut fired, &mut watches);
            slowest = slowest.max(start.elapsed());
        }
    });
    println!("slowest create: {slowest:.1?}");
    let used = resident_bytes() - before;
    println!(
        "resident: {} MB, {} bytes a node",
        used / 1_000_000,
        used / nodes as u64
    );

    let lookups = 1_000_000;
    let paths: Vec<String> = (0..lookups)
        .map(|n| {
            let n = n * 7919 % nodes;
            path(n % parents, n)
        })
        .collect();
    let mut sum = 0;
    timed("lookups with data and stat", lookups, || {
        for path in &paths {
            if let Some(node) = db.tree.get(path) {
                sum += node.data().map_or(0, <[u8]>::len);
                sum += usize::try_from(node.stat().version).unwrap_or(0);
            }
        }
    });
    assert_eq!(sum, lookups * DATA.len());

    let mut preparer = Preparer::new(PrepareSettings::default());
    let sets = 200_000;
    timed("prepare and apply setData", sets, || {
        for path in paths.iter().take(sets) {
            zxid += 1;
            let mut body = Writer::new();
            body.string(path);
            body.buffer(&DATA);
            body.int(-1);
            let request = Request {
                session: SessionId(1),
                xid: Xid(1),
                op: OpCode::SET_DATA,
                body: Bytes::from(body.into_vec()),
                auth: std::sync::Arc::from([]),
            };
            let entry = preparer.prepare(&db, &request, SessionCheck::Ok, Zxid(zxid), WallMs(zxid));
            db.apply(&entry, &mut fired, &mut watches);
        }
    });

    let frozen = timed("freeze", 1, || db.freeze());
    timed("setData while frozen", sets, || {
        for path in paths.iter().take(sets) {
            zxid += 1;
            let txn = Txn::SetData {
                path: path.clone(),
                data: Some(Bytes::from_static(&DATA)),
                version: 1,
            };
            db.apply(
                &entry(zxid, OpCode::SET_DATA, txn),
                &mut fired,
                &mut watches,
            );
        }
    });
    let mut snapshot = Vec::new();
    timed("write snapshot", nodes, || {
        frozen
            .write_snapshot(&mut snapshot)
            .expect("memory takes it");
    });
    timed("drop frozen", 1, || drop(frozen));
    drop(db);
    let before = resident_bytes();
    let read = timed("read snapshot", nodes, || {
        read_snapshot(&mut &snapshot[..]).expect("it was just written")
    });
    println!(
        "read {} nodes, {} MB more resident",
        read.tree.node_count(),
        resident_bytes().saturating_sub(before) / 1_000_000
    );
    timed("drop tree", nodes, || drop(read));
}
