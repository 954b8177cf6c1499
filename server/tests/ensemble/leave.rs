//! Members that are asked to stop, and wait for as long as their ensemble needs them.

use super::Writer;
use super::harness::{Ensemble, Member, wait_for};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use test_support::free_ports;

/// Three members that find each other's AdminServers as pods do: a host of its own for each, and one
/// port for all.
fn three() -> Ensemble {
    let mut ensemble = Ensemble::configure(3, "");
    let admin = free_ports(1)[0];
    for member in &mut ensemble.members {
        let path = member.dir.join("zoo.cfg");
        let mut text = fs::read_to_string(&path).expect("zoo.cfg");
        for id in 1..=3 {
            let (everywhere, own) = (
                format!("server.{id}=127.0.0.1:"),
                format!("server.{id}=127.0.0.{id}:"),
            );
            text = text.replace(&everywhere, &own);
        }
        let own = format!("admin.serverPort={}", member.admin_port);
        text = text.replace(&own, &format!("admin.serverPort={admin}"));
        let host = format!("admin.serverAddress=127.0.0.{}", member.id);
        text = text.replace("admin.serverAddress=127.0.0.1", &host);
        fs::write(path, text).expect("zoo.cfg");
        member.start();
    }
    ensemble.wait_until_all_serve();
    ensemble
}

/// `zookeeper-server leave`, as a pod runs it before its server is told to stop.
fn leave(member: &Member, at_least: u32, at_most: u32) -> Child {
    Command::new(env!("CARGO_BIN_EXE_zookeeper-server"))
        .arg("leave")
        .arg(member.dir.join("zoo.cfg"))
        .args(["--at-least", &at_least.to_string()])
        .args(["--at-most", &at_most.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the server's binary")
}

fn is_over(child: &mut Child) -> bool {
    match child.try_wait().expect("a process of ours") {
        Some(status) => {
            assert!(status.success(), "leave ended with {status}");
            true
        }
        None => false,
    }
}

/// Waits until the member's log says that it is held; it is not let go until then.
fn holds(child: &mut Child, log: &Member) {
    wait_for("the held member says so", || {
        assert!(!is_over(child), "it was let go");
        let text = fs::read_to_string(log.dir.join("log.txt")).expect("a log");
        text.contains("holds on").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_members_that_are_stopped_at_once_the_second_waits_for_the_first_to_be_back() {
    let mut ensemble = three();
    let writer = Writer::start(ensemble.connect_string(), "/w");
    let leader = ensemble.leader();
    // The leader is the one that goes first, and the one that has to wait.
    for leads_first in [true, false] {
        let leader = if leads_first {
            leader
        } else {
            ensemble.leader()
        };
        let other = (leader + 1) % 3;
        let [first, second] = if leads_first {
            [leader, other]
        } else {
            [other, leader]
        };
        for member in &ensemble.members {
            // What is waited for below is what this round says.
            fs::write(member.dir.join("log.txt"), "").expect("a log");
        }
        let mut going = leave(&ensemble.members[first], 1, 60);
        wait_for("the first one has asked", || {
            let log = fs::read_to_string(ensemble.members[first].dir.join("log.txt")).ok()?;
            log.contains("may stop").then_some(())
        });
        let mut waiting = leave(&ensemble.members[second], 1, 60);
        wait_for("the first one goes", || is_over(&mut going).then_some(()));
        ensemble.members[first].terminate();
        holds(&mut waiting, &ensemble.members[second]);
        // It holds on for as long as the first one is away, and no longer.
        assert!(
            !is_over(&mut waiting),
            "the second went before the first was back"
        );
        ensemble.members[first].start();
        wait_for("the second one goes", || {
            is_over(&mut waiting).then_some(())
        });
        wait_for("the first one serves", || ensemble.members[first].mode());
        ensemble.members[second].terminate();
        ensemble.members[second].start();
        ensemble.wait_until_all_serve();
    }
    let report = writer.stop().await;
    println!(
        "{} writes acknowledged, longest gap {} ms",
        report.acknowledged.len(),
        report.longest_gap.as_millis()
    );
    for member in &ensemble.members {
        super::assert_all_there(member, "/w", &report.acknowledged).await;
    }
}

#[test]
fn nobody_waits_where_all_are_stopped_at_once() {
    let ensemble = three();
    let begun = Instant::now();
    let mut leaving: Vec<Child> = { ensemble.members.iter() }
        .map(|member| leave(member, 2, 60))
        .collect();
    for child in &mut leaving {
        wait_for("all of them go", || is_over(child).then_some(()));
    }
    // Whoever is held waits for the whole of its 60 s.
    assert!(begun.elapsed() < Duration::from_secs(50));
}

#[test]
fn a_member_waits_no_longer_than_it_may_and_not_at_all_where_there_is_no_quorum() {
    let mut ensemble = three();
    let follower = (ensemble.leader() + 1) % 3;
    ensemble.members[follower].kill();
    let leader = ensemble.leader();
    let begun = Instant::now();
    let mut held = leave(&ensemble.members[leader], 0, 5);
    wait_for("its time is over", || is_over(&mut held).then_some(()));
    assert!(begun.elapsed() >= Duration::from_secs(5));
    // Without the leader there is no quorum, which the last one could only wait for.
    ensemble.members[leader].kill();
    let last = 3 - follower - leader;
    wait_for("the last one serves no longer", || {
        ensemble.members[last].mode().is_none().then_some(())
    });
    let mut alone = leave(&ensemble.members[last], 0, 60);
    let begun = Instant::now();
    wait_for("the last one goes", || is_over(&mut alone).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(50));
}
