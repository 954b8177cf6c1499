//! Java's rules, one by one; `tests/java_tree.rs` has whole runs, `tests/tree_properties.rs` what
//! holds whatever happens.

use super::*;
use crate::ids::{ConnId, Xid};
use crate::jute::Writer;
use crate::proto::{ErrorCode, OpCode};
use crate::txn::{Txn, TxnDigest, TxnEntry, TxnHeader};
use bytes::Bytes;

const OWNER: SessionId = SessionId(0x100_0000_0000_0001);

fn entry(zxid: i64, op: OpCode, txn: Txn) -> TxnEntry {
    TxnEntry {
        header: TxnHeader {
            client_id: OWNER,
            cxid: Xid(1),
            zxid: Zxid(zxid),
            time: WallMs(1000 + zxid),
            op,
        },
        txn,
        digest: None,
    }
}

fn create(zxid: i64, path: &str, ephemeral: bool, parent_cversion: i32) -> TxnEntry {
    let txn = Txn::Create {
        path: path.to_owned(),
        data: Some(Bytes::from_static(b"x")),
        acl: open_unsafe(),
        ephemeral,
        parent_cversion,
    };
    entry(zxid, OpCode::CREATE, txn)
}

fn delete(zxid: i64, path: &str) -> TxnEntry {
    let path = path.to_owned();
    entry(zxid, OpCode::DELETE, Txn::Delete { path })
}

fn set_data(zxid: i64, path: &str, version: i32) -> TxnEntry {
    let txn = Txn::SetData {
        path: path.to_owned(),
        data: None,
        version,
    };
    entry(zxid, OpCode::SET_DATA, txn)
}

/// A database with watches and what they fired.
#[derive(Default)]
struct World {
    db: Database,
    watches: Watches,
    fired: Vec<Fired>,
}

impl World {
    fn apply(&mut self, entry: &TxnEntry) -> Applied {
        self.db.apply(entry, &mut self.fired, &mut self.watches)
    }

    /// What fired since the last time: connection, kind, path.
    fn events(&mut self) -> Vec<(u64, EventKind, String)> {
        let fired = self.fired.drain(..);
        fired
            .map(|f| (f.conn.0, f.event.kind, f.event.path.to_string()))
            .collect()
    }
}

#[test]
fn clients_see_creates_and_deletes_where_the_disk_has_creates_only() {
    let mut world = World::default();
    world.apply(&create(1, "/a", false, 1));
    world.apply(&create(2, "/a/x", false, 1));
    world.apply(&create(3, "/a/y", false, 2));
    world.apply(&delete(4, "/a/x"));
    let node = world.db.tree.get("/a").expect("it was made");
    assert_eq!(node.stat_persisted().cversion, 2);
    assert_eq!(node.stat().cversion, 3);
    assert_eq!(node.stat().num_children, 1);
    assert_eq!(node.stat().pzxid, Zxid(4));
}

#[test]
fn a_watcher_of_data_and_children_hears_of_the_deletion_once() {
    let mut world = World::default();
    world.apply(&create(1, "/a", false, 1));
    world.watches.add_data("/a", ConnId(1));
    world.watches.add_child("/a", ConnId(1));
    world.watches.add_child("/", ConnId(2));
    world.apply(&delete(2, "/a"));
    assert_eq!(
        world.events(),
        [
            (1, EventKind::NodeDeleted, "/a".to_owned()),
            (2, EventKind::NodeChildrenChanged, "/".to_owned()),
        ]
    );
    assert!(world.watches.is_empty());
}

#[test]
fn a_one_shot_watch_fires_once_and_a_persistent_one_goes_on() {
    let mut world = World::default();
    world.apply(&create(1, "/a", false, 1));
    world.watches.add_data("/a", ConnId(1));
    world.watches.add("/a", ConnId(2), WatchMode::Persistent);
    world.apply(&set_data(2, "/a", 1));
    assert_eq!(world.events().len(), 2);
    world.apply(&set_data(3, "/a", 2));
    assert_eq!(
        world.events(),
        [(2, EventKind::NodeDataChanged, "/a".to_owned())]
    );
    world.apply(&create(4, "/a/b", false, 1));
    assert_eq!(
        world.events(),
        [(2, EventKind::NodeChildrenChanged, "/a".to_owned())]
    );
    assert!(world.watches.remove("/a", ConnId(2), WatcherType::Any));
    assert!(!world.watches.remove("/a", ConnId(2), WatcherType::Any));
}

