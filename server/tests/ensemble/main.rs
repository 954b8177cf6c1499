//! Ensembles of real processes, spoken to by a client that is not ours.

mod backup;
mod full_disk;
mod harness;
mod leave;
mod observers;
mod read_only;
mod reconfig;

use harness::{Ensemble, connect, create, wait_for};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zookeeper_client::{Acls, CreateMode, Error};

/// A writer that goes on whatever happens, and what was acknowledged to it.
struct Writer {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Report>,
}

struct Report {
    acknowledged: BTreeSet<String>,
    longest_gap: Duration,
}

impl Writer {
    fn start(cluster: String, parent: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut client = connect(&cluster).await;
            loop {
                match create(&client, parent, b"").await {
                    // Its own, whose answer a change of leaders took away.
                    Ok(_) | Err(Error::NodeExists) => break,
                    Err(Error::ConnectionLoss) => {}
                    Err(other) => panic!("the parent is refused: {other}"),
                }
            }
            let mut report = Report {
                acknowledged: BTreeSet::new(),
                longest_gap: Duration::ZERO,
            };
            let mut last = Instant::now();
            let mut number = 0_u64;
            let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
            while !stopped.load(Ordering::Relaxed) {
                number += 1;
                let name = format!("{parent}/{number:010}");
                match client.create(&name, name.as_bytes(), &options).await {
                    Ok(_) => {
                        report.acknowledged.insert(name);
                        report.longest_gap = report.longest_gap.max(last.elapsed());
                        last = Instant::now();
                    }
                    Err(error) => {
                        if client.state().is_terminated() {
                            client = connect(&cluster).await;
                        }
                        // A write of unknown outcome is not counted either way.
                        let _unknown = error;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
            report
        });
        Writer { stop, task }
    }

    async fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the writer")
    }
}

