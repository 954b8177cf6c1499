//! One history: what is in it stays, and what is not goes.

use super::*;
use crate::zab::Output;

#[test]
fn the_tail_of_a_leader_that_was_cut_off_is_cut_and_stays_cut() {
    let mut world = running(3, 9);
    let old = leader(&world);
    isolate(&mut world, old);
    for _ in 0..5 {
        propose(&mut world);
    }
    let done = world
        .run_while(60_000, |world| {
            world.leader().is_some_and(|leader| leader != old)
        })
        .expect("no fault");
    assert!(done);
    propose(&mut world);
    pass(&mut world, 100);
    world.network.heal();
    agree(&mut world);
    assert!(world.truncations > 0);
    world.crash(old, true);
    world.start(old).expect("starts");
    agree(&mut world);
    assert_eq!(world.members[old].tree.len(), 11);
}

#[test]
fn a_tail_that_was_loaded_at_a_start_is_taken_out_of_the_tree_again() {
    let mut world = running(3, 10);
    let old = leader(&world);
    isolate(&mut world, old);
    for _ in 0..5 {
        propose(&mut world);
    }
    pass(&mut world, 1_000);
    world.crash(old, false);
    pass(&mut world, 60_000);
    world.start(old).expect("starts");
    assert_eq!(world.members[old].tree.len(), 15);
    world.network.heal();
    agree(&mut world);
    assert_eq!(world.members[old].tree.len(), 10);
}

#[test]
fn a_synchronisation_that_breaks_off_goes_on_where_the_disk_ends() {
    let mut world = running(3, 11);
    let late = followers(&world)[0];
    world.crash(late, false);
    for _ in 0..200 {
        propose(&mut world);
    }
    pass(&mut world, 1_000);
    world.start(late).expect("starts");
    for part in [30, 90, 150] {
        let got_some = |world: &World| world.members[late].tree.len() == part;
        assert!(world.run_while(60_000, got_some).expect("no fault"));
        let stream = world.members[late].leader_stream.expect("it learns");
        world.break_stream(stream);
    }
    agree(&mut world);
    assert_eq!(world.members[late].tree.len(), 210);
}

#[test]
fn all_die_at_once_and_lose_nothing() {
    for seed in 0..20 {
        let mut world = running(5, 100 + seed);
        for _ in 0..20 {
            propose(&mut world);
        }
        pass(&mut world, seed % 7);
        for who in 0..5 {
            world.crash(who, true);
        }
        world.start_all().expect("starts");
        // The checks know what was acknowledged.
        agree(&mut world);
        assert!(acknowledged(&world) >= 10);
    }
}

#[test]
fn a_leader_that_skips_a_proposal_is_left() {
    // ZOOKEEPER-4925: a hole would be acknowledged, committed and, once its owner leads, lost.
    let mut world = running(3, 50);
    for _ in 0..3 {
        propose(&mut world);
    }
    assert!(world.network.skip_proposal());
    propose(&mut world);
    let before = world.members.iter().map(|member| member.roles).sum::<u64>();
    agree(&mut world);
    let after = world.members.iter().map(|member| member.roles).sum::<u64>();
    assert!(after > before, "nobody noticed");
    all_have(&world, 14);
}

#[test]
fn the_first_proposal_of_an_epoch_can_be_missing_too() {
    // ZOOKEEPER-4925.
    let mut world = running(3, 51);
    let old = leader(&world);
    world.crash(old, false);
    until(&mut world, 30_000, |world| world.leader().is_some());
    start(&mut world, old);
    agree(&mut world);
    propose(&mut world);
    assert!(world.network.skip_proposal());
    propose(&mut world);
    let before = world.members.iter().map(|member| member.roles).sum::<u64>();
    agree(&mut world);
    let after = world.members.iter().map(|member| member.roles).sum::<u64>();
    assert!(after > before, "nobody noticed");
    all_have(&world, 12);
}