#[test]
fn a_recursive_watcher_hears_of_nodes_below_but_never_of_changed_children() {
    let mut world = World::default();
    let mode = WatchMode::PersistentRecursive;
    world.watches.add("/", ConnId(1), mode);
    world.watches.add("/a", ConnId(1), mode);
    world.apply(&create(1, "/a", false, 1));
    world.apply(&create(2, "/a/b", false, 1));
    world.apply(&delete(3, "/a/b"));
    assert_eq!(
        world.events(),
        [
            (1, EventKind::NodeCreated, "/a".to_owned()),
            (1, EventKind::NodeCreated, "/a/b".to_owned()),
            (1, EventKind::NodeDeleted, "/a/b".to_owned()),
        ]
    );
    world.watches.remove_all(ConnId(1));
    world.apply(&create(4, "/a/c", false, 2));
    assert!(world.events().is_empty() && world.watches.is_empty());
}

#[test]
fn a_client_that_comes_back_is_told_what_it_missed_and_watches_the_rest() {
    let mut world = World::default();
    for (zxid, path) in [(1, "/same"), (2, "/set"), (3, "/child")] {
        let cversion = i32::try_from(zxid).expect("small");
        world.apply(&create(zxid, path, false, cversion));
    }
    world.apply(&set_data(10, "/set", 1));
    world.apply(&create(11, "/child/x", false, 1));
    let own = |paths: &[&str]| -> Vec<String> { paths.iter().map(|p| (*p).into()).collect() };
    let (data, exist) = (own(&["/same", "/set", "/gone"]), own(&["/child", "/none"]));
    let (child, persistent) = (own(&["/child", "/same", "/gone"]), own(&["/p"]));
    let lost = Lost {
        data: &data,
        exist: &exist,
        child: &child,
        persistent: &persistent,
        persistent_recursive: &[],
    };
    let missed = world
        .watches
        .restore(&world.db.tree, ConnId(1), Zxid(9), lost);
    let missed: Vec<(EventKind, &str)> = missed.iter().map(|e| (e.kind, &*e.path)).collect();
    assert_eq!(
        missed,
        [
            (EventKind::NodeDataChanged, "/set"),
            (EventKind::NodeDeleted, "/gone"),
            (EventKind::NodeCreated, "/child"),
            (EventKind::NodeChildrenChanged, "/child"),
            (EventKind::NodeDeleted, "/gone"),
        ]
    );
    let has = |path, kind| world.watches.contains(path, ConnId(1), kind);
    assert!(has("/same", WatcherType::Data) && has("/same", WatcherType::Children));
    assert!(has("/none", WatcherType::Data) && !has("/none", WatcherType::Children));
    assert!(has("/p", WatcherType::Persistent));
    assert!(!has("/set", WatcherType::Any) && !has("/gone", WatcherType::Any));
    assert_eq!(world.watches.len(), 5);
}

#[test]
fn closing_a_session_takes_its_nodes_with_or_without_their_names() {
    for named in [None, Some(vec!["/b".to_owned(), "/missing".to_owned()])] {
        let mut world = World::default();
        let begin = Txn::CreateSession { timeout_ms: 4000 };
        world.apply(&entry(1, OpCode::CREATE_SESSION, begin));
        world.apply(&create(2, "/a", true, 1));
        world.apply(&create(3, "/b", true, 2));
        world.apply(&create(4, "/c", false, 3));
        assert_eq!(world.db.sessions().get(&OWNER), Some(&4000));
        assert_eq!(world.db.tree.ephemerals(OWNER).len(), 2);
        let end = Txn::CloseSession {
            paths_to_delete: named,
        };
        world.apply(&entry(5, OpCode::CLOSE_SESSION, end));
        assert!(world.db.sessions().is_empty());
        assert!(world.db.tree.get("/a").is_none() && world.db.tree.get("/b").is_none());
        assert!(world.db.tree.get("/c").is_some());
        assert_eq!(world.db.tree.ephemerals_count(), 0);
    }
}

#[test]
fn a_replayed_create_raises_the_parents_cversion_and_never_lowers_it() {
    let mut world = World::default();
    world.apply(&create(1, "/a", false, 5));
    let again = world.apply(&create(1, "/a", false, 3));
    assert_eq!(again.err, ErrorCode::NODE_EXISTS);
    let cversion = |world: &World| {
        let root = world.db.tree.get("/").expect("always there");
        root.stat_persisted().cversion
    };
    assert_eq!(cversion(&world), 5);
    world.apply(&create(9, "/a", false, 8));
    assert_eq!(cversion(&world), 8);
    // Logs from before 3.4 don't say.
    world.apply(&create(10, "/b", false, -1));
    assert_eq!(cversion(&world), 9);
    assert_eq!(world.db.digest(), world.db.tree.digest_recomputed());
}