/// Checks through one member that all of these nodes are there.
async fn assert_all_there(member: &harness::Member, parent: &str, expected: &BTreeSet<String>) {
    let client = connect(&format!("127.0.0.1:{}", member.client_port)).await;
    client.sync("/").await.expect("a sync");
    let found = client
        .list_children(parent)
        .await
        .expect("the children")
        .into_iter()
        .map(|name| format!("{parent}/{name}"))
        .collect::<BTreeSet<_>>();
    let lost = expected.difference(&found).collect::<Vec<_>>();
    assert!(
        lost.is_empty(),
        "member {} lost {} of {} acknowledged writes, such as {:?}",
        member.id,
        lost.len(),
        expected.len(),
        lost.first()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_through_one_member_is_read_through_each() {
    let ensemble = Ensemble::serving(3, "");
    let writer = connect(&format!("127.0.0.1:{}", ensemble.members[0].client_port)).await;
    create(&writer, "/greeting", b"hello")
        .await
        .expect("a create");
    let mut stats = Vec::new();
    for member in &ensemble.members {
        let client = connect(&format!("127.0.0.1:{}", member.client_port)).await;
        client.sync("/").await.expect("a sync");
        let (data, stat) = client.get_data("/greeting").await.expect("the data");
        assert_eq!(data, b"hello");
        stats.push(format!("{stat:?}"));
    }
    stats.dedup();
    assert_eq!(stats.len(), 1, "the members differ: {stats:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ensembles_of_one_two_four_and_five_serve() {
    for count in [1, 2, 4, 5] {
        let ensemble = Ensemble::serving(count, "");
        let client = connect(&ensemble.connect_string()).await;
        create(&client, "/n", b"1").await.expect("a create");
        for member in &ensemble.members {
            let reader = connect(&format!("127.0.0.1:{}", member.client_port)).await;
            reader.sync("/").await.expect("a sync");
            let (data, _) = reader.get_data("/n").await.expect("the data");
            assert_eq!(data, b"1", "{count} members");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_and_comes_back_with_everything() {
    let mut ensemble = Ensemble::serving(3, "");
    let writer = Writer::start(ensemble.connect_string(), "/w");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..3 {
        let leader = ensemble.leader();
        ensemble.members[leader].kill();
        let successor = ensemble.leader();
        assert_ne!(leader, successor);
        ensemble.members[leader].start();
        ensemble.wait_until_all_serve();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let report = writer.stop().await;
    println!(
        "{} writes acknowledged, longest gap {} ms",
        report.acknowledged.len(),
        report.longest_gap.as_millis()
    );
    assert!(!report.acknowledged.is_empty());
    for member in &ensemble.members {
        assert_all_there(member, "/w", &report.acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_killed_at_once_under_load_come_back_with_every_acknowledged_write() {
    let mut ensemble = Ensemble::serving(3, "");
    let writer = Writer::start(ensemble.connect_string(), "/w");
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        for member in &mut ensemble.members {
            member.kill();
        }
        for member in &mut ensemble.members {
            member.start();
        }
        ensemble.wait_until_all_serve();
    }
    let report = writer.stop().await;
    println!("{} writes acknowledged", report.acknowledged.len());
    assert!(!report.acknowledged.is_empty());
    for member in &ensemble.members {
        assert_all_there(member, "/w", &report.acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_and_its_ephemeral_survive_the_loss_of_its_member() {
    let mut ensemble = Ensemble::serving(3, "");
    let client = connect(&ensemble.connect_string()).await;
    let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let (before, _) = client
        .create("/alive", b"", &options)
        .await
        .expect("an ephemeral");
    for index in 0..3 {
        ensemble.members[index].kill();
        ensemble.leader();
        let after = wait_for_stat(&client).await;
        assert_eq!(before.czxid, after.czxid);
        assert_eq!(before.ephemeral_owner, after.ephemeral_owner);
        ensemble.members[index].start();
        ensemble.wait_until_all_serve();
    }
}

async fn wait_for_stat(client: &zookeeper_client::Client) -> zookeeper_client::Stat {
    let deadline = Instant::now() + harness::PATIENCE;
    loop {
        match client.check_stat("/alive").await {
            Ok(stat) => return stat.expect("the ephemeral is still there"),
            Err(error) => {
                assert!(
                    !client.state().is_terminated(),
                    "the session ended: {error}"
                );
                assert!(Instant::now() < deadline, "{error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_client_is_gone_expires_and_takes_its_ephemeral_along() {
    let ensemble = Ensemble::serving(3, "");
    let watcher = connect(&ensemble.connect_string()).await;
    let client = zookeeper_client::Client::connector()
        .with_session_timeout(Duration::from_secs(2))
        .with_detached()
        .connect(&ensemble.connect_string())
        .await
        .expect("a session");
    let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    client
        .create("/gone", b"", &options)
        .await
        .expect("an ephemeral");
    drop(client);
    let deadline = Instant::now() + harness::PATIENCE;
    while watcher.check_stat("/gone").await.expect("a stat").is_some() {
        assert!(
            Instant::now() < deadline,
            "the ephemeral outlived its session"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_member_closes_in_order_and_exits_with_zero() {
    let mut ensemble = Ensemble::serving(3, "");
    let leader = ensemble.leader();
    assert_eq!(ensemble.members[leader].terminate(), Some(0));
    let begun = Instant::now();
    ensemble.leader();
    println!("a new leader after {} ms", begun.elapsed().as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_disk_without_the_marker_takes_everything_from_the_others_and_never_votes() {
    let mut ensemble = Ensemble::configure(3, "db.autocreate=false\n");
    for member in &mut ensemble.members {
        std::fs::write(member.dir.join("data/initialize"), "").expect("the marker");
        member.start();
    }
    ensemble.wait_until_all_serve();
    let client = connect(&ensemble.connect_string()).await;
    create(&client, "/kept", b"").await.expect("a create");
    // One disk is lost: its member joins empty and is brought up to date.
    let lost = (ensemble.leader() + 1) % 3;
    ensemble.members[lost].kill();
    let data = ensemble.members[lost].dir.join("data");
    std::fs::remove_dir_all(data.join("version-2")).expect("the disk");
    ensemble.members[lost].start();
    ensemble.wait_until_all_serve();
    let reader = connect(&format!("127.0.0.1:{}", ensemble.members[lost].client_port)).await;
    reader.sync("/").await.expect("a sync");
    assert!(reader.check_stat("/kept").await.expect("a stat").is_some());
    drop((client, reader));
    // Two disks are lost: the two empty members must not outvote the one with the data.
    for member in &mut ensemble.members {
        member.kill();
    }
    for index in [0, 1] {
        let data = ensemble.members[index].dir.join("data");
        std::fs::remove_dir_all(data.join("version-2")).expect("the disk");
    }
    for member in &mut ensemble.members {
        member.start();
    }
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let modes = ensemble
            .members
            .iter()
            .map(harness::Member::mode)
            .collect::<Vec<_>>();
        assert_eq!(
            modes,
            [None, None, None],
            "somebody serves without the data"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_given_the_whole_tree_tells_ttl_nodes_from_ephemerals_and_its_configuration() {
    let mut ensemble = Ensemble::serving(3, "extendedTypesEnabled=true\n");
    let client = connect(&ensemble.connect_string()).await;
    let lasting = CreateMode::Persistent
        .with_acls(Acls::anyone_all())
        .with_ttl(Duration::from_secs(600));
    client
        .create("/lasting", b"", &lasting)
        .await
        .expect("a node with a time to live");
    let emptied = (ensemble.leader() + 1) % 3;
    ensemble.members[emptied].kill();
    let data = ensemble.members[emptied].dir.join("data");
    std::fs::remove_dir_all(data.join("version-2")).expect("the disk");
    ensemble.members[emptied].start();
    ensemble.wait_until_all_serve();
    for member in &ensemble.members {
        let reader = connect(&format!("127.0.0.1:{}", member.client_port)).await;
        reader.sync("/").await.expect("a sync");
        let stat = reader.check_stat("/lasting").await.expect("a stat");
        let owner = stat.map(|stat| stat.ephemeral_owner);
        assert_eq!(owner, Some(0), "as member {} sees it", member.id);
        let (config, _) = reader.get_config().await.expect("the configuration");
        let config = String::from_utf8_lossy(&config);
        assert!(
            config.contains("server.1=") && config.ends_with("version=0"),
            "member {} tells {config:?}",
            member.id
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_any_port_leaves_an_ensemble_serving() {
    use std::io::Write;
    let ensemble = Ensemble::serving(3, "");
    let leader = &ensemble.members[ensemble.leader()];
    for port in [
        leader.client_port,
        leader.quorum_port,
        leader.election_port,
        leader.admin_port,
    ] {
        for garbage in [
            &b"\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            b"GET / HTTP/1.0\r\n\r\n",
            &[0x7f; 4096],
        ] {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a port");
            // The server may close before all of it is written.
            let _closed = stream.write_all(garbage);
        }
    }
    let client = connect(&ensemble.connect_string()).await;
    create(&client, "/still", b"").await.expect("a create");
    assert_eq!(wait_for("the leader", || leader.mode()), "leader");
}
