//! Ensembles that grow, shrink and change their leader under a writer.

use super::harness::{self, Ensemble, connect, create, wait_for};
use super::{Writer, assert_all_there};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use zookeeper_client::{Client, EnsembleUpdate, Error};

/// Members may be changed, by anybody.
const CHANGEABLE: &str = "reconfigEnabled=true\nskipACL=yes\n";

/// What the client has no name for.
const NEW_CONFIG_NO_QUORUM: i32 = -13;
const RECONFIG_IN_PROGRESS: i32 = -14;

fn server(member: &harness::Member, role: &str) -> String {
    format!(
        "server.{}=127.0.0.1:{}:{}:{role};127.0.0.1:{}",
        member.id, member.quorum_port, member.election_port, member.client_port
    )
}

/// Lets a member start knowing only itself and the first one, as one that joins does.
fn configure_as_joiner(ensemble: &Ensemble, index: usize) {
    let member = &ensemble.members[index];
    let path = member.dir.join("zoo.cfg");
    let text = fs::read_to_string(&path).expect("zoo.cfg");
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with("server."))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    lines.push(server(&ensemble.members[0], "participant"));
    if index > 0 {
        lines.push(server(member, "participant"));
    }
    fs::write(path, lines.join("\n") + "\n").expect("zoo.cfg");
}

/// Changes the ensemble, again and again while a quorum of the new one has not caught up or an
/// election is under way.
async fn reconfig(cluster: &str, joining: &[String], leaving: &[String]) -> String {
    let mut client = connect(cluster).await;
    let deadline = Instant::now() + harness::PATIENCE;
    loop {
        let update = EnsembleUpdate::Incremental {
            joinings: joining.iter().map(String::as_str),
            leavings: leaving.iter().map(String::as_str),
        };
        match client.update_ensemble(update, None).await {
            Ok((config, _)) => return String::from_utf8(config).expect("text"),
            Err(
                Error::UnexpectedErrorCode(NEW_CONFIG_NO_QUORUM | RECONFIG_IN_PROGRESS)
                | Error::ConnectionLoss
                | Error::SessionExpired,
            ) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if client.state().is_terminated() {
                    client = connect(cluster).await;
                }
            }
            Err(other) => panic!("a reconfig was refused: {other}"),
        }
        assert!(
            Instant::now() < deadline,
            "no quorum of the new ensemble has caught up"
        );
    }
}

async fn config_of(client: &Client) -> String {
    let (config, _) = client.get_config().await.expect("the configuration");
    String::from_utf8(config).expect("text")
}

