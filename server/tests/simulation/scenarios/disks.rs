//! What disks remember, and what they can't.

use super::*;

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
fn a_pair_elects_though_one_log_cannot_be_cut() {
    let mut world = world(2, 60);
    let log = txns(1, 5);
    world.checks.knows(&log);
    world.members[0].disk = disk(2, 1, &log);
    world.members[1].disk = disk(2, 2, &log[..3]);
    world.members[0].cant_truncate = true;
    world.start_all().expect("starts");
    agree(&mut world);
    assert_eq!(world.unusable, 1);
    all_have(&world, 3);
}

/// Three members, the first of which has found that it cannot cut what the others don't have.
fn one_log_that_cannot_be_cut(seed: u64) -> World {
    let mut world = world(3, seed);
    let log = txns(1, 5);
    world.checks.knows(&log);
    world.members[0].disk = disk(2, 1, &log);
    world.members[1].disk = disk(2, 2, &log[..3]);
    world.members[2].disk = disk(2, 2, &log[..3]);
    world.members[0].cant_truncate = true;
    world.start_all().expect("starts");
    until(&mut world, 30_000, |world| world.members[0].forgotten);
    world
}

#[test]
fn a_log_that_cannot_be_cut_is_found_again_after_a_restart() {
    let mut world = one_log_that_cannot_be_cut(61);
    world.crash(0, true);
    start(&mut world, 0);
    assert_eq!(world.members[0].tree.len(), 5);
    agree(&mut world);
    all_have(&world, 3);
}

#[test]
fn who_loses_the_leader_before_its_tree_comes_goes_on_from_its_disk() {
    let mut world = one_log_that_cannot_be_cut(63);
    let leader = world.members[0].leader.expect("it has been told to cut");
    // Those that are left are a quorum, if it counts.
    world.crash(leader, false);
    agree(&mut world);
    all_have(&world, 3);
}

#[test]
fn a_torn_record_ends_the_log_whatever_stands_behind_it() {
    for seed in 0..20 {
        let mut world = running(3, 400 + seed);
        world.config.tear = 100;
        world.stuck_disks.extend([0, 1, 2]);
        for _ in 0..20 {
            propose(&mut world);
        }
        pass(&mut world, 100);
        for who in 0..3 {
            world.crash(who, true);
            world.free_disk(who);
        }
        world.start_all().expect("starts");
        assert!(world.torn > 0);
        agree(&mut world);
        write(&mut world, 1);
        trees_are_equal(&world);
    }
}

#[test]
fn a_snapshot_and_what_is_left_of_the_log_are_all_of_the_history() {
    let mut world = running(3, 62);
    for _ in 0..4 {
        write(&mut world, 5);
        for who in 0..3 {
            let member = &mut world.members[who];
            let tree = std::rc::Rc::new(member.tree.clone());
            member.disk.save_snapshot(member.tree_end, tree);
        }
    }
    for who in 0..3 {
        world.crash(who, true);
    }
    world.start_all().expect("starts");
    agree(&mut world);
    all_have(&world, 30);
}
