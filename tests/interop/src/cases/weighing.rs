//! Hierarchical quorums: votes that count by groups and weights, of both flavors.

use super::Case;
use crate::Outcome;
use crate::ensemble::{Ensemble, wait_for};
use crate::environment::Environment;
use crate::load::{Living, Report, Writer};
use crate::member::{Flavor, Member};
use crate::tree::assert_equal_everywhere;
use std::time::Duration;

/// How long a majority that is no quorum is watched: several times what an election takes.
const WATCHED: Duration = Duration::from_secs(1);

/// Leaders that die while nobody writes, until both flavors have led.
const RESTS_MAX: usize = 6;

/// An ensemble whose quorums are other ones than its majorities.
#[derive(Clone, Copy)]
struct Shape {
    layout: &'static str,
    votes: &'static str,
    /// Members without which nobody leads: their leader's death is no reason to elect another one.
    indispensable: &'static [usize],
    /// Without these the others are a majority, and no quorum.
    decisive: &'static [usize],
    /// Leaders that die under load.
    rounds: usize,
    short: bool,
}

/// Two of three, one of whom has to be the first.
const WEIGHTS: &str = "group.1=1:2:3\nweight.1=2\nweight.2=1\nweight.3=1\n";
/// Two of the groups are a quorum, so two of 2, 3 and 4 are. The last one counts nowhere.
const GROUPS: &str = "group.1=1:2\ngroup.2=3\ngroup.3=4:5\n\
                      weight.1=1\nweight.2=2\nweight.3=1\nweight.4=1\nweight.5=0\n";

pub(super) fn cases() -> Vec<Case> {
    let weights = |layout, short| Shape {
        layout,
        votes: WEIGHTS,
        indispensable: &[1],
        decisive: &[1],
        rounds: 1,
        short,
    };
    let groups = |layout| Shape {
        layout,
        votes: GROUPS,
        indispensable: &[],
        decisive: &[2, 4],
        rounds: 4,
        short: false,
    };
    [
        weights("SJS", true),
        weights("JSJ", false),
        groups("SJSJS"),
        groups("JSJSJ"),
    ]
    .into_iter()
    .map(|shape| {
        let kind = if shape.indispensable.is_empty() {
            "groups"
        } else {
            "weights"
        };
        Case::new(
            format!("votes by {kind}, {}", shape.layout),
            shape.short,
            move |environment| run(environment, shape),
        )
    })
    .collect()
}

async fn run(environment: Environment, shape: Shape) -> Outcome<String> {
    let mut ensemble = Ensemble::configure(&environment, shape.layout, shape.votes)?;
    let told = exercise(&mut ensemble, shape).await;
    if told.is_err() {
        ensemble.explain();
    }
    told
}

async fn exercise(ensemble: &mut Ensemble, shape: Shape) -> Outcome<String> {
    for member in &mut ensemble.members {
        member.start()?;
    }
    ensemble.wait_until_all_serve()?;
    // Before there are sessions: it may take longer than they live.
    stop_without_the_decisive(ensemble, shape)?;
    let mut living = Vec::new();
    for index in 0..ensemble.members.len() {
        living.push(Living::open(ensemble, index).await?);
    }
    // Where all have the same log the highest id which may lead does: the other flavor's. A session
    // that ends just then gives somebody more.
    let mut leaders = vec![ensemble.leader()?];
    while leaders.len() <= RESTS_MAX && !both_led(ensemble, &leaders) {
        assert_equal_everywhere(ensemble).await?;
        leaders.push(kill_leader(ensemble, shape)?);
    }

    let writer = start_writer(ensemble);
    for _ in 0..shape.rounds {
        tokio::time::sleep(Duration::from_millis(300)).await;
        leaders.push(kill_leader(ensemble, shape)?);
    }
    let report = writer.stop().await?;
    keeps(ensemble, &living, &report).await?;
    let nodes = assert_equal_everywhere(ensemble).await?;

    if !both_led(ensemble, &leaders) {
        return Err(format!("one flavor alone has led: {leaders:?}"));
    }
    Ok(format!(
        "members {:?} led; {} writes acknowledged and none lost, {} sessions kept, {nodes} nodes equal",
        leaders.iter().map(|index| index + 1).collect::<Vec<_>>(),
        report.acknowledged.len(),
        living.len()
    ))
}

fn both_led(ensemble: &Ensemble, leaders: &[usize]) -> bool {
    let is_java = |index: &usize| ensemble.members[*index].flavor == Flavor::Java;
    leaders.iter().any(is_java) && !leaders.iter().all(is_java)
}

fn start_writer(ensemble: &Ensemble) -> Writer {
    Writer::start(ensemble.connect_string(), "/load", Duration::from_millis(5))
}

async fn keeps(ensemble: &Ensemble, living: &[Living], report: &Report) -> Outcome {
    for session in living {
        session.assert_alive().await?;
    }
    for member in &ensemble.members {
        report.assert_kept(member).await?;
    }
    Ok(())
}

/// Kills the leader and says who leads next, with all back.
fn kill_leader(ensemble: &mut Ensemble, shape: Shape) -> Outcome<usize> {
    let leader = ensemble.leader()?;
    ensemble.members[leader].kill();
    if !shape.indispensable.contains(&(leader + 1)) {
        ensemble.leader()?;
    }
    ensemble.members[leader].start()?;
    ensemble.wait_until_all_serve()?;
    let next = ensemble.leader()?;
    if shape.votes.contains(&format!("weight.{}=0\n", next + 1)) {
        return Err(format!(
            "member {} leads, whose vote counts nowhere",
            next + 1
        ));
    }
    Ok(next)
}

/// Takes members away until the rest, though most, are no quorum: they serve nobody.
fn stop_without_the_decisive(ensemble: &mut Ensemble, shape: Shape) -> Outcome {
    for id in shape.decisive {
        ensemble.members[id - 1].kill();
    }
    let serving = |members: &[Member]| {
        members
            .iter()
            .find_map(|member| member.mode().map(|mode| (member.id, mode)))
    };
    wait_for("the others to serve no longer", || {
        serving(&ensemble.members).is_none().then_some(())
    })?;
    std::thread::sleep(WATCHED);
    if let Some((id, mode)) = serving(&ensemble.members) {
        return Err(format!(
            "member {id} is a {mode} without {:?}",
            shape.decisive
        ));
    }
    for id in shape.decisive {
        ensemble.members[id - 1].start()?;
    }
    ensemble.wait_until_all_serve()
}
