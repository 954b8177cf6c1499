//! The planner against a simulated ensemble: generated histories of faults,
//! stale observations, crashes between two writes, changes of the membership and
//! a second operator.
//!
//! Two properties. Safety: no restart that the planner asks for, and that its
//! preconditions let through, takes the quorum away, and the leader goes last; no
//! change of the membership leaves it without a quorum, or changes two votes; no
//! pod goes while its member belongs to the ensemble. Liveness: once faults stop
//! and the spec can be satisfied, every member that it asks for ends up serving
//! from the newest template, with its vote or without, and nobody else is there.

mod world;

use super::observed::Observed;
use super::{Action, Plan, Predicate, plan};
use crate::valid::ValidCluster;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use world::{JUDGED, Run, Turn, World, turns};

/// One turn of an operator that sees what is, and of the world. Says what was decided.
fn turn(world: &mut World) -> Result<Plan, String> {
    let decided = plan(&world.spec, &world.observe());
    world.carry_out(&decided.action, false, world.faults)?;
    world.tick();
    Ok(decided)
}

/// So many turns, each of them safe.
fn operate(world: &mut World, turns: usize) -> Vec<Plan> {
    (0..turns).map(|_| turn(world).expect("safe")).collect()
}

/// Plays one history, then lets the world heal.
fn play(voters: usize, observers: usize, turns: &[Turn]) -> Result<(), String> {
    let mut world = World::new(voters, observers);
    // What was seen, how much had broken by then, and for which spec.
    let mut seen: Vec<(Observed, u64, ValidCluster)> = Vec::new();
    for turn in turns {
        seen.push((world.observe(), world.faults, world.spec.clone()));
        if let Turn::Operate { age, crash } = turn {
            let (observed, faults, spec) =
                &seen[seen.len() - 1 - usize::from(*age).min(seen.len() - 1)];
            let decided = plan(spec, observed);
            world.carry_out(&decided.action, *crash, *faults)?;
        } else {
            world.happens(turn);
        }
    }
    world.heal();
    for _ in 0..3000 {
        if world.is_done() {
            return Ok(());
        }
        turn(&mut world)?;
    }
    let last = plan(&world.spec, &world.observe());
    Err(format!(
        "it never ends: {:?}, {:?}, {:?}\n{world:#?}",
        last.action, last.refusals, last.stale
    ))
}

/// How many histories are generated: a few in everyday tests, as many as
/// PROPTEST_CASES says where there is time. 1,500 and more have passed.
fn histories() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: histories(), ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_faults_makes_the_planner_take_the_quorum_away_and_every_one_ends_well(
        voters in 1_usize..8,
        observers in 0_usize..3,
        turns in turns(),
    ) {
        if let Err(fault) = play(voters, observers, &turns) {
            return Err(TestCaseError::fail(fault));
        }
    }
}

#[test]
fn a_quiet_roll_restarts_followers_before_the_leader_and_each_member_once() {
    for replicas in 1..8 {
        let mut world = World::new(replicas, 0);
        let settle = |world: &mut World| {
            let mut restarted = Vec::new();
            for _ in 0..3000 {
                if world.is_done() {
                    return restarted;
                }
                if let Action::Restart(restart) = turn(world).expect("safe").action {
                    restarted.push((restart.pod, restart.role));
                }
            }
            panic!("{replicas} members never settled");
        };
        assert_eq!(
            settle(&mut world),
            Vec::new(),
            "a fresh ensemble restarts nobody"
        );
        world.change_config(true);
        let restarted = settle(&mut world);
        assert_eq!(restarted.len(), replicas, "{restarted:?}");
        let pods: BTreeSet<&String> = restarted.iter().map(|(pod, _)| pod).collect();
        assert_eq!(pods.len(), replicas);
        // One that handed over is no leader any more when it goes.
        assert!(
            restarted[..replicas - 1]
                .iter()
                .all(|(_, role)| *role == "follower"),
            "{restarted:?}"
        );
    }
}

#[test]
fn a_bad_configuration_costs_one_member_and_its_correction_brings_it_back() {
    let mut world = World::new(3, 0);
    operate(&mut world, 60);
    assert!(world.is_done());
    world.change_config(false);
    operate(&mut world, 600);
    let crashing = world
        .pods
        .iter()
        .flatten()
        .filter(|pod| pod.run == Run::Crashing)
        .count();
    assert_eq!(
        crashing, 1,
        "the roll stops at the first member that does not come back"
    );
    assert_eq!(world.synced().len(), 2);
    let stopped = plan(&world.spec, &world.observe());
    assert!(
        stopped
            .refusals
            .iter()
            .any(|refusal| { refusal.predicate == Predicate::RestartedMembersAreBack }),
        "{:?}",
        stopped.refusals
    );
    world.change_config(true);
    operate(&mut world, 200);
    assert!(world.is_done());
}

