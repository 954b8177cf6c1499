//! What holds of the tree whatever is asked of it.

use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use zookeeper_server::ids::{SessionId, WallMs, Xid, Zxid};
use zookeeper_server::jute::{Record, Writer};
use zookeeper_server::proto::change::{PathVersion, SetAclRequest, SetDataRequest};
use zookeeper_server::proto::create::CreateRequest;
use zookeeper_server::proto::multi::{MultiRequest, WriteOp};
use zookeeper_server::proto::{Acl, Id, OpCode, Perms};
use zookeeper_server::tree::{
    Database, DigestCheck, Frozen, StatPersisted, Watches, open_unsafe, read_snapshot, read_unsafe,
};
use zookeeper_server::txn::{PrepareSettings, Preparer, Request, SessionCheck, TxnEntry};

/// One request, small enough to shrink well.
#[derive(Clone, Debug)]
struct Ask {
    kind: u8,
    path: usize,
    session: i64,
    version: i32,
    flags: i32,
    data: Option<Vec<u8>>,
    acl: u8,
    /// Transactions left unapplied after it.
    lag: usize,
}

const PATHS: [&str; 14] = [
    "/a",
    "/b",
    "/a/x",
    "/a/y",
    "/b/x",
    "/a/x/k",
    "/a/x/l",
    "/b/x/k",
    "/",
    "/zookeeper/q",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/a/é",
];

fn ask() -> impl Strategy<Value = Ask> {
    let data = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6));
    (
        0..16_u8,
        0..PATHS.len(),
        1..4_i64,
        prop_oneof![4 => Just(-1), 1 => 0..3_i32],
        0..4_i32,
        data,
        0..4_u8,
        0..6_usize,
    )
        .prop_map(
            |(kind, path, session, version, flags, data, acl, lag)| Ask {
                kind,
                path,
                session,
                version,
                flags,
                data,
                acl,
                lag,
            },
        )
}

impl Ask {
    fn acl(&self) -> Vec<Acl> {
        match self.acl {
            0 => read_unsafe(),
            1 => vec![Acl {
                perms: Perms::ALL,
                id: Id::new("digest", "me:x"),
            }],
            _ => open_unsafe(),
        }
    }

    fn path(&self) -> String {
        PATHS[self.path].to_owned()
    }

    fn create(&self) -> CreateRequest {
        CreateRequest {
            path: self.path(),
            data: self.data.clone().map(Bytes::from),
            acl: self.acl(),
            flags: self.flags,
        }
    }

    fn path_version(&self) -> PathVersion {
        PathVersion {
            path: self.path(),
            version: self.version,
        }
    }

    fn set_data(&self) -> SetDataRequest {
        SetDataRequest {
            path: self.path(),
            data: self.data.clone().map(Bytes::from),
            version: self.version,
        }
    }

    fn part(&self) -> WriteOp {
        match self.kind % 4 {
            0 => WriteOp::Create(OpCode::CREATE2, self.create()),
            1 => WriteOp::Delete(self.path_version()),
            2 => WriteOp::SetData(self.set_data()),
            _ => WriteOp::Check(self.path_version()),
        }
    }

    /// The request; a multi takes the asks behind it along as its parts.
    fn request(&self, number: usize, behind: &[Ask]) -> Request {
        let (op, body) = match self.kind {
            0..=5 => (OpCode::CREATE, self.create().to_vec()),
            6 => {
                let create = CreateRequest {
                    flags: 4,
                    ..self.create()
                };
                (OpCode::CREATE_CONTAINER, create.to_vec())
            }
            7 | 8 => (OpCode::DELETE, self.path_version().to_vec()),
            9 | 10 => (OpCode::SET_DATA, self.set_data().to_vec()),
            11 => {
                let set = SetAclRequest {
                    path: self.path(),
                    acl: self.acl(),
                    version: self.version,
                };
                (OpCode::SET_ACL, set.to_vec())
            }
            12 | 13 => {
                let ops = behind.iter().take(4).map(Ask::part).collect();
                (OpCode::MULTI, MultiRequest { ops }.to_vec())
            }
            14 => (OpCode::CREATE_SESSION, 4000_i32.to_be_bytes().to_vec()),
            _ => (OpCode::CLOSE_SESSION, Vec::new()),
        };
        Request {
            session: SessionId(self.session),
            xid: Xid(i32::try_from(number).expect("runs are short")),
            op,
            body: Bytes::from(body),
            auth: Arc::from([Id::new("digest", "me:x")]),
        }
    }
}

