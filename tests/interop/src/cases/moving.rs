//! An ensemble moved from Java to ours and back, member by member on the same disks, under load.

use super::Case;
use crate::Outcome;
use crate::client::connect;
use crate::ensemble::Ensemble;
use crate::environment::Environment;
use crate::load::{Living, Writer};
use crate::member::Flavor;
use crate::tree::assert_equal_everywhere;
use crate::workload::write_everything;
use std::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("moved there and back in order", true, |environment| {
            run(environment, How::InOrder, 1)
        }),
        Case::new(
            "moved there and back by kill -9, twice",
            false,
            |environment| run(environment, How::Killed, 2),
        ),
    ]
}

/// How a member's process ends before the other flavor takes its directory.
#[derive(Clone, Copy)]
enum How {
    InOrder,
    Killed,
}

async fn run(environment: Environment, how: How, times: usize) -> Outcome<String> {
    // Snapshots are written on the way too, so that each starts from the other's.
    let extra = "snapCount=400\ncommitLogCount=200\n";
    let mut ensemble = Ensemble::start(&environment, "JJJ", extra)?;
    let told = there_and_back(&mut ensemble, how, times).await;
    if told.is_err() {
        ensemble.explain();
    }
    told
}

async fn there_and_back(ensemble: &mut Ensemble, how: How, times: usize) -> Outcome<String> {
    let mut alive = Vec::new();
    for member in &ensemble.members {
        alive.push(write_everything(member, "before").await?);
    }
    let mut living = Vec::new();
    for index in 0..6 {
        living.push(Living::open(ensemble, index).await?);
    }
    let pause = Duration::from_millis(2);
    let writers = ["/load-a", "/load-b"]
        .map(|parent| Writer::start(ensemble.connect_string(), parent, pause));
    let mut replaced = 0;
    for flavor in [Flavor::Ours, Flavor::Java].repeat(times) {
        replaced += replace_all(ensemble, flavor, how, &living).await?;
        if let How::InOrder = how {
            let member = &ensemble.members[replaced % ensemble.members.len()];
            alive.push(write_everything(member, &format!("as-{flavor}-{replaced}")).await?);
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut acknowledged = 0;
    let mut unknown = 0;
    let mut longest_gap = Duration::ZERO;
    for writer in writers {
        let report = writer.stop().await?;
        for member in &ensemble.members {
            report.assert_kept(member).await?;
        }
        acknowledged += report.acknowledged.len();
        unknown += report.unknown;
        longest_gap = longest_gap.max(report.longest_gap);
    }
    let nodes = assert_equal_everywhere(ensemble).await?;
    Ok(format!(
        "{replaced} replacements, {acknowledged} writes acknowledged and none lost ({unknown} of \
         unknown outcome, longest gap {} ms), {} sessions kept, {nodes} nodes equal",
        longest_gap.as_millis(),
        living.len()
    ))
}

/// Followers first, the leader last.
async fn replace_all(
    ensemble: &mut Ensemble,
    flavor: Flavor,
    how: How,
    living: &[Living],
) -> Outcome<usize> {
    let mut replaced = 0;
    loop {
        let leader = ensemble.leader()?;
        let others = (0..ensemble.members.len()).filter(|index| *index != leader);
        let Some(next) = others
            .chain([leader])
            .find(|index| ensemble.members[*index].flavor != flavor)
        else {
            return Ok(replaced);
        };
        let member = &mut ensemble.members[next];
        match how {
            How::InOrder => member.terminate()?,
            How::Killed => member.kill(),
        }
        member.flavor = flavor;
        member.start()?;
        ensemble.wait_until_all_serve()?;
        for session in living {
            session.assert_alive().await?;
        }
        let client = connect(&ensemble.members[next].address()).await?;
        drop(client);
        replaced += 1;
    }
}