#[test]
fn what_followers_committed_they_give_on_without_a_hole() {
    // ZOOKEEPER-4925: once it leads, a follower synchronises others with what it committed live.
    let mut world = running(3, 52);
    let late = followers(&world)[0];
    world.crash(late, false);
    write(&mut world, 40);
    let old = leader(&world);
    world.crash(old, false);
    start(&mut world, late);
    agree(&mut world);
    assert_eq!(world.snapshots, 0);
    start(&mut world, old);
    agree(&mut world);
    all_have(&world, 50);
}

#[test]
fn what_was_cut_off_is_never_given_to_others() {
    // ZOOKEEPER-2846: a member that has loaded a tail and cut it off leads later.
    let mut world = running(3, 53);
    let old = leader(&world);
    let late = followers(&world)[0];
    isolate(&mut world, old);
    for _ in 0..5 {
        propose(&mut world);
    }
    pass(&mut world, 1_000);
    world.crash(old, false);
    until(&mut world, 60_000, |world| world.leader().is_some());
    start(&mut world, old);
    assert_eq!(world.members[old].tree.len(), 15);
    world.network.heal();
    agree(&mut world);
    assert_eq!(world.members[old].tree.len(), 10);
    world.crash(late, false);
    agree(&mut world);
    write(&mut world, 3);
    let between = leader(&world);
    if between != old {
        world.crash(between, false);
    }
    start(&mut world, late);
    agree(&mut world);
    assert_eq!(leader(&world), old);
    assert_eq!(world.members[late].tree, world.members[old].tree);
    assert_eq!(world.members[late].tree.len(), 13);
}

#[test]
fn the_end_of_the_log_counts_and_not_what_was_committed_of_it() {
    // ZOOKEEPER-2845: a member that keeps its tree through an election has more in its log.
    let mut world = running(3, 54);
    let old = leader(&world);
    isolate(&mut world, old);
    for _ in 0..5 {
        propose(&mut world);
    }
    until(&mut world, 60_000, |world| {
        world.leader().is_some_and(|leader| leader != old)
    });
    propose(&mut world);
    pass(&mut world, 100);
    // The same process, with its log as it is and its tree as it was.
    assert_eq!(world.members[old].tree.len(), 10);
    assert!(world.members[old].disk.end().counter() >= 15);
    world.network.heal();
    agree(&mut world);
    world.crash(old, false);
    start(&mut world, old);
    agree(&mut world);
    all_have(&world, 11);
}

#[test]
fn a_tree_that_was_taken_over_is_the_end_of_what_was_known_before() {
    // ZOOKEEPER-3526: a leader with a newer tree than its list of committed transactions would cut
    // logs back to where that list ends.
    let mut config = Config::calm(5, 0);
    config.recent_max = 3;
    let mut world = World::new(config, 55);
    world.start_all().expect("starts");
    agree(&mut world);
    write(&mut world, 10);
    assert_eq!(leader(&world), 4);
    world.crash(3, false);
    let many = |world: &mut World, count| {
        for _ in 0..count {
            propose(world);
        }
        pass(world, 1_000);
    };
    many(&mut world, 30);
    // It stays the same process, and so knows that its log can be cut anywhere.
    isolate(&mut world, 0);
    let stream = world.members[0].leader_stream.expect("it follows");
    world.break_stream(stream);
    many(&mut world, 20);
    start(&mut world, 3);
    pass(&mut world, 2_000);
    assert!(world.members[3].serving && world.snapshots > 0);
    world.crash(2, false);
    world.crash(4, false);
    world.network.heal();
    agree(&mut world);
    assert_eq!(leader(&world), 3);
    for who in [2, 4] {
        start(&mut world, who);
    }
    agree(&mut world);
    all_have(&world, 60);
}

#[test]
fn a_member_with_a_part_of_the_difference_does_not_lead_by_its_epoch() {
    // ZOOKEEPER-4352: a synchronisation breaks off in the middle, and its leader is gone.
    let mut world = world(3, 56);
    let log = txns(1, 60);
    acknowledged_before(&mut world, &log);
    world.members[0].disk = disk(1, 1, &log[..3]);
    world.members[1].disk = disk(1, 1, &log);
    world.members[2].disk = disk(1, 1, &log);
    world.config.delay_ms = (1, 60);
    start(&mut world, 0);
    start(&mut world, 2);
    let some = |world: &World| world.members[0].disk.end() > txns(1, 5)[4].zxid;
    until(&mut world, 30_000, some);
    world.crash(2, true);
    pass(&mut world, 2_000);
    world.crash(0, true);
    assert!(world.members[0].disk.end() < log[59].zxid, "all had come");
    start(&mut world, 0);
    start(&mut world, 1);
    agree(&mut world);
    assert_eq!(leader(&world), 1);
    assert_eq!(world.members[0].tree.len(), 60);
}