#[test]
fn a_digest_that_is_not_the_trees_is_counted_and_nothing_else() {
    let mut world = World::default();
    let mut first = create(1, "/a", false, 1);
    first.digest = Some(TxnDigest {
        version: DIGEST_VERSION,
        tree_digest: 1,
    });
    let applied = world.apply(&first);
    assert!(matches!(
        applied.digest,
        DigestCheck::Mismatch { expected: 1, .. }
    ));
    assert_eq!(applied.err, ErrorCode::OK);
    assert_eq!(world.db.digest_mismatches(), 1);
    let mut second = set_data(2, "/a", 1);
    second.digest = Some(TxnDigest {
        version: 1,
        tree_digest: 1,
    });
    assert_eq!(world.apply(&second).digest, DigestCheck::NotCompared);
}

#[test]
fn behind_a_fuzzy_snapshot_digests_are_compared_only_from_where_it_is_whole() {
    let mut world = World::default();
    let wrong = Some(TxnDigest {
        version: DIGEST_VERSION,
        tree_digest: 1,
    });
    world.db.set_fuzzy_until(Zxid(2), Some(7));
    let mut txn = create(1, "/a", false, 1);
    txn.digest = wrong;
    assert_eq!(world.apply(&txn).digest, DigestCheck::NotCompared);
    let whole = world.apply(&create(2, "/b", false, 2)).digest;
    assert!(matches!(whole, DigestCheck::Mismatch { expected: 7, .. }));
    let mut txn = create(3, "/c", false, 3);
    txn.digest = wrong;
    let compared = world.apply(&txn).digest;
    assert!(matches!(
        compared,
        DigestCheck::Mismatch { expected: 1, .. }
    ));
}

#[test]
fn quotas_count_nodes_and_bytes_below_them() {
    let mut world = World::default();
    let limit = "/zookeeper/quota/a/zookeeper_limits";
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    for (zxid, path) in [(1, "/a"), (2, "/zookeeper/quota/a"), (3, limit), (4, stats)] {
        world.apply(&create(zxid, path, false, -1));
    }
    let count = |world: &World| {
        let node = world.db.tree.get(stats).expect("it was made");
        String::from_utf8_lossy(node.data().unwrap_or_default()).into_owned()
    };
    assert_eq!(count(&world), "count=1,bytes=1");
    world.apply(&create(5, "/a/b", false, -1));
    assert_eq!(count(&world), "count=2,bytes=2");
    world.apply(&set_data(6, "/a", 1));
    assert_eq!(count(&world), "count=2,bytes=1");
    world.apply(&delete(7, "/a/b"));
    assert_eq!(count(&world), "count=1,bytes=0");
    world.apply(&delete(8, limit));
    assert_eq!(world.db.tree.quota_prefix("/a/b"), None);
    assert_eq!(world.db.digest(), world.db.tree.digest_recomputed());
}

#[test]
fn a_refused_multi_changes_nothing_and_tells_every_part_its_error() {
    let mut world = World::default();
    let made = create(1, "/a", false, 1);
    let error = |err| (OpCode::ERROR, Txn::Error { err });
    let txns = vec![
        (OpCode::CREATE, made.txn.clone()),
        error(ErrorCode::NO_NODE),
        error(ErrorCode::RUNTIME_INCONSISTENCY),
    ];
    let applied = world.apply(&entry(1, OpCode::MULTI, Txn::Multi { txns }));
    assert!(world.db.tree.get("/a").is_none());
    let mut out = Writer::new();
    write_reply(OpCode::MULTI, &applied, &mut out);
    let mut expected = Writer::new();
    for err in [0, ErrorCode::NO_NODE.0, ErrorCode::RUNTIME_INCONSISTENCY.0] {
        expected.int(-1);
        expected.boolean(false);
        expected.int(err);
        expected.int(err);
    }
    expected.int(-1);
    expected.boolean(true);
    expected.int(-1);
    assert_eq!(out.as_slice(), expected.as_slice());
}

#[test]
fn only_create_tells_no_stat() {
    for (op, stat_bytes) in [(OpCode::CREATE, 0), (OpCode::CREATE2, 68)] {
        let mut world = World::default();
        let mut txn = create(1, "/a", false, 1);
        txn.header.op = op;
        let applied = world.apply(&txn);
        let mut out = Writer::new();
        write_reply(op, &applied, &mut out);
        assert_eq!(out.len(), 4 + 2 + stat_bytes);
    }
}

#[test]
fn the_configuration_is_readable_by_all_and_in_no_digest() {
    let mut db = Database::new();
    let before = db.digest();
    db.set_config(b"server.1=a:1:2", Zxid(0x10), WallMs(5));
    let node = db.tree.get(CONFIG_NODE).expect("always there");
    assert_eq!(node.data(), Some(&b"server.1=a:1:2"[..]));
    assert_eq!(node.acl(), read_unsafe());
    assert_eq!(node.stat_persisted().version, -1);
    assert_eq!(db.digest(), before);
}
