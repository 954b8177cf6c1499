//! Stories with a name: what has gone wrong in the field, and what must not.

use super::disk::{Disk, Txn};
use super::world::{Config, World, server_id};
use crate::ids::{Epoch, Zxid};
use crate::zab::Standing;

fn world(voters: usize, seed: u64) -> World {
    World::new(Config::calm(voters, 0), seed)
}

/// An ensemble that has a leader and a few transactions everywhere.
fn running(voters: usize, seed: u64) -> World {
    let mut world = world(voters, seed);
    world.start_all().expect("starts");
    agree(&mut world);
    for _ in 0..10 {
        propose(&mut world);
    }
    agree(&mut world);
    world
}

fn agree(world: &mut World) {
    let done = world.run_while(60_000, World::agrees).expect("no fault");
    assert!(done, "no agreement: {}", world.portrait());
}

fn pass(world: &mut World, ms: u64) {
    world.run_until(world.now + ms).expect("no fault");
}

fn leader(world: &World) -> usize {
    world.leader().expect("somebody leads")
}

fn followers(world: &World) -> Vec<usize> {
    let leader = leader(world);
    (0..world.members.len())
        .filter(|who| *who != leader)
        .collect()
}

fn propose(world: &mut World) {
    let leader = leader(world);
    assert!(world.propose(leader).expect("no fault"));
}

fn acknowledged(world: &World) -> usize {
    world.checks.acknowledged.len()
}

fn txns(epoch: i64, count: u32) -> Vec<Txn> {
    (1..=count)
        .map(|counter| {
            let zxid = Zxid::new(Epoch(epoch), counter);
            let value = zxid.0.unsigned_abs();
            Txn { zxid, value }
        })
        .collect()
}

fn isolate(world: &mut World, who: usize) {
    for other in 0..world.members.len() {
        world.network.block(who, other);
        world.network.block(other, who);
    }
}

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
fn nothing_is_acknowledged_while_a_quorum_of_disks_is_stuck() {
    let mut world = running(3, 3);
    let followers = followers(&world);
    world.stuck_disks.extend(&followers);
    let before = acknowledged(&world);
    propose(&mut world);
    pass(&mut world, 5_000);
    assert_eq!(acknowledged(&world), before);
    world.free_disk(followers[0]);
    pass(&mut world, 100);
    assert_eq!(acknowledged(&world), before + 1);
}

#[test]
fn a_member_does_not_acknowledge_a_new_leader_before_its_log_is_synced() {
    let mut world = running(3, 4);
    let late = followers(&world)[0];
    world.crash(late, false);
    for _ in 0..20 {
        propose(&mut world);
    }
    pass(&mut world, 1_000);
    world.stuck_disks.insert(late);
    world.start(late).expect("starts");
    pass(&mut world, 5_000);
    assert!(!world.members[late].acked_newleader && !world.members[late].serving);
    // It dies with all of it unsynced, and begins where its disk ends.
    world.crash(late, true);
    world.free_disk(late);
    world.start(late).expect("starts");
    agree(&mut world);
    assert_eq!(world.members[late].tree.len(), 30);
}

#[test]
fn a_leader_with_a_slow_disk_commits_by_its_followers() {
    let mut world = running(3, 5);
    let slow = leader(&world);
    world.stuck_disks.insert(slow);
    propose(&mut world);
    pass(&mut world, 100);
    assert_eq!(acknowledged(&world), 11);
    // What its own disk lost is given back to it.
    world.crash(slow, false);
    world.free_disk(slow);
    world.start(slow).expect("starts");
    agree(&mut world);
    assert_eq!(world.members[slow].tree.len(), 11);
}