/// A node's data, stat, access list and number of children.
type Node = (Option<Vec<u8>>, StatPersisted, Vec<Acl>, usize);

/// Everything that two databases have to have in common, without the order of siblings.
#[derive(Debug, PartialEq)]
struct Whole {
    digest: i64,
    sessions: BTreeMap<SessionId, i32>,
    nodes: BTreeMap<String, Node>,
    ephemerals: BTreeMap<SessionId, Vec<String>>,
    containers: Vec<String>,
}

fn whole(db: &Database) -> Whole {
    let mut nodes = BTreeMap::new();
    let mut open = vec![db.tree.get("/").expect("there is always a root")];
    while let Some(node) = open.pop() {
        // Counts of quotas are each member's own: 3.9.5 counts anew whenever it starts, and where
        // the counts were made before the limit, that gives another number than it had.
        let data = node.data().filter(|_| node.name() != "zookeeper_stats");
        let data = data.map(<[u8]>::to_vec);
        let it = (
            data,
            node.stat_persisted(),
            node.acl().to_vec(),
            node.num_children(),
        );
        assert!(nodes.insert(node.path(), it).is_none());
        assert!(db.tree.get(&node.path()).is_some(), "the index knows it");
        let children: Vec<_> = node.children().collect();
        assert_eq!(children.len(), node.num_children());
        open.extend(children);
    }
    assert_eq!(nodes.len(), db.tree.node_count());
    assert_eq!(db.tree.descendants("/"), Some(nodes.len() - 1));
    let owners = db.tree.sessions_with_ephemerals();
    let mut containers: Vec<String> = db.tree.containers().map(|node| node.path()).collect();
    containers.sort();
    Whole {
        digest: db.digest(),
        sessions: db.sessions().iter().map(|(id, ms)| (*id, *ms)).collect(),
        nodes,
        ephemerals: owners
            .map(|session| {
                let mut paths = db.tree.ephemerals(session);
                paths.sort();
                (session, paths)
            })
            .collect(),
        containers,
    }
}

fn bytes(frozen: &Frozen) -> Vec<u8> {
    let mut out = Vec::new();
    frozen.write_snapshot(&mut out).expect("a vector takes all");
    out
}

fn apply(db: &mut Database, entry: &TxnEntry) -> DigestCheck {
    db.apply(entry, &mut Vec::new(), &mut Watches::new()).digest
}

