//! Snapshots taken and restored over HTTP.

use crate::harness::{Ensemble, Member, connect, create, wait_for};
use std::fs;
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission};
use zookeeper_server::ids::Zxid;
use zookeeper_server::storage::{SnapshotFile, open_snapshot};

const SOMEBODY: &str = "Authorization: digest somebody:secret\r\n";
const OWNER: &str = "Authorization: digest owner:secret\r\n";
/// `owner:secret` as `DigestAuthenticationProvider.java` generateDigest makes it.
const OWNER_ID: &str = "owner:Vj++wdU3sMAbt+g9TyKj1BT+usI=";

fn get(member: &Member, headers: &str) -> (u16, String, Vec<u8>) {
    let path = "/commands/snapshot";
    member.page("GET", path, headers, b"").expect("an answer")
}

fn post(member: &Member, headers: &str, body: &[u8]) -> (u16, serde_json::Value) {
    let path = "/commands/restore";
    let (code, _, text) = member.page("POST", path, headers, body).expect("an answer");
    (code, serde_json::from_slice(&text).expect("a page is JSON"))
}

async fn client_of(member: &Member) -> Client {
    connect(&format!("127.0.0.1:{}", member.client_port)).await
}

/// A standalone server that may be asked as often as one likes.
fn standalone() -> Ensemble {
    let mut ensemble = Ensemble::configure(1, "admin.rateLimiterIntervalInMS=0\n");
    let member = &mut ensemble.members[0];
    member.make_standalone();
    member.start();
    wait_for("the server", || ensemble.members[0].mode());
    ensemble
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_fetched_over_http_is_restored_and_stays_so_over_a_restart() {
    let mut ensemble = standalone();
    let member = &ensemble.members[0];
    let client = client_of(member).await;
    create(&client, "/kept", b"as it was")
        .await
        .expect("a create");
    let (code, head, snapshot) = get(member, SOMEBODY);
    assert_eq!(code, 200, "{head}");
    assert!(
        head.contains(&format!("snapshot_size: {}", snapshot.len())),
        "{head}"
    );
    let zxid = head
        .lines()
        .find_map(|line| line.strip_prefix("last_zxid: 0x"))
        .expect("its position");
    let file = member.dir.join(format!("snapshot.{zxid}"));
    fs::write(&file, &snapshot).expect("a file");
    let file = SnapshotFile::at(&file).expect("a snapshot's name");
    let (database, info) = open_snapshot(&file).expect("a whole snapshot");
    assert_eq!(
        database.tree.get("/kept").and_then(|node| node.data()),
        Some(&b"as it was"[..])
    );

    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client
        .set_data("/kept", b"changed", None)
        .await
        .expect("a change");
    client
        .create("/later", b"", &options)
        .await
        .expect("a create");
    let seen = client
        .check_stat("/later")
        .await
        .expect("an answer")
        .expect("a node");
    drop(client);
    let (code, page) = post(member, SOMEBODY, &snapshot);
    assert_eq!(code, 200, "{page}");
    let restored = Zxid(page["last_zxid"].as_i64().expect("a position"));
    assert!(
        restored > info.zxid && restored.0 > seen.czxid,
        "no position twice"
    );

    for restart in [false, true] {
        if restart {
            ensemble.members[0].kill();
            ensemble.members[0].start();
            wait_for("the server", || ensemble.members[0].mode());
        }
        let client = client_of(&ensemble.members[0]).await;
        let (data, _) = client.get_data("/kept").await.expect("the data");
        assert_eq!(data, b"as it was");
        let later = client.get_data("/later").await;
        assert!(matches!(later, Err(Error::NoNode)), "{later:?}");
        let path = format!("/new-{restart}");
        let (stat, _) = client.create(&path, b"", &options).await.expect("a create");
        assert!(stat.czxid > restored.0);
    }
    let client = client_of(&ensemble.members[0]).await;
    client
        .get_data("/new-false")
        .await
        .expect("what came after the restoration");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_snapshot_changes_nothing() {
    let ensemble = standalone();
    let member = &ensemble.members[0];
    let client = client_of(member).await;
    create(&client, "/kept", b"").await.expect("a create");
    let (_, _, snapshot) = get(member, SOMEBODY);
    let cut = &snapshot[..snapshot.len() - 1];
    let mut damaged = snapshot.clone();
    damaged[100] ^= 1;
    for sent in [&b""[..], b"nonsense", cut, &damaged] {
        let (code, page) = post(member, SOMEBODY, sent);
        assert_eq!(code, 500, "{page}");
        let error = page["error"].as_str().expect("an error");
        assert!(
            error.starts_with("what was sent is no whole snapshot: "),
            "{error}"
        );
    }
    // The session is still the same.
    client.get_data("/kept").await.expect("the data");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_do_everything_to_the_root_gets_a_snapshot() {
    let ensemble = standalone();
    let member = &ensemble.members[0];
    let client = client_of(member).await;
    let (code, _, text) = get(member, "");
    assert_eq!(code, 401);
    assert!(String::from_utf8_lossy(&text).contains("Auth info is missing for the command"));
    for unproven in ["digest", "digest a b", "world anyone", "none x"] {
        let (code, _, _) = get(member, &format!("Authorization: {unproven}\r\n"));
        assert_eq!(code, 401, "{unproven}");
    }
    assert_eq!(get(member, "Authorization: ip\r\n").0, 200);

    let owner = Acl::new(Permission::ALL, AuthId::new("digest", OWNER_ID));
    let others = Acl::new(
        Permission::READ | Permission::WRITE | Permission::CREATE | Permission::DELETE,
        AuthId::anyone(),
    );
    client
        .set_acl("/", &[owner, others], None)
        .await
        .expect("the list");
    assert_eq!(get(member, SOMEBODY).0, 403);
    let (code, page) = post(member, SOMEBODY, b"");
    assert_eq!((code, &page["error"]), (403, &"Not authorized".into()));
    assert_eq!(get(member, OWNER).0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_an_ensemble_gives_snapshots_takes_none_and_not_too_often() {
    let ensemble = Ensemble::serving(1, "");
    let member = &ensemble.members[0];
    let (code, _, snapshot) = get(member, SOMEBODY);
    assert_eq!(code, 200);
    let (code, page) = post(member, SOMEBODY, &snapshot);
    assert_eq!(code, 409, "{page}");
    let (code, page) = post(member, SOMEBODY, &snapshot);
    assert_eq!(code, 429, "{page}");
}