#[test]
fn a_follower_that_never_acknowledges_is_dropped_and_the_others_go_on() {
    let mut world = running(3, 6);
    let stuck = followers(&world)[0];
    world.stuck_disks.insert(stuck);
    for _ in 0..20 {
        propose(&mut world);
        pass(&mut world, 1_000);
    }
    assert_eq!(acknowledged(&world), 30);
    assert!(!world.members[stuck].serving);
    world.free_disk(stuck);
    agree(&mut world);
    assert_eq!(world.elections, 1);
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
fn an_empty_disk_does_not_vote() {
    let mut world = world(3, 12);
    for who in 0..2 {
        world.members[who].disk = Disk::empty(false);
    }
    let log = txns(1, 5);
    world.checks.knows(&log);
    world.members[2].disk = Disk::with_log(1, 1, &log);
    world.start_all().expect("starts");
    pass(&mut world, 60_000);
    assert_eq!(world.leader(), None);
}

#[test]
fn a_disk_that_was_given_the_history_does_not_help_one_without_it_to_lead() {
    let mut world = world(3, 12);
    let log = txns(1, 11);
    world.checks.knows(&log);
    // Wiped, given the tree by a leader of epoch 2, and dead before it could acknowledge.
    world.members[0].disk = Disk::with_snapshot(2, 0, log[10].zxid, &log);
    world.members[1].disk = Disk::with_log(1, 1, &log[..10]);
    world.start(0).expect("starts");
    world.start(1).expect("starts");
    agree(&mut world);
    assert_eq!(world.members[1].tree.len(), 11);
}

#[test]
fn a_member_that_agreed_to_a_later_epoch_is_let_in_by_a_new_one() {
    let mut world = world(3, 13);
    let log = txns(1, 5);
    world.checks.knows(&log);
    for who in 0..3 {
        let accepted = if who == 0 { 9 } else { 1 };
        world.members[who].disk = Disk::with_log(accepted, 1, &log);
    }
    world.start(1).expect("starts");
    world.start(2).expect("starts");
    agree(&mut world);
    world.start(0).expect("starts");
    agree(&mut world);
    assert_eq!(world.members[leader(&world)].leads, Some(Epoch(10)));
}

#[test]
fn a_snapshot_that_holds_what_was_never_committed_is_replaced() {
    let mut world = world(3, 14);
    let log = txns(1, 5);
    world.checks.knows(&log);
    // A leader that died before a quorum followed it had sent this tree to member 0.
    world.members[0].disk = Disk::with_snapshot(2, 1, log[4].zxid, &log);
    world.members[1].disk = Disk::with_log(2, 2, &log[..3]);
    world.members[2].disk = Disk::with_log(2, 2, &log[..3]);
    world.start_all().expect("starts");
    agree(&mut world);
    assert_eq!(world.members[0].tree.len(), 3);
    // With one of the others down, its vote is needed all the same.
    world.crash(1, false);
    agree(&mut world);
}

#[test]
fn a_snapshot_that_cannot_be_cut_does_not_keep_a_pair_from_electing() {
    let mut world = world(2, 15);
    let log = txns(1, 5);
    world.checks.knows(&log);
    world.members[0].disk = Disk::with_snapshot(2, 1, log[4].zxid, &log);
    world.members[1].disk = Disk::with_log(2, 2, &log[..3]);
    world.start_all().expect("starts");
    agree(&mut world);
    assert_eq!(world.members[0].tree.len(), 3);
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

/// From the leader's death to the next one that serves, in simulated milliseconds: median and p99.
fn failover_ms(voters: usize, silent: bool) -> (u64, u64) {
    let mut times = (0..200)
        .map(|seed| {
            let mut world = running(voters, 1_000 + seed);
            let old = leader(&world);
            let died = world.now;
            world.crash(old, silent);
            let replaced = |world: &World| world.leader().is_some();
            assert!(world.run_while(60_000, replaced).expect("no fault"));
            world.led_at - died
        })
        .collect::<Vec<_>>();
    times.sort_unstable();
    (times[100], times[198])
}

#[test]
fn a_lost_leader_is_replaced_in_no_time() {
    for voters in [3, 5] {
        let (median, p99) = failover_ms(voters, false);
        println!("{voters} members, leader's process dies: median {median} ms, p99 {p99} ms");
        // No vote of the dead is waited for.
        assert!(median < 60 && p99 < 120);
        let (median, p99) = failover_ms(voters, true);
        println!("{voters} members, leader's machine dies: median {median} ms, p99 {p99} ms");
        // syncLimit until they notice.
        assert!(p99 < 10_000 + 500);
    }
}