fn voters_in(config: &str) -> usize {
    config
        .lines()
        .filter(|line| line.contains(":participant"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ensemble_grows_from_one_to_five_and_shrinks_to_one_under_load_and_loses_no_write() {
    let mut ensemble = Ensemble::configure(5, CHANGEABLE);
    for index in 0..5 {
        configure_as_joiner(&ensemble, index);
    }
    ensemble.members[0].start();
    ensemble.wait_until_all_serve();
    let writer = Writer::start(ensemble.connect_string(), "/load");
    let cluster = ensemble.connect_string();
    for index in 1..5 {
        ensemble.members[index].start();
        let joining = [server(&ensemble.members[index], "participant")];
        let config = reconfig(&cluster, &joining, &[]).await;
        assert_eq!(voters_in(&config), index + 1, "{config}");
    }
    ensemble.wait_until_all_serve();
    // The member that began goes first, and whoever leads with it.
    for index in 0..4 {
        let leaving = [ensemble.members[index].id.to_string()];
        let config = reconfig(&cluster, &[], &leaving).await;
        assert_eq!(voters_in(&config), 4 - index, "{config}");
        assert_eq!(ensemble.members[index].terminate(), Some(0));
    }
    wait_for("the last member to lead alone", || {
        (ensemble.members[4].mode()? == "leader").then_some(())
    });
    let report = writer.stop().await;
    // All of it takes a second, on a machine that does other things as well.
    assert!(
        report.acknowledged.len() > 20,
        "{}",
        report.acknowledged.len()
    );
    println!(
        "{} writes acknowledged, longest gap {:?}",
        report.acknowledged.len(),
        report.longest_gap
    );
    assert_all_there(&ensemble.members[4], "/load", &report.acknowledged).await;

    // What it has become is what it is after a restart.
    ensemble.members[4].kill();
    ensemble.members[4].start();
    ensemble.wait_until_all_serve();
    let client = connect(&format!("127.0.0.1:{}", ensemble.members[4].client_port)).await;
    assert_eq!(voters_in(&config_of(&client).await), 1);
    assert_all_there(&ensemble.members[4], "/load", &report.acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_change_in_both_directions_and_the_leader_becomes_an_observer() {
    let ensemble = Ensemble::serving(3, CHANGEABLE);
    let writer = Writer::start(ensemble.connect_string(), "/load");
    let cluster = ensemble.connect_string();
    for _ in 0..2 {
        let leader = ensemble.leader();
        let observing = [server(&ensemble.members[leader], "observer")];
        reconfig(&cluster, &observing, &[]).await;
        wait_for("the leader to observe", || {
            (ensemble.members[leader].mode()? == "observer").then_some(())
        });
        let voting = [server(&ensemble.members[leader], "participant")];
        reconfig(&cluster, &voting, &[]).await;
        wait_for("the observer to follow", || {
            (ensemble.members[leader].mode()? != "observer").then_some(())
        });
    }
    let report = writer.stop().await;
    for member in &ensemble.members {
        assert_all_there(member, "/load", &report.acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_missed_a_reconfiguration_helps_to_elect_one_that_only_this_gives_a_vote() {
    let mut ensemble = Ensemble::configure(3, CHANGEABLE);
    let third = server(&ensemble.members[2], "participant");
    for (index, member) in ensemble.members.iter_mut().enumerate() {
        let path = member.dir.join("zoo.cfg");
        let text = fs::read_to_string(&path).expect("zoo.cfg");
        // What comes later counts: nobody notices for long that another one does nothing.
        let mut text = text + "syncLimit=100\npreAllocSize=64\n";
        if index < 2 {
            let lines = text.lines().filter(|line| !line.starts_with("server.3="));
            text = lines.map(|line| format!("{line}\n")).collect();
        }
        fs::write(path, text).expect("zoo.cfg");
        member.start();
    }
    ensemble.wait_until_all_serve();
    let leader = ensemble.leader();
    let paused = 1 - leader;
    let address = format!("127.0.0.1:{}", ensemble.members[leader].client_port);
    // No session begins once one of two is paused.
    let (operator, client) = (connect(&address).await, connect(&address).await);
    ensemble.members[paused].pause();
    let leaving = ensemble.members[paused].id.to_string();
    let never_done = tokio::spawn(async move {
        let update = EnsembleUpdate::Incremental {
            joinings: [third.as_str()].into_iter(),
            leavings: [leaving.as_str()].into_iter(),
        };
        operator.update_ensemble(update, None).await.map(drop)
    });
    let proposed = |index: usize| {
        let next = ensemble.members[index].dir.join("zoo.cfg.dynamic.next");
        let text = fs::read_to_string(next).ok()?;
        Some(text.lines().last()?.strip_prefix("version=")?.to_owned())
    };
    let version = wait_for("the reconfiguration at the leader", || proposed(leader));
    wait_for("the reconfiguration at the third member", || proposed(2));
    let write = tokio::spawn(async move { create(&client, "/behind-it", b"").await });
    let log = wait_for("a write behind it at the third member", || {
        ensemble.members[2].log_with(b"/behind-it")?;
        ensemble.members[leader].log_with(b"/behind-it")
    });
    never_done.abort();
    write.abort();
    for member in &mut ensemble.members {
        member.kill();
    }
    // The leader's disk has lost what it had not synced.
    let trimmed = Command::new(env!("CARGO_BIN_EXE_zookeeper-server"))
        .args(["txnlog", "trim", "--in-place", "--to"])
        .arg(format!("0x{version}"))
        .arg(&log)
        .status();
    assert!(trimmed.is_ok_and(|status| status.success()));
    assert_eq!(ensemble.members[leader].log_with(b"/behind-it"), None);
    for member in &mut ensemble.members {
        member.start();
    }
    // The two of before are needed, and one of them knows neither the third nor where it is.
    let client = connect(&format!("127.0.0.1:{}", ensemble.members[2].client_port)).await;
    create(&client, "/goes-on", b"").await.expect("a create");
    let config = config_of(&client).await;
    assert!(config.ends_with(&format!("version={version}")), "{config}");
    let seen = client.check_stat("/behind-it").await.expect("a stat");
    assert!(seen.is_some(), "who had most of the log has led");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_end_hands_over() {
    let mut ensemble = Ensemble::serving(3, "");
    let writer = Writer::start(ensemble.connect_string(), "/load");
    let leader = ensemble.leader();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ensemble.members[leader].terminate(), Some(0));
    let next = ensemble.leader();
    assert_ne!(next, leader);
    let log = fs::read_to_string(ensemble.members[leader].dir.join("log.txt")).expect("a log");
    assert!(
        log.contains("we hand over to member"),
        "no word of it in the log"
    );
    ensemble.members[leader].start();
    ensemble.wait_until_all_serve();
    let report = writer.stop().await;
    println!("longest gap {:?}", report.longest_gap);
    for member in &ensemble.members {
        assert_all_there(member, "/load", &report.acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_hands_over_and_follows_its_successor() {
    const SOMEBODY: &str = "Authorization: digest somebody:secret\r\n";
    let path = "/commands/hand_over";
    let ensemble = Ensemble::serving(3, "");
    let writer = Writer::start(ensemble.connect_string(), "/load");
    let leader = ensemble.leader();
    let ask = |member: &harness::Member, headers| member.page("POST", path, headers, b"");
    let member = &ensemble.members[leader];
    let (code, _, _) = ask(member, "").expect("an answer");
    assert_eq!(code, 401);
    let (code, _, body) = ask(member, SOMEBODY).expect("an answer");
    let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(code, 200, "{answer}");
    let next = usize::try_from(answer["leader"].as_u64().expect("a number")).expect("an id") - 1;
    assert_ne!(next, leader);
    assert_eq!(ensemble.leader(), next);
    // Who does not lead has nothing to hand over.
    let (code, _, _) = ask(&ensemble.members[leader], SOMEBODY).expect("an answer");
    assert_eq!(code, 409);
    let report = writer.stop().await;
    println!("longest gap {:?}", report.longest_gap);
    for member in &ensemble.members {
        assert_all_there(member, "/load", &report.acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_port_that_is_changed_takes_new_clients_in_and_the_old_ones_stay() {
    let mut ensemble = Ensemble::serving(3, CHANGEABLE);
    let leader = ensemble.leader();
    let follower = (leader + 1) % 3;
    for index in [leader, follower] {
        let before = format!("127.0.0.1:{}", ensemble.members[index].client_port);
        let client = connect(&before).await;
        let session = client.session_id();
        // Somebody else is still at the new place.
        let port = harness::free_ports(1)[0];
        let squatter = TcpListener::bind(("127.0.0.1", port)).expect("the new port");
        ensemble.members[index].client_port = port;
        let moved = [server(&ensemble.members[index], "participant")];
        reconfig(&ensemble.connect_string(), &moved, &[]).await;
        wait_for("the old port to be given up", || {
            TcpStream::connect(&before).err().map(drop)
        });
        drop(squatter);
        wait_for("the new port", || ensemble.members[index].mode());
        assert_eq!(ensemble.leader(), leader, "nobody is elected for it");
        let conf = ensemble.members[index].ask("conf").expect("conf");
        assert!(conf.contains(&format!("clientPort={port}\n")), "{conf}");

        // Who came by the old port is served as before, on the same connection.
        create(&client, &format!("/kept-{index}"), b"")
            .await
            .expect("a create");
        assert_eq!(client.session_id(), session);
        let new = connect(&format!("127.0.0.1:{port}")).await;
        new.sync("/").await.expect("a sync");
        let found = new.check_stat(&format!("/kept-{index}")).await;
        assert!(found.expect("a stat").is_some());
    }
    // That is where it is after a restart.
    ensemble.members[follower].kill();
    ensemble.members[follower].start();
    ensemble.wait_until_all_serve();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_move_to_other_ports_the_leader_too_and_find_each_other_again() {
    let mut ensemble = Ensemble::serving(3, CHANGEABLE);
    let writer = Writer::start(ensemble.connect_string(), "/load");
    let cluster = ensemble.connect_string();
    let first = ensemble.leader();
    // The leader last: by then all others have moved.
    for index in (0..3).filter(|index| *index != first).chain([first]) {
        let ports = harness::free_ports(2);
        let member = &mut ensemble.members[index];
        (member.quorum_port, member.election_port) = (ports[0], ports[1]);
        let moved = [server(member, "participant")];
        let config = reconfig(&cluster, &moved, &[]).await;
        assert!(config.contains(&ports[0].to_string()), "{config}");
    }
    assert_ne!(ensemble.leader(), first, "who moves away leads no longer");
    ensemble.wait_until_all_serve();
    // Each has to be found at its new place, by those that are there and by those that come back.
    for _ in 0..2 {
        let leader = ensemble.leader();
        ensemble.members[leader].kill();
        ensemble.leader();
        ensemble.members[leader].start();
        ensemble.wait_until_all_serve();
    }
    let report = writer.stop().await;
    for member in &ensemble.members {
        assert_all_there(member, "/load", &report.acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn votes_are_weighed_anew_by_a_reconfiguration_that_names_all_members() {
    let mut ensemble = Ensemble::serving(3, CHANGEABLE);
    let heavy = (ensemble.leader() + 1) % 3;
    let others = [(heavy + 1) % 3, (heavy + 2) % 3];
    for (weight, alone) in [(3, true), (1, false)] {
        let members = ensemble.members.iter();
        let mut lines = members
            .map(|member| server(member, "participant"))
            .collect::<Vec<_>>();
        lines.push("group.1=1:2:3".into());
        for index in 0..3 {
            let weight = if index == heavy { weight } else { 1 };
            lines.push(format!("weight.{}={weight}", ensemble.members[index].id));
        }
        let client = connect(&ensemble.connect_string()).await;
        let update = EnsembleUpdate::New {
            ensemble: lines.iter().map(String::as_str),
        };
        let changed = client.update_ensemble(update, None).await;
        let (config, _) = changed.expect("a reconfig");
        let config = String::from_utf8(config).expect("text");
        let weighs = format!("weight.{}={weight}\n", ensemble.members[heavy].id);
        assert!(config.contains(&weighs), "{config}");
        drop(client);
        for index in others {
            ensemble.members[index].kill();
        }
        let member = &ensemble.members[heavy];
        if alone {
            wait_for("the one that outweighs the others to lead", || {
                (member.mode()? == "leader").then_some(())
            });
            let client = connect(&format!("127.0.0.1:{}", member.client_port)).await;
            create(&client, "/alone", b"").await.expect("a create");
        } else {
            // The election that it won before took less than half a second.
            wait_for("it to notice", || member.mode().is_none().then_some(()));
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until {
                assert_eq!(member.mode(), None, "one of three is no quorum any longer");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        for index in others {
            ensemble.members[index].start();
        }
        ensemble.wait_until_all_serve();
    }
}
