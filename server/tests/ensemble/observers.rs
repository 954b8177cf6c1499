//! Observers that learn from followers. Beside Java's, they are in the interoperability tests.

use super::harness::{Ensemble, connect, create, free_ports, wait_for};
use std::fs;

/// An ensemble whose members from `observers` on observe, each with an address of its own, so that
/// all can have the same port for observers.
fn configure(count: usize, observers: usize) -> Ensemble {
    let extra = format!("observerMasterPort={}\n", free_ports(1)[0]);
    let ensemble = Ensemble::configure(count, &extra);
    for member in &ensemble.members {
        let path = member.dir.join("zoo.cfg");
        let text = fs::read_to_string(&path).expect("zoo.cfg");
        let lines = text.lines().map(|line| {
            let server = line.strip_prefix("server.");
            let Some((id, rest)) = server.and_then(|rest| rest.split_once("=127.0.0.1:")) else {
                return format!("{line}\n");
            };
            let observes = id.parse::<usize>().expect("an id") > observers;
            let role = if observes { ":observer" } else { "" };
            format!("server.{id}=127.0.0.{id}:{rest}{role}\n")
        });
        fs::write(&path, lines.collect::<String>()).expect("zoo.cfg");
    }
    ensemble
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_goes_to_the_leader_where_nobody_follows() {
    let mut ensemble = configure(2, 1);
    for member in &mut ensemble.members {
        member.start();
    }
    ensemble.wait_until_all_serve();
    assert_eq!(ensemble.members[1].mode().as_deref(), Some("observer"));
    let client = connect(&format!("127.0.0.1:{}", ensemble.members[1].client_port)).await;
    create(&client, "/through-the-observer", b"")
        .await
        .expect("a create");
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_learn_from_followers_and_find_another_when_theirs_dies() {
    let mut ensemble = configure(5, 3);
    for member in &mut ensemble.members {
        member.start();
    }
    ensemble.wait_until_all_serve();
    let leader = ensemble.leader();
    let hosted = |ensemble: &Ensemble, index: usize| {
        let answer = ensemble.members[index].ask("mntr")?;
        let mut lines = answer.lines();
        let count = lines.find_map(|line| line.strip_prefix("zk_synced_observers\t"))?;
        count.parse::<usize>().ok()
    };
    let client = connect(&format!("127.0.0.1:{}", ensemble.members[4].client_port)).await;
    create(&client, "/first", b"").await.expect("a create");
    let followers = (0..3).filter(|index| *index != leader).collect::<Vec<_>>();
    for (gone, left) in [(followers[0], followers[1]), (followers[1], followers[0])] {
        ensemble.members[gone].kill();
        wait_for(
            "the observers to learn from the follower that is left",
            || {
                (hosted(&ensemble, left) == Some(2) && hosted(&ensemble, leader) == Some(0))
                    .then_some(())
            },
        );
        ensemble.wait_until_all_serve();
        let path = format!("/with-{left}");
        let client = connect(&format!("127.0.0.1:{}", ensemble.members[3].client_port)).await;
        create(&client, &path, b"").await.expect("a create");
        let other = connect(&format!("127.0.0.1:{}", ensemble.members[4].client_port)).await;
        other.sync("/").await.expect("a sync");
        assert!(other.check_stat(&path).await.expect("a stat").is_some());
        ensemble.members[gone].start();
        ensemble.wait_until_all_serve();
    }
}