#[test]
fn the_simulation_judges_most_restarts() {
    // Its own check: a history with many restarts in it must be judged, or the
    // property above would hold of anything.
    let before = JUDGED.load(Ordering::Relaxed);
    let mut turns = Vec::new();
    for round in 0..40 {
        turns.push(Turn::Operate {
            age: 0,
            crash: false,
        });
        turns.push(Turn::Tick(5));
        if round == 20 {
            turns.push(Turn::ChangeConfig { good: true });
        }
    }
    play(5, 0, &turns).expect("safe");
    assert!(JUDGED.load(Ordering::Relaxed) >= before + 5);
}

#[test]
fn one_becomes_three_becomes_five_and_one_again_one_vote_at_a_time() {
    let mut world = World::new(1, 0);
    for (voters, observers) in [(1, 0), (3, 0), (5, 0), (3, 2), (5, 1), (3, 0), (1, 0)] {
        world.scale(voters, observers);
        let mut ticks = 0;
        while !world.is_done() {
            let decided = turn(&mut world).expect("safe");
            ticks += 1;
            assert!(
                ticks < 500,
                "{voters} voters and {observers} observers: {:?} {:?}\n{world:#?}",
                decided.action,
                decided.refusals
            );
        }
        assert_eq!(world.synced().len(), voters);
        assert_eq!(world.roles.len(), voters + observers);
    }
}

#[test]
fn a_member_that_is_lost_can_be_taken_out_while_a_roll_waits_for_it() {
    let mut world = World::new(5, 0);
    operate(&mut world, 400);
    assert!(world.is_done());
    // Its pod never gets anywhere again.
    if let Some(pod) = world.pods[4].as_mut() {
        pod.run = Run::Pending(u8::MAX);
    }
    if world.leader == Some(4) {
        world.leader = None;
    }
    world.change_config(true);
    world.scale(4, 0);
    operate(&mut world, 400);
    assert!(world.is_done(), "{world:#?}");
}

#[test]
fn of_those_who_lose_their_votes_the_lost_ones_go_first_and_the_leader_last() {
    let mut world = World::new(5, 0);
    operate(&mut world, 200);
    assert!(world.is_done());
    // The node of two members is gone. Were 4 to leave first, two of four would be left.
    for lost in [2, 3] {
        if let Some(pod) = world.pods[lost].as_mut() {
            pod.run = Run::Pending(u8::MAX);
        }
    }
    world.leader = Some(4);
    world.scale(3, 0);
    let plans = operate(&mut world, 200);
    let left = plans.iter().filter_map(|plan| match &plan.action {
        Action::Reconfig(reconfig) => Some(reconfig.member.ordinal),
        _ => None,
    });
    assert_eq!(left.collect::<Vec<_>>(), [3, 4]);
    assert_eq!(world.synced().len(), 2);
}

#[test]
fn a_newcomer_that_cannot_run_from_the_newest_template_holds_a_roll_up() {
    let mut world = World::new(3, 0);
    operate(&mut world, 60);
    world.scale(4, 0);
    while world.pods[3].is_none() {
        operate(&mut world, 1);
    }
    world.change_config(false);
    operate(&mut world, 300);
    let crashing = |world: &World| {
        let pods = world.pods.iter().enumerate();
        pods.filter(|(_, pod)| pod.as_ref().is_some_and(|pod| pod.run == Run::Crashing))
            .map(|(index, _)| index)
            .collect::<Vec<_>>()
    };
    assert_eq!(crashing(&world), [3], "nobody who votes was tried");
    let stopped = plan(&world.spec, &world.observe());
    let blocked = stopped.refusals.iter();
    assert!(
        blocked
            .map(|r| r.predicate)
            .any(|p| p == Predicate::RestartedMembersAreBack),
        "{:?}",
        stopped.refusals
    );
    world.change_config(true);
    operate(&mut world, 300);
    assert!(world.is_done());
}

#[test]
fn a_roll_whose_last_member_is_on_its_way_out_says_whom_it_waits_for() {
    let mut world = World::new(1, 0);
    operate(&mut world, 60);
    assert!(world.is_done());
    world.change_config(true);
    let leaves = |world: &World| {
        let pod = world.pods[0].as_ref();
        pod.is_some_and(|pod| pod.terminating.is_some())
    };
    while !leaves(&world) {
        operate(&mut world, 1);
    }
    let waiting = plan(&world.spec, &world.observe());
    let blocked: Vec<Predicate> = waiting.refusals.iter().map(|r| r.predicate).collect();
    assert_eq!(blocked, [Predicate::EveryPodIsThere]);
}
