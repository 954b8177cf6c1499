//! Ensembles of every size, and who follows whom.

use super::super::world::server_id;
use super::*;
use crate::zab::Standing;

#[test]
fn a_single_member_serves_at_once() {
    let mut world = running(1, 1);
    world.crash(0, false);
    let before = world.now;
    world.start(0).expect("starts");
    assert!(world.agrees() && world.now == before);
    assert_eq!(world.members[0].tree.len(), 10);
}

#[test]
fn two_members_need_each_other() {
    let mut world = running(2, 2);
    let follower = followers(&world)[0];
    world.crash(follower, false);
    pass(&mut world, 30_000);
    assert_eq!(world.leader(), None);
    world.start(follower).expect("starts");
    agree(&mut world);
    propose(&mut world);
    agree(&mut world);
    assert_eq!(acknowledged(&world), 11);
}

#[test]
fn a_leader_that_hears_nobody_steps_down() {
    let mut world = running(3, 7);
    let deaf = leader(&world);
    for other in followers(&world) {
        world.network.block(other, deaf);
    }
    pass(&mut world, 16_000);
    assert_eq!(world.members[deaf].leads, None);
    world.network.heal();
    agree(&mut world);
}

#[test]
fn a_leader_that_nobody_hears_is_replaced() {
    let mut world = running(3, 8);
    let mute = leader(&world);
    for other in followers(&world) {
        world.network.block(mute, other);
    }
    pass(&mut world, 40_000);
    let next = leader(&world);
    assert!(next != mute && world.members[mute].leads.is_none());
    propose(&mut world);
    pass(&mut world, 100);
    assert_eq!(acknowledged(&world), 11);
    world.network.heal();
    agree(&mut world);
}

#[test]
fn an_observer_follows_and_never_counts() {
    let mut world = World::new(Config::calm(3, 2), 16);
    world.start_all().expect("starts");
    agree(&mut world);
    for who in followers(&world) {
        if who < 3 {
            world.crash(who, false);
        }
    }
    pass(&mut world, 30_000);
    assert_eq!(world.leader(), None);
    world.start_all().expect("starts");
    agree(&mut world);
    propose(&mut world);
    agree(&mut world);
    let zab = world.members[4].zab.as_ref().expect("it runs");
    let leader = server_id(leader(&world));
    assert_eq!(
        zab.standing(),
        Standing::Learning {
            leader,
            serving: true
        }
    );
}

#[test]
fn observers_behind_followers_have_what_the_leader_has() {
    let mut hosted = 0;
    for seed in 0..20 {
        let config = Config {
            masters: true,
            ..Config::calm(3, 2)
        };
        let mut world = World::new(config, 900 + seed);
        world.start_all().expect("starts");
        agree(&mut world);
        write(&mut world, 5);
        // They go elsewhere when theirs dies, whether it says so or not.
        let theirs = |world: &World| {
            let of = |who: &usize| {
                world.members[*who]
                    .zab
                    .as_ref()
                    .map_or(0, |zab| zab.learners().len())
            };
            followers(world)
                .into_iter()
                .filter(|who| *who < 3)
                .max_by_key(of)
                .filter(|who| of(who) > 0)
        };
        for silent in [false, true] {
            let Some(follower) = theirs(&world) else {
                continue;
            };
            hosted += 1;
            world.crash(follower, silent);
            agree(&mut world);
            write(&mut world, 5);
            start(&mut world, follower);
            agree(&mut world);
        }
        trees_are_equal(&world);
    }
    assert!(hosted > 10, "{hosted}");
}
