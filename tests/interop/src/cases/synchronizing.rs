//! How members that were away catch up: DIFF, SNAP and TRUNC, each flavor from the other.

use super::Case;
use crate::Outcome;
use crate::client::{Intended, connect, ensure, open};
use crate::ensemble::Ensemble;
use crate::environment::Environment;
use crate::member::Flavor;
use crate::tree::assert_equal_everywhere;
use std::time::Duration;
use zookeeper_client::CreateMode;

/// Transactions are sent from memory only, so that a member that misses more gets the whole tree.
/// Java keeps 500 in memory at least.
const FROM_MEMORY: &str = "commitLogCount=500\nsnapshotSizeFactor=-1\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (layout, learner) in [("JSJ", Flavor::Ours), ("SJS", Flavor::Java)] {
        let leader = learner.other();
        cases.push(Case::new(
            format!("catching up: {learner} takes a difference from {leader}"),
            false,
            move |environment| behind(environment, layout, 20, "DIFF"),
        ));
        cases.push(Case::new(
            format!("catching up: {learner} takes the whole tree from {leader}"),
            true,
            move |environment| behind(environment, layout, 700, "SNAP"),
        ));
        cases.push(Case::new(
            format!("catching up: {learner} cuts off what only it has at the word of {leader}"),
            true,
            move |environment| ahead(environment, learner, "TRUNC", Late::No),
        ));
        // Java does not ask for a cut where its own history has gone on in a later epoch.
        let how = match leader {
            Flavor::Java => "SNAP",
            Flavor::Ours => "TRUNC",
        };
        cases.push(Case::new(
            format!("catching up: {learner} loses what only it has in a later epoch of {leader}"),
            false,
            move |environment| ahead(environment, learner, how, Late::Yes),
        ));
    }
    cases
}

/// Whether the log of the member that learned says so.
fn assert_took(log: &str, flavor: Flavor, how: &str) -> Outcome {
    let sign = match (flavor, how) {
        (Flavor::Java, "DIFF") => "Getting a diff from the leader",
        (Flavor::Java, "SNAP") => "Getting a snapshot from leader",
        (Flavor::Java, _) => "Truncating log to get in sync with the leader",
        (Flavor::Ours, "DIFF") => "taking over what the leader has beyond us",
        (Flavor::Ours, "SNAP") => "taking over the leader's tree",
        (Flavor::Ours, _) => "cutting the log: the leader does not have what is behind",
    };
    if log.contains(sign) {
        Ok(())
    } else {
        Err(format!("{flavor} was to synchronise by {how}, and did not"))
    }
}

/// The member in the middle misses `missed` writes.
async fn behind(
    environment: Environment,
    layout: &'static str,
    missed: usize,
    how: &'static str,
) -> Outcome<String> {
    let mut ensemble = Ensemble::start(&environment, layout, FROM_MEMORY)?;
    let told = async {
        let client = connect(&ensemble.members[2].address()).await?;
        ensure(&client, "/missed").await?;
        let held = client
            .create("/held", b"", &open(CreateMode::Ephemeral))
            .await
            .intended("an ephemeral")?;
        ensemble.members[1].terminate()?;
        for number in 0..missed {
            ensure(&client, &format!("/missed/{number}")).await?;
        }
        let before = ensemble.members[1].log().len();
        ensemble.members[1].start()?;
        ensemble.wait_until_all_serve()?;
        let nodes = assert_equal_everywhere(&ensemble).await?;
        let log = ensemble.members[1].log();
        assert_took(&log[before..], ensemble.members[1].flavor, how)?;
        // What it has taken over, it has on its own disk.
        let before = ensemble.members[1].log().len();
        ensemble.members[1].kill();
        ensemble.members[1].start()?;
        ensemble.wait_until_all_serve()?;
        assert_equal_everywhere(&ensemble).await?;
        let log = ensemble.members[1].log();
        assert_took(&log[before..], ensemble.members[1].flavor, "DIFF")?;
        drop((held, client));
        Ok(format!("{missed} writes missed, {nodes} nodes equal"))
    }
    .await;
    if told.is_err() {
        ensemble.explain();
    }
    told
}

/// Whether the others have gone on before a member with too much comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Late {
    No,
    Yes,
}

/// A leader of flavor `learner` logs what nobody hears of, and comes back to others' leader.
async fn ahead(
    environment: Environment,
    learner: Flavor,
    how: &'static str,
    late: Late,
) -> Outcome<String> {
    let layout = match learner {
        Flavor::Ours => "JJS",
        Flavor::Java => "SSJ",
    };
    let mut ensemble = Ensemble::start(&environment, layout, "")?;
    let told = async {
        let client = connect(&ensemble.members[2].address()).await?;
        for number in 0..10 {
            ensure(&client, &format!("/kept-{number}")).await?;
        }
        let kept = ensemble.members[2].log().len();
        // The others vanish, and the leader logs on before it notices.
        ensemble.members[0].kill();
        ensemble.members[1].kill();
        let options = open(CreateMode::Persistent);
        let unheard = client.create("/lost", b"", &options);
        let answer = tokio::time::timeout(Duration::from_millis(200), unheard).await;
        ensemble.members[2].kill();
        if matches!(answer, Ok(Ok(_))) {
            return Err("a leader without followers acknowledged a write".into());
        }
        drop(client);
        ensemble.members[0].start()?;
        ensemble.members[1].start()?;
        ensemble.leader()?;
        if late == Late::Yes {
            let client = connect(&ensemble.members[1].address()).await?;
            ensure(&client, "/after").await?;
        }
        ensemble.members[2].start()?;
        ensemble.wait_until_all_serve()?;
        let nodes = assert_equal_everywhere(&ensemble).await?;
        let log = ensemble.members[2].log();
        assert_took(&log[kept..], learner, how)?;
        // The cut lasts: it starts from its own disk, and nothing comes back.
        ensemble.members[2].kill();
        ensemble.members[2].start()?;
        ensemble.wait_until_all_serve()?;
        assert_equal_everywhere(&ensemble).await?;
        Ok(format!("{nodes} nodes equal"))
    }
    .await;
    if told.is_err() {
        ensemble.explain();
    }
    told
}