/// Runs the asks; hands each transaction with the database after it to `each`.
fn run(asks: &[Ask], mut each: impl FnMut(&TxnEntry, &Database)) -> Database {
    let mut db = Database::new();
    let mut preparer = Preparer::new(PrepareSettings::default());
    let mut waiting = std::collections::VecDeque::new();
    for (number, ask) in asks.iter().enumerate() {
        let request = ask.request(number, &asks[number + 1..]);
        let zxid = Zxid(i64::try_from(number).expect("runs are short") + 1);
        let now = WallMs(1000 + zxid.0);
        waiting.push_back(preparer.prepare(&db, &request, SessionCheck::Ok, zxid, now));
        while waiting.len() > ask.lag {
            let entry = waiting.pop_front().expect("there are more than the lag");
            let check = apply(&mut db, &entry);
            assert!(!matches!(check, DigestCheck::Mismatch { .. }), "{entry:?}");
            preparer.applied(entry.header.zxid);
            each(&entry, &db);
        }
    }
    for entry in waiting {
        let check = apply(&mut db, &entry);
        assert!(!matches!(check, DigestCheck::Mismatch { .. }), "{entry:?}");
        each(&entry, &db);
    }
    preparer.applied(db.last_processed());
    assert_eq!(preparer.outstanding(), 0);
    db
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_digest_is_what_the_leader_said_and_what_computing_it_again_gives(
        asks in proptest::collection::vec(ask(), 1..80),
    ) {
        run(&asks, |_, db| assert_eq!(db.digest(), db.tree.digest_recomputed()));
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written(asks in proptest::collection::vec(ask(), 1..80)) {
        let db = run(&asks, |_, _| ());
        let snapshot = bytes(&db.freeze());
        let read = read_snapshot(&mut &snapshot[..]).expect("it was just written");
        let before = whole(&db);
        prop_assert_eq!(whole(&read), before);
        // Reading turns siblings around; reading twice gives the same bytes again.
        let first = bytes(&read.freeze());
        let second = read_snapshot(&mut &first[..]).expect("it was just written");
        let third = read_snapshot(&mut &bytes(&second.freeze())[..]).expect("as before");
        prop_assert_eq!(bytes(&third.freeze()), first);
    }

    #[test]
    fn a_frozen_view_stays_as_it_was_while_the_tree_goes_on(
        asks in proptest::collection::vec(ask(), 1..80),
        at in 0..80_usize,
    ) {
        let mut kept = None;
        let mut number = 0;
        run(&asks, |_, db| {
            if number == at % asks.len() {
                let frozen = db.freeze();
                kept = Some((bytes(&frozen), frozen));
            }
            number += 1;
        });
        let (then, frozen) = kept.expect("the point lies inside the run");
        prop_assert_eq!(bytes(&frozen), then);
    }

    #[test]
    fn replaying_over_a_snapshot_that_has_it_already_comes_to_the_same(
        asks in proptest::collection::vec(ask(), 1..80),
        at in 0..80_usize,
        back in 0..40_usize,
    ) {
        let mut log: Vec<TxnEntry> = Vec::new();
        let at = at % asks.len();
        let mut snapshot = Vec::new();
        let db = run(&asks, |entry, db| {
            if log.len() == at {
                snapshot = bytes(&db.freeze());
            }
            log.push(entry.clone());
        });
        let mut replayed = read_snapshot(&mut &snapshot[..]).expect("it was just written");
        for entry in &log[at.saturating_sub(back)..] {
            apply(&mut replayed, entry);
        }
        prop_assert_eq!(replayed.digest(), replayed.tree.digest_recomputed());
        prop_assert_eq!(whole(&replayed), whole(&db));
    }

    #[test]
    fn damaged_snapshots_are_refused_and_never_panic(
        asks in proptest::collection::vec(ask(), 1..40),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut snapshot = bytes(&run(&asks, |_, _| ()).freeze());
        let end = cut.index(snapshot.len());
        prop_assert!(read_snapshot(&mut &snapshot[..end]).is_err());
        let at = at.index(snapshot.len());
        snapshot[at] = value;
        if let Ok(db) = read_snapshot(&mut &snapshot[..]) {
            whole(&db);
        }
    }

    #[test]
    fn requests_of_any_bytes_become_transactions(
        op in prop_oneof![-12..25_i32],
        body in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let request = Request {
            session: SessionId(1),
            xid: Xid(1),
            op: OpCode(op),
            body: Bytes::from(body),
            auth: Arc::from([]),
        };
        let mut db = Database::new();
        let mut preparer = Preparer::new(PrepareSettings::default());
        let entry = preparer.prepare(&db, &request, SessionCheck::Ok, Zxid(1), WallMs(1));
        let read = TxnEntry::from_slice(&entry.to_vec());
        prop_assert_eq!(read.as_ref(), Ok(&entry));
        let applied = db.apply(&entry, &mut Vec::new(), &mut Watches::new());
        let mut out = Writer::new();
        zookeeper_server::tree::write_reply(request.op, &applied, &mut out);
    }
}
