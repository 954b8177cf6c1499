//! Leaders killed one after the other under load, whoever leads next.

use super::Case;
use crate::Outcome;
use crate::ensemble::Ensemble;
use crate::environment::Environment;
use crate::load::{Living, Writer};
use crate::tree::assert_equal_everywhere;
use std::collections::BTreeSet;
use std::time::Duration;

/// How many leaders die.
const ROUNDS: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    ["JSJ", "SJS", "JSJSS"]
        .into_iter()
        .map(|layout| {
            Case::new(
                format!("{ROUNDS} leaders killed under load in {layout}"),
                false,
                move |environment| run(environment, layout),
            )
        })
        .collect()
}

async fn run(environment: Environment, layout: &'static str) -> Outcome<String> {
    let mut ensemble = Ensemble::start(&environment, layout, "")?;
    let told = kill_leaders(&mut ensemble).await;
    if told.is_err() {
        ensemble.explain();
    }
    told
}

async fn kill_leaders(ensemble: &mut Ensemble) -> Outcome<String> {
    let mut living = Vec::new();
    for index in 0..4 {
        living.push(Living::open(ensemble, index).await?);
    }
    let writers = ["/load-a", "/load-b"]
        .map(|parent| Writer::start(ensemble.connect_string(), parent, Duration::from_millis(2)));
    let mut led = BTreeSet::new();
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let leader = ensemble.leader()?;
        led.insert(leader + 1);
        ensemble.members[leader].kill();
        // By turns it comes back into the election, or to an ensemble that goes on.
        if round % 2 == 0 {
            ensemble.leader()?;
        }
        ensemble.members[leader].start()?;
        ensemble.wait_until_all_serve()?;
        for session in &living {
            session.assert_alive().await?;
        }
    }
    let mut acknowledged = 0;
    for writer in writers {
        let report = writer.stop().await?;
        for member in &ensemble.members {
            report.assert_kept(member).await?;
        }
        acknowledged += report.acknowledged.len();
    }
    let nodes = assert_equal_everywhere(ensemble).await?;
    Ok(format!(
        "members {led:?} led; {acknowledged} writes acknowledged and none lost, {} sessions kept, \
         {nodes} nodes equal",
        living.len()
    ))
}
