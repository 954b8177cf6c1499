//! Observers that learn from followers (`observerMasterPort`), of either flavor, from either.

use super::Case;
use crate::Outcome;
use crate::client::Intended;
use crate::ensemble::{Ensemble, wait_for};
use crate::environment::Environment;
use crate::load::{Living, Report, Writer};
use crate::member::{Flavor, Member};
use crate::sessions;
use crate::tree::assert_equal_everywhere;
use crate::workload::write_everything;
use std::fs;
use std::time::Duration;
use test_support::free_ports;

/// The last voter leads; the first two follow, and one of each flavor observes.
const LAYOUTS: [(&str, bool); 2] = [("JSSsj", true), ("SJJsj", false)];
const FOLLOWERS: [usize; 2] = [0, 1];
const LEADER: usize = 2;
const OBSERVERS: [usize; 2] = [3, 4];

pub(super) fn cases() -> Vec<Case> {
    LAYOUTS
        .into_iter()
        .map(|(layout, short)| {
            Case::new(
                format!("observers behind followers, {layout}"),
                short,
                move |environment| run(environment, layout),
            )
        })
        .collect()
}

async fn run(environment: Environment, layout: &'static str) -> Outcome<String> {
    let port = free_ports(1)[0];
    let extra = format!("observerMasterPort={port}\n");
    let mut ensemble = Ensemble::configure(&environment, layout, &extra)?;
    for member in &ensemble.members {
        give_hosts(member)?;
    }
    let told = exercise(&mut ensemble).await;
    if told.is_err() {
        ensemble.explain();
    }
    told
}

/// All members have the same port for observers, so each needs an address of its own.
fn give_hosts(member: &Member) -> Outcome {
    let path = member.dir.join("zoo.cfg");
    let text = fs::read_to_string(&path).intended(member)?;
    let lines = text
        .lines()
        .map(|line| match line.split_once("=127.0.0.1:") {
            Some((key, rest)) if key.starts_with("server.") => {
                let host = key.trim_start_matches("server.");
                format!("{key}=127.0.0.{host}:{rest}\n")
            }
            _ => format!("{line}\n"),
        });
    fs::write(&path, lines.collect::<String>()).intended(member)
}

async fn exercise(ensemble: &mut Ensemble) -> Outcome<String> {
    ensemble.start_led_by_the_last_voter()?;
    let of_observers = OBSERVERS
        .map(|index| ensemble.members[index].address())
        .join(",");
    let writer = Writer::start(of_observers, "/load", Duration::from_millis(5));
    let mut living = Vec::new();
    for index in OBSERVERS {
        living.push(Living::open(ensemble, index).await?);
    }
    // Alone, each follower has them all, whoever they began with.
    let mut alive = Vec::new();
    for (gone, left) in [(0, 1), (1, 0)] {
        ensemble.members[gone].kill();
        learn_from(ensemble, left)?;
        // They stay where they are when the other comes back.
        ensemble.members[gone].start()?;
        for index in OBSERVERS {
            let round = format!("behind-{}", left + 1);
            alive.push(write_everything(&ensemble.members[index], &round).await?);
        }
        ensemble.wait_until_all_serve()?;
    }
    let moves = sessions::move_through_all(ensemble).await?;
    let report: Report = writer.stop().await?;
    for session in &living {
        session.assert_alive().await?;
    }
    for member in &ensemble.members {
        report.assert_kept(member).await?;
    }
    let nodes = assert_equal_everywhere(ensemble).await?;
    if ensemble.leader()? != LEADER {
        return Err("the leader changed, whom nothing happened to".into());
    }
    Ok(format!(
        "{} writes acknowledged and none lost, longest pause {:.1} s, {} sessions kept, one moved {moves} times, {nodes} nodes equal",
        report.acknowledged.len(),
        report.longest_gap.as_secs_f32(),
        living.len()
    ))
}

/// Waits until all observers learn from this follower and none from the leader.
fn learn_from(ensemble: &Ensemble, follower: usize) -> Outcome {
    debug_assert!(FOLLOWERS.contains(&follower));
    let member = &ensemble.members[follower];
    wait_for(&format!("the observers to learn from {member}"), || {
        let of = |index: usize| ensemble.members[index].figure("zk_synced_observers").ok();
        let all = i64::try_from(OBSERVERS.len()).ok();
        (of(follower) == all && of(LEADER) == Some(0)).then_some(())
    })?;
    for index in OBSERVERS {
        let observer = &ensemble.members[index];
        wait_for(&format!("{observer} to serve"), || {
            (observer.mode()? == "observer").then_some(())
        })?;
    }
    // Java says nothing else of its own observers: its log has the member at the other end.
    let log = member.log();
    let sign = match member.flavor {
        Flavor::Java => "ObserverMaster",
        Flavor::Ours => "listening for observers",
    };
    if log.contains(sign) {
        Ok(())
    } else {
        Err(format!("{member} does not say `{sign}`"))
    }
}