#[test]
fn an_interrupted_cut_is_made_again() {
    // ZOOKEEPER-5094: memory and disk end at the same place, wherever the crash left the log.
    for seed in 0..20 {
        let mut world = running(3, 200 + seed);
        let old = leader(&world);
        isolate(&mut world, old);
        for _ in 0..8 {
            propose(&mut world);
        }
        until(&mut world, 60_000, |world| {
            world.leader().is_some_and(|leader| leader != old)
        });
        propose(&mut world);
        pass(&mut world, 1_000);
        if seed % 2 == 0 {
            // With the tail in its tree.
            world.crash(old, false);
            start(&mut world, old);
        }
        world.members[old].dies_at = Some(|output| matches!(output, Output::Truncate { .. }));
        world.network.heal();
        until(&mut world, 60_000, |world| !world.members[old].is_up());
        assert_eq!(world.interrupted_cuts, 1);
        world.start_all().expect("starts");
        agree(&mut world);
        all_have(&world, 11);
        assert_eq!(world.members[old].disk.tree(), world.members[old].tree);
    }
}

#[test]
fn an_interrupted_take_over_of_a_tree_is_begun_again() {
    for seed in 0..20 {
        let mut config = Config::calm(3, 0);
        config.recent_max = 3;
        let mut world = World::new(config, 300 + seed);
        world.start_all().expect("starts");
        agree(&mut world);
        let late = followers(&world)[0];
        write(&mut world, 5);
        world.crash(late, false);
        write(&mut world, 10);
        world.members[late].dies_at =
            Some(|output| matches!(output, Output::InstallSnapshot { .. }));
        start(&mut world, late);
        until(&mut world, 60_000, |world| !world.members[late].is_up());
        agree(&mut world);
        start(&mut world, late);
        agree(&mut world);
        all_have(&world, 15);
    }
}

#[test]
fn an_epoch_that_is_used_up_is_followed_by_the_next() {
    // ZOOKEEPER-1277: the counter must never run over into the epoch.
    let mut config = Config::calm(3, 0);
    config.counter_max = 5;
    let mut world = World::new(config, 57);
    world.start_all().expect("starts");
    agree(&mut world);
    write(&mut world, 23);
    assert!(world.elections >= 5 && world.rollovers >= 4);
    all_have(&world, 23);
    let counters = world.members[0].tree.iter().map(|txn| txn.zxid.counter());
    assert_eq!(counters.max(), Some(5));
    assert_eq!(acknowledged(&world), 23);
    // A leader in a hurry stops at the last position, too.
    let leader = leader(&world);
    let taken = (0..10)
        .filter(|_| world.propose(leader).expect("no fault"))
        .count();
    assert!(taken <= 5);
    agree(&mut world);
    all_have(&world, 23 + taken);
}

#[test]
fn a_log_that_ends_with_its_epoch_goes_on_in_the_next() {
    // ZOOKEEPER-1277, at the true end of the counter.
    let last = Txn {
        zxid: Zxid::new(Epoch(1), u32::MAX),
        value: 7,
    };
    let before = Txn {
        zxid: Zxid::new(Epoch(1), u32::MAX - 1),
        value: 6,
    };
    let mut world = world(3, 58);
    acknowledged_before(&mut world, &[before, last]);
    world.members[0].disk = disk(1, 1, &[before]);
    world.members[1].disk = disk(1, 1, &[before, last]);
    world.members[2].disk = disk(1, 1, &[before, last]);
    world.start_all().expect("starts");
    agree(&mut world);
    write(&mut world, 2);
    all_have(&world, 4);
    assert_eq!(world.members[0].tree_end, Zxid::new(Epoch(2), 2));
}
