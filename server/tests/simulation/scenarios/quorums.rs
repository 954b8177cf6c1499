//! Hierarchical quorums: groups, and members of different weight.

use super::*;

/// Seven voters in three groups; the last one weighs nothing.
fn grouped(seed: u64) -> World {
    let mut config = Config::calm(7, 0);
    config.groups = vec![
        vec![(0, 1), (1, 1), (2, 1)],
        vec![(3, 1), (4, 1)],
        vec![(5, 1), (6, 0)],
    ];
    let mut world = World::new(config, seed);
    world.start_all().expect("starts");
    agree(&mut world);
    world
}

#[test]
fn most_of_most_groups_is_a_quorum_though_it_is_no_majority() {
    let mut world = grouped(70);
    // 0 and 1 of the first group and 5 of the third remain.
    for who in [2, 3, 4, 6] {
        world.crash(who, false);
    }
    agree(&mut world);
    write(&mut world, 3);
    assert_eq!(acknowledged(&world), 3);
}

#[test]
fn a_majority_that_is_most_of_one_group_only_is_no_quorum() {
    let mut world = grouped(71);
    // Four of seven: all of the first group, half of the second, and of the third what weighs
    // nothing.
    for who in [4, 5] {
        world.crash(who, false);
    }
    pass(&mut world, 60_000);
    assert_eq!(world.leader(), None);
    start(&mut world, 5);
    agree(&mut world);
    write(&mut world, 1);
}

#[test]
fn a_member_without_weight_never_leads_and_still_learns() {
    let mut config = Config::calm(3, 0);
    config.groups = vec![vec![(0, 1), (1, 1), (2, 0)]];
    let mut world = World::new(config, 72);
    let log = txns(1, 5);
    world.checks.knows(&log);
    // It has the longest log and the highest id, and nobody else saw that tail.
    world.members[2].disk = disk(1, 1, &log);
    for who in 0..2 {
        world.members[who].disk = disk(1, 1, &[]);
    }
    world.start_all().expect("starts");
    agree(&mut world);
    assert_ne!(leader(&world), 2);
    write(&mut world, 3);
    all_have(&world, 3);
}
