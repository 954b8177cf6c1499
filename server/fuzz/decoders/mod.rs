//! Every decoder of the server behind one function a subject, for bytes that anybody may send or a
//! disk may hold. The fuzz targets call them with what libFuzzer makes up; `server/tests/decoders.rs`
//! with the same corpus and with random bytes, on any toolchain.
//!
//! The first byte chooses the decoder. Each function panics where a decoder does, and where what
//! was decoded does not come back from its own encoding.

// Every target takes one of them.
#![allow(dead_code, clippy::unwrap_used)]

use bytes::Bytes;
use std::cell::RefCell;
use std::fmt::Debug;
use std::io::Write as _;
use std::sync::Arc;
use zookeeper_server::ids::{ServerId, SessionId, WallMs, Xid, Zxid};
use zookeeper_server::jute::{Reader, Record};
use zookeeper_server::proto::auth::AuthPacket;
use zookeeper_server::proto::change::{
    PathVersion, ReconfigRequest, SetAclRequest, SetDataRequest,
};
use zookeeper_server::proto::connect::ConnectRequest;
use zookeeper_server::proto::create::{CreateMode, CreateRequest, CreateTtlRequest};
use zookeeper_server::proto::multi::{MultiRequest, WriteOp};
use zookeeper_server::proto::watches::{SetWatches, WatchedRead};
use zookeeper_server::proto::{Acl, Id, OpCode, Stat};
use zookeeper_server::quorum_proto::{
    FromLeader, FromLearner, Hello, QuorumPacket, decode_notification, encode_notification,
};
use zookeeper_server::tree::{Database, Watches};
use zookeeper_server::txn::{PrepareSettings, Preparer, Request, SessionCheck, TxnEntry};

/// What is read comes back when it is written and read again.
fn record<R: Record + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(decoded) = R::from_slice(bytes) {
        let again = R::from_slice(&decoded.to_vec());
        assert_eq!(again.as_ref(), Ok(&decoded));
    }
}

/// What clients send.
pub(crate) fn requests(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    match choice % 15 {
        0 => record::<ConnectRequest>(bytes),
        1 => record::<AuthPacket>(bytes),
        2 => record::<SetDataRequest>(bytes),
        3 => record::<SetAclRequest>(bytes),
        4 => record::<PathVersion>(bytes),
        5 => record::<ReconfigRequest>(bytes),
        6 => record::<CreateRequest>(bytes),
        7 => record::<CreateTtlRequest>(bytes),
        8 => multi(bytes),
        9 => record::<Acl>(bytes),
        10 => record::<Id>(bytes),
        11 => record::<Stat>(bytes),
        12 => drop(WatchedRead::read(&mut Reader::new(bytes))),
        13 => {
            for persistent_too in [false, true] {
                drop(SetWatches::read(&mut Reader::new(bytes), persistent_too));
            }
        }
        _ => {
            if let Some(word) = zookeeper_server::admin::four_letter::word(bytes) {
                assert!(bytes.starts_with(word.as_bytes()));
            }
        }
    }
}

/// A createTTL in a mode that there is not is a create to be refused, as in Java, which has no
/// encoding of its own.
fn multi(bytes: &[u8]) {
    let Ok(decoded) = MultiRequest::from_slice(bytes) else {
        return;
    };
    let encodable = decoded.ops.iter().all(|op| match op {
        WriteOp::Create(_, create) => {
            CreateMode::from_flags(create.flags).is_some_and(|mode| !mode.is_ttl())
        }
        _ => true,
    });
    if encodable {
        record::<MultiRequest>(bytes);
    }
}

const OPS: [OpCode; 14] = [
    OpCode::CREATE,
    OpCode::CREATE2,
    OpCode::CREATE_TTL,
    OpCode::CREATE_CONTAINER,
    OpCode::DELETE,
    OpCode::DELETE_CONTAINER,
    OpCode::SET_DATA,
    OpCode::SET_ACL,
    OpCode::CHECK,
    OpCode::MULTI,
    OpCode::RECONFIG,
    OpCode::CREATE_SESSION,
    OpCode::CLOSE_SESSION,
    OpCode::ERROR,
];

/// Requests as the leader prepares them and every tree applies them, one after the other: each is
/// its type, its length and its body. Behind an odd first byte, one transaction as a log holds it.
pub(crate) fn transactions(input: &[u8]) {
    let Some((choice, mut rest)) = input.split_first() else {
        return;
    };
    if choice % 2 == 1 {
        record::<TxnEntry>(rest);
        if let Ok(entry) = TxnEntry::from_slice(rest) {
            let mut database = Database::with_extended_types(choice % 4 == 1);
            database.apply(&entry, &mut Vec::new(), &mut Watches::default());
        }
        return;
    }
    let mut database = Database::with_extended_types(choice % 4 == 0);
    let mut preparer = Preparer::new(PrepareSettings {
        extended_types: choice % 4 == 0,
        enforce_quota: choice % 8 == 0,
        ..PrepareSettings::default()
    });
    let mut zxid = Zxid(0x1_0000_0000);
    let auth: Arc<[Id]> = Arc::from([Id::new("ip", "127.0.0.1"), Id::new("digest", "a:b")]);
    while let [op, len, behind @ ..] = rest {
        let (body, next) = behind.split_at(behind.len().min(usize::from(*len)));
        rest = next;
        zxid = zxid.next();
        let request = Request {
            session: SessionId(0x0100_0000_0000_0001),
            xid: Xid(1),
            op: OPS[usize::from(*op) % OPS.len()],
            body: Bytes::copy_from_slice(body),
            auth: Arc::clone(&auth),
        };
        let now = WallMs(1_700_000_000_000);
        let entry = preparer.prepare(&database, &request, SessionCheck::Ok, zxid, now);
        assert_eq!(TxnEntry::from_slice(&entry.to_vec()).as_ref(), Ok(&entry));
        database.apply(&entry, &mut Vec::new(), &mut Watches::default());
        preparer.applied(zxid);
    }
}

