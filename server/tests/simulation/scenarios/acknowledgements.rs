//! What is acknowledged is durable, and in its turn.

use super::*;
use crate::zab::Output;

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
fn what_a_quorum_was_said_to_have_survives_the_loss_of_what_was_not_synced() {
    // ZOOKEEPER-3911, 4646, 3023: with the leader's tail acknowledged before it is on the disk, the
    // leader serves it; and once both are gone it is nowhere.
    let mut world = world(3, 40);
    let log = txns(1, 10);
    world.checks.knows(&log);
    world.members[2].disk = disk(1, 1, &log);
    for who in 0..2 {
        world.members[who].disk = disk(1, 1, &log[..3]);
    }
    world.stuck_disks.insert(1);
    start(&mut world, 1);
    start(&mut world, 2);
    until(&mut world, 10_000, |world| {
        world.members[1].disk.end() == log[9].zxid
    });
    pass(&mut world, 1_000);
    assert!(world.leader().is_none() && !world.members[1].acked_newleader);
    world.crash(1, true);
    world.crash(2, true);
    world.free_disk(1);
    start(&mut world, 0);
    start(&mut world, 1);
    agree(&mut world);
    // Nobody ever saw the tail.
    assert!(world.members[0].tree.len() >= 3);
}

#[test]
fn the_epoch_file_is_written_behind_the_log() {
    // ZOOKEEPER-4643: with the epoch first, a member that dies in between votes with the new epoch
    // and without the history that the epoch began with.
    let mut world = running(3, 41);
    let late = followers(&world)[0];
    world.crash(late, false);
    for _ in 0..20 {
        propose(&mut world);
    }
    pass(&mut world, 1_000);
    // The next epoch, so that there is something to enter.
    let old = leader(&world);
    world.crash(old, false);
    start(&mut world, old);
    until(&mut world, 30_000, |world| world.leader().is_some());
    let before = world.members[late].disk.current_epoch;
    world.stuck_disks.insert(late);
    start(&mut world, late);
    pass(&mut world, 5_000);
    let member = &world.members[late];
    assert!(member.disk.end() > member.disk.synced_end());
    assert_eq!(member.disk.current_epoch, before);
    world.free_disk(late);
    agree(&mut world);
    assert!(world.members[late].disk.current_epoch > before);
}

#[test]
fn a_member_whose_epoch_file_cannot_be_written_dies_without_a_word() {
    let mut world = running(3, 42);
    let late = followers(&world)[0];
    world.crash(late, false);
    let old = leader(&world);
    world.crash(old, false);
    start(&mut world, old);
    until(&mut world, 30_000, |world| world.leader().is_some());
    world.members[late].dies_at = Some(|output| matches!(output, Output::WriteCurrentEpoch(_)));
    start(&mut world, late);
    until(&mut world, 30_000, |world| !world.members[late].is_up());
    assert!(!world.members[late].acked_newleader);
    let began = world.now;
    agree(&mut world);
    // It was not taken for synchronised: without it the others are a quorum still.
    write(&mut world, 1);
    assert!(world.now > began);
}

#[test]
fn new_leader_is_acknowledged_before_any_proposal() {
    // ZOOKEEPER-4685: an acknowledgement of a proposal that comes before the one of NEWLEADER makes
    // the leader close the connection, and with it perhaps its quorum.
    let mut world = running(3, 43);
    let late = followers(&world)[0];
    world.crash(late, false);
    for _ in 0..50 {
        propose(&mut world);
    }
    pass(&mut world, 1_000);
    world.members[late].fsync_ms = (20, 60);
    start(&mut world, late);
    let roles = world.members[late].roles;
    for _ in 0..200 {
        pass(&mut world, 5);
        propose(&mut world);
    }
    agree(&mut world);
    assert_eq!(world.elections, 1);
    // It looked for the leader once, at its start.
    assert_eq!(world.members[late].roles, roles);
}

#[test]
fn proposals_that_nobody_has_committed_yet_are_durable_before_new_leader_is_acknowledged() {
    // ZOOKEEPER-4785.
    let mut world = running(3, 44);
    let late = followers(&world)[0];
    let other = followers(&world)[1];
    let leader = leader(&world);
    world.crash(late, false);
    pass(&mut world, 100);
    // Nothing of this can be committed.
    world.stuck_disks.extend([leader, other, late]);
    for _ in 0..5 {
        propose(&mut world);
    }
    start(&mut world, late);
    pass(&mut world, 3_000);
    let member = &world.members[late];
    assert!(member.disk.end() > member.disk.synced_end());
    assert!(!member.acked_newleader && !member.serving);
    for who in [leader, other, late] {
        world.free_disk(who);
    }
    agree(&mut world);
    all_have(&world, 15);
}

#[test]
fn commits_between_new_leader_and_up_to_date_are_kept() {
    // ZOOKEEPER-4394.
    let mut world = running(3, 45);
    let late = followers(&world)[0];
    world.crash(late, false);
    write(&mut world, 3);
    start(&mut world, late);
    let mut proposed = 0;
    while !world.members[late].serving {
        propose(&mut world);
        proposed += 1;
        pass(&mut world, 1);
        assert!(proposed < 5_000, "it never serves");
    }
    let roles = world.members[late].roles;
    agree(&mut world);
    assert_eq!((world.members[late].roles, world.elections), (roles, 1));
    all_have(&world, 13 + proposed);
}
