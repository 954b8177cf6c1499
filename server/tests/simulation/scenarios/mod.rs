//! Stories with a name: what has gone wrong in the field, and what must not.

mod acknowledgements;
mod disks;
mod ensembles;
mod failover;
mod histories;
mod quorums;
mod reconfigurations;

use super::disk::{Disk, Txn};
use super::world::{Config, World};
use crate::ids::{Epoch, Zxid};

pub(super) fn world(voters: usize, seed: u64) -> World {
    World::new(Config::calm(voters, 0), seed)
}

/// An ensemble that has a leader and a few transactions everywhere.
pub(super) fn running(voters: usize, seed: u64) -> World {
    let mut world = world(voters, seed);
    world.start_all().expect("starts");
    agree(&mut world);
    for _ in 0..10 {
        propose(&mut world);
    }
    agree(&mut world);
    world
}

pub(super) fn agree(world: &mut World) {
    let done = world.run_while(60_000, World::agrees).expect("no fault");
    assert!(done, "no agreement: {}", world.portrait());
}

pub(super) fn pass(world: &mut World, ms: u64) {
    world.run_until(world.now + ms).expect("no fault");
}

pub(super) fn leader(world: &World) -> usize {
    world.leader().expect("somebody leads")
}

pub(super) fn followers(world: &World) -> Vec<usize> {
    let leader = leader(world);
    (0..world.members.len())
        .filter(|who| *who != leader)
        .collect()
}

pub(super) fn propose(world: &mut World) {
    let leader = leader(world);
    assert!(world.propose(leader).expect("no fault"));
}

pub(super) fn acknowledged(world: &World) -> usize {
    world.checks.acknowledged.len()
}

pub(super) fn txns(epoch: i64, count: u32) -> Vec<Txn> {
    (1..=count)
        .map(|counter| {
            let zxid = Zxid::new(Epoch(epoch), counter);
            let value = zxid.0.unsigned_abs();
            Txn { zxid, value }
        })
        .collect()
}

pub(super) fn isolate(world: &mut World, who: usize) {
    for other in 0..world.members.len() {
        world.network.block(who, other);
        world.network.block(other, who);
    }
}

pub(super) fn start(world: &mut World, who: usize) {
    world.start(who).expect("starts");
}

/// Lets things happen until `done`, which must come.
pub(super) fn until(world: &mut World, ms: u64, done: impl Fn(&World) -> bool) {
    let came = world.run_while(ms, done).expect("no fault");
    assert!(came, "it never came: {}", world.portrait());
}

/// `count` writes, one after the other, each through to everybody.
pub(super) fn write(world: &mut World, count: usize) {
    for _ in 0..count {
        propose(world);
        agree(world);
    }
}

/// Gives members disks with parts of one history, all of it known to be acknowledged.
pub(super) fn acknowledged_before(world: &mut World, log: &[Txn]) {
    world.checks.knows(log);
    let positions = log.iter().map(|txn| txn.zxid);
    world.checks.acknowledged.extend(positions);
}

/// Nobody ever reached a tree that another would contradict.
pub(super) fn trees_are_equal(world: &World) {
    let first = &world.members[0].tree;
    assert!(world.members.iter().all(|member| member.tree == *first));
}

/// All have `len` transactions, the same ones.
pub(super) fn all_have(world: &World, len: usize) {
    trees_are_equal(world);
    assert_eq!(world.members[0].tree.len(), len);
}

/// The disk of one that has synchronised with an epoch's leader, with a part of its history.
pub(super) fn disk(accepted: i64, current: i64, log: &[Txn]) -> Disk {
    Disk::with_log(accepted, current, log)
}