/// What members send each other.
pub(crate) fn quorum(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    match choice % 5 {
        0 => record::<QuorumPacket>(bytes),
        1 => {
            if let Ok(packet) = QuorumPacket::from_slice(bytes)
                && let Ok(decoded) = FromLeader::decode(packet)
            {
                let again = FromLeader::decode(decoded.clone().encode());
                assert_eq!(again.as_ref(), Ok(&decoded));
            }
        }
        2 => {
            if let Ok(packet) = QuorumPacket::from_slice(bytes)
                && let Ok(decoded) = FromLearner::decode(packet)
            {
                let again = FromLearner::decode(decoded.clone().encode());
                assert_eq!(again.as_ref(), Ok(&decoded));
            }
        }
        3 => {
            if let Ok(decoded) = decode_notification(bytes) {
                let again = decode_notification(&encode_notification(&decoded));
                assert_eq!(again.as_ref(), Ok(&decoded));
            }
        }
        _ => {
            if let Ok(Some((hello, consumed))) = Hello::decode(bytes) {
                assert!(consumed <= bytes.len());
                if hello.addresses.is_empty() {
                    // The form before 3.5, which is read and never written.
                    return;
                }
                let encoded = hello.encode();
                let again = Hello::decode(&encoded);
                assert_eq!(again, Ok(Some((hello, encoded.len()))));
            }
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// Puts `bytes` into a file of that name, in memory where there is some.
fn in_file(name: &str, bytes: &[u8], read: impl FnOnce(&std::path::Path)) {
    SCRATCH.with_borrow_mut(|scratch| {
        let dir = scratch.get_or_insert_with(|| {
            tempfile::TempDir::new_in("/dev/shm")
                .or_else(|_| tempfile::TempDir::new())
                .unwrap()
        });
        let path = dir.path().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(bytes).unwrap();
        read(&path);
        std::fs::remove_file(&path).unwrap();
    });
}

/// A snapshot: the tree alone, and the sealed file in each way of compression.
pub(crate) fn snapshots(input: &[u8]) {
    use zookeeper_server::storage::{SnapshotFile, open_snapshot};
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    match choice % 4 {
        0 => {
            let mut rest = bytes;
            if let Ok(database) = zookeeper_server::tree::read_snapshot(&mut rest) {
                let mut out = Vec::new();
                database.freeze().write_snapshot(&mut out).unwrap();
                let again = zookeeper_server::tree::read_snapshot(&mut out.as_slice()).unwrap();
                assert_eq!(again.tree.node_count(), database.tree.node_count());
                assert_eq!(again.digest(), database.digest());
            }
        }
        way => {
            let extension = ["", "", ".gz", ".snappy"][usize::from(way)];
            in_file(&format!("snapshot.0{extension}"), bytes, |path| {
                let file = SnapshotFile::at(path).unwrap();
                drop(open_snapshot(&file));
            });
        }
    }
}

/// A log file.
pub(crate) fn logs(input: &[u8]) {
    in_file("log.1", input, |path| {
        let records = zookeeper_server::storage::read_log_file(path);
        // As many records as bytes are too many.
        assert!(records.count() <= input.len());
    });
}

/// What proves who somebody is, and what access lists say of it: SASL's messages, names of
/// certificates, JAAS files and Java's stores.
pub(crate) fn credentials(input: &[u8]) {
    use zookeeper_server::auth::digest_md5::{CLIENTS, Exchange, Reply};
    use zookeeper_server::auth::{Users, jaas, x509};
    use zookeeper_server::config::StoreKind;
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    match choice % 4 {
        0 => {
            let mut users = Users::default();
            users.insert("user", "password");
            let mut exchange = Exchange::new(CLIENTS, "nonce".to_owned());
            let first = exchange.respond(&users, &[]);
            assert!(matches!(first, Ok(Reply::Challenge(_))));
            drop(exchange.respond(&users, bytes));
            assert!(exchange.respond(&users, bytes).is_err(), "over is over");
        }
        1 => drop(jaas::parse(&text)),
        2 => drop(x509::is_name(&text)),
        // The other kinds are read by other crates, some with as many rounds as the file asks for.
        _ if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) => {
            let kind = StoreKind::JksOrPkcs12;
            drop(zookeeper_server::net::tls::store::parse(
                bytes, kind, "password",
            ));
        }
        _ => {}
    }
}

/// zoo.cfg, its dynamic part, and what members write of the ensemble.
pub(crate) fn configuration(input: &[u8]) {
    use zookeeper_server::config::{Ensemble, Member, ServerConfig, parse_properties};
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    match choice % 3 {
        0 => {
            let pairs: Vec<(String, String)> = parse_properties(bytes)
                .into_iter()
                // Files that these name would be read.
                .filter(|property| property.key != "dynamicConfigFile")
                .map(|property| (property.key, property.value))
                .collect();
            drop(ServerConfig::without_file(&pairs));
        }
        1 => {
            if let Ok(ensemble) = Ensemble::parse(&text) {
                // What is said of members that are not in the list goes lost, and nothing else.
                let written = ensemble.to_string();
                let again = Ensemble::parse(&written);
                assert_eq!(again.as_ref().map(ToString::to_string), Ok(written));
                let members = again.as_ref().map(|again| &again.members);
                assert_eq!(members, Ok(&ensemble.members));
            }
        }
        _ => drop(Member::parse(ServerId(1), &text, true)),
    }
}
