//! Ensembles that change while they work.

use super::super::roster::Roster;
use super::*;
use crate::zab::{Input, Standing};
use std::collections::BTreeSet;

/// An ensemble of voters, with spare members on empty disks.
fn changing(voters: usize, spares: usize, seed: u64) -> World {
    let mut config = Config::calm(voters, 0);
    config.spares = Some(spares);
    let mut world = World::new(config, seed);
    world.start_all().expect("starts");
    agree(&mut world);
    // Spare members learn, too, before anybody can add them.
    pass(&mut world, 5_000);
    world
}

fn roster(voters: &[usize], observers: &[usize]) -> Roster {
    Roster {
        voters: voters.iter().copied().collect(),
        observers: observers.iter().copied().collect(),
        ..Roster::default()
    }
}

fn ask(world: &mut World, roster: &Roster) -> bool {
    let leader = leader(world);
    world.propose_roster(leader, roster).expect("no fault")
}

fn voters(world: &World, who: usize) -> BTreeSet<usize> {
    let zab = world.members[who].zab.as_ref().expect("it runs");
    Roster::of(zab.config()).voters
}

/// The ensemble is asked to be this one, and is it, with a leader of its own.
fn turn_into(world: &mut World, members: &Roster) {
    assert!(ask(world, members), "refused: {}", world.portrait());
    let wanted = members.clone();
    until(world, 60_000, move |world| {
        let voters = |who: usize| {
            let zab = world.members[who].zab.as_ref();
            zab.map(|zab| Roster::of(zab.config()).voters)
        };
        let agreed = |leader: usize| voters(leader) == Some(wanted.voters.clone());
        world
            .leader()
            .is_some_and(|leader| agreed(leader) && wanted.voters.contains(&leader))
            && world.agrees()
    });
}

#[test]
fn an_ensemble_grows_from_one_to_five_and_back_under_writes() {
    let mut world = changing(1, 4, 80);
    for size in [2, 3, 4, 5, 4, 3, 2, 1] {
        let members = (0..size).collect::<Vec<_>>();
        turn_into(&mut world, &roster(&members, &[]));
        write(&mut world, 3);
        pass(&mut world, 2_000);
    }
    assert!(world.members[0].tree.len() >= 24 + 8);
    assert_eq!(leader(&world), 0);
}

#[test]
fn a_leader_that_is_removed_names_the_next_and_serves_no_longer() {
    let mut world = changing(3, 0, 81);
    let old = leader(&world);
    let rest = (0..3).filter(|who| *who != old).collect::<Vec<_>>();
    write(&mut world, 3);
    turn_into(&mut world, &roster(&rest, &[]));
    assert_ne!(leader(&world), old);
    write(&mut world, 3);
    assert_eq!(world.members[old].leads, None);
}

#[test]
fn a_leader_becomes_an_observer_and_follows() {
    let mut world = changing(3, 0, 82);
    let old = leader(&world);
    let rest = (0..3).filter(|who| *who != old).collect::<Vec<_>>();
    turn_into(&mut world, &roster(&rest, &[old]));
    write(&mut world, 3);
    let zab = world.members[old].zab.as_ref().expect("it runs");
    assert!(matches!(
        zab.standing(),
        Standing::Learning { serving: true, .. }
    ));
    all_have(&world, world.members[old].tree.len());
}

#[test]
fn members_change_places_all_at_once() {
    let mut world = changing(3, 3, 83);
    write(&mut world, 3);
    turn_into(&mut world, &roster(&[3, 4, 5], &[]));
    // The old ones are gone, and nobody misses them.
    for who in 0..3 {
        world.crash(who, true);
    }
    write(&mut world, 3);
    assert!(leader(&world) >= 3);
}

#[test]
fn a_reconfiguration_waits_for_quorums_of_the_old_and_of_the_new() {
    let mut world = changing(3, 2, 84);
    let leader = leader(&world);
    // Of five, three are needed: these two with stuck disks leave two and the old quorum.
    world.stuck_disks.extend([3, 4]);
    let other = followers(&world)[0];
    world.stuck_disks.insert(other);
    let before = acknowledged(&world);
    assert!(ask(&mut world, &roster(&[0, 1, 2, 3, 4], &[])));
    assert!(world.propose(leader).expect("no fault"));
    pass(&mut world, 3_000);
    assert_eq!(voters(&world, leader), BTreeSet::from([0, 1, 2]));
    assert_eq!(acknowledged(&world), before);
    world.free_disk(3);
    pass(&mut world, 200);
    assert_eq!(voters(&world, leader), BTreeSet::from([0, 1, 2, 3, 4]));
    assert_eq!(acknowledged(&world), before + 2);
    world.free_disk(4);
    world.free_disk(other);
    agree(&mut world);
}

#[test]
fn who_joins_while_a_configuration_is_in_flight_does_not_live_by_it() {
    // Java tells it with NEWLEADER, and it is in force with UPTODATE: others who look for a leader
    // take it over, and its quorum alone elects one.
    let mut config = Config::calm(3, 1);
    config.spares = Some(3);
    let mut world = World::new(config, 85);
    world.start_all().expect("starts");
    agree(&mut world);
    pass(&mut world, 5_000);
    let leader = leader(&world);
    let (observer, stranger) = (3, 6);
    world.crash(observer, false);
    world.crash(stranger, false);
    pass(&mut world, 100);
    // Nobody can commit it.
    world.stuck_disks.extend([0, 1, 2, 4, 5]);
    assert!(ask(&mut world, &roster(&[leader, 4, 5], &[])));
    pass(&mut world, 500);
    for who in [observer, stranger] {
        start(&mut world, who);
    }
    pass(&mut world, 3_000);
    for who in [observer, stranger] {
        assert!(world.members[who].serving, "{}", world.portrait());
        assert_eq!(voters(&world, who), BTreeSet::from([0, 1, 2]));
    }
    for who in 0..7 {
        world.free_disk(who);
    }
    agree(&mut world);
    assert_eq!(voters(&world, leader), BTreeSet::from([leader, 4, 5]));
}

#[test]
fn who_lags_comes_past_a_configuration_that_it_knows_to_be_in_force() {
    let mut world = changing(3, 1, 89);
    write(&mut world, 2);
    world.crash(3, false);
    let mut moved = roster(&[0, 1, 2], &[]);
    moved.moves.insert(followers(&world)[0], 1);
    turn_into(&mut world, &moved);
    write(&mut world, 2);
    // It hears of the configuration before it hears of the transaction that made it.
    start(&mut world, 3);
    pass(&mut world, 5_000);
    let leader = leader(&world);
    assert_eq!(world.members[3].tree, world.members[leader].tree);
    let zab = world.members[3].zab.as_ref().expect("it runs");
    assert!(zab.config_seen().is_none());
    assert_eq!(zab.config().version, Zxid::new(Epoch(1), 3));
}

#[test]
fn who_saw_a_configuration_that_lost_comes_back() {
    // All that it names were in the same place, so that its own quorum is not to be had.
    let mut world = changing(7, 0, 86);
    let old = leader(&world);
    let others = followers(&world);
    let lost = [old, others[0], others[1]];
    for who in lost {
        for other in &others[2..] {
            world.network.block(who, *other);
            world.network.block(*other, who);
        }
    }
    // With the disks of those two it is no quorum of seven.
    assert!(ask(&mut world, &roster(&lost, &[])));
    until(&mut world, 60_000, |world| {
        world.leader().is_some_and(|leader| !lost.contains(&leader))
    });
    propose(&mut world);
    pass(&mut world, 1_000);
    world.network.heal();
    agree(&mut world);
    assert_eq!(voters(&world, old).len(), 7);
    trees_are_equal(&world);
}

#[test]
fn a_removed_member_talks_on_and_disturbs_nobody() {
    let mut world = changing(5, 0, 87);
    let gone = followers(&world)[0];
    let rest = (0..5).filter(|who| *who != gone).collect::<Vec<_>>();
    // It does not hear of it.
    isolate(&mut world, gone);
    turn_into(&mut world, &roster(&rest, &[]));
    pass(&mut world, 30_000);
    let before = world.elections;
    world.network.heal();
    write(&mut world, 5);
    pass(&mut world, 60_000);
    assert_eq!(world.elections, before);
}

#[test]
fn a_crash_in_the_middle_of_a_reconfiguration_leaves_one_ensemble() {
    for seed in 0..40 {
        let mut world = changing(3, 2, 500 + seed);
        let old = leader(&world);
        write(&mut world, 2);
        assert!(ask(&mut world, &roster(&[old, 3, 4], &[])));
        pass(&mut world, seed % 12);
        world.crash(old, seed % 2 == 0);
        pass(&mut world, 15_000);
        start(&mut world, old);
        agree(&mut world);
        write(&mut world, 2);
        let members = voters(&world, leader(&world));
        assert!(
            members == BTreeSet::from([0, 1, 2]) || members == BTreeSet::from([old, 3, 4]),
            "{members:?}"
        );
    }
}

/// One voter is to become two, and dies before the other one is in force; `end` says how.
fn one_becomes_two(seed: u64, end: impl Fn(&mut World, usize)) {
    let mut world = changing(1, 1, seed);
    write(&mut world, 2);
    end(&mut world, 1);
    world.crash(0, true);
    pass(&mut world, seed % 3_000);
    world.free_disk(0);
    start(&mut world, 0);
    agree(&mut world);
    write(&mut world, 2);
    assert!(acknowledged(&world) >= 4);
}

fn seen_and_synced(world: &World, who: usize) -> bool {
    let disk = &world.members[who].disk;
    disk.config_seen.is_some() && disk.synced_end() == disk.end()
}

#[test]
fn who_is_about_to_get_a_vote_helps_to_elect_where_it_is_needed() {
    for seed in 0..20 {
        one_becomes_two(700 + seed, |world, new| {
            // Its acknowledgement does not arrive.
            world.network.block(new, 0);
            assert!(ask(world, &roster(&[0, 1], &[])));
            until(world, 1_000, |world| seen_and_synced(world, new));
            pass(world, 100);
            world.network.heal();
        });
    }
}

#[test]
fn an_observer_that_is_about_to_get_a_vote_counts_as_one_that_follows() {
    let mut config = Config::calm(1, 1);
    config.spares = Some(0);
    let mut world = World::new(config, 90);
    let log = txns(1, 3);
    world.checks.knows(&log);
    // The last transaction of both logs is the reconfiguration, and nobody has committed it.
    for who in 0..2 {
        let mut disk = disk(1, 1, &log);
        disk.config = Some(roster(&[0], &[1]).config(Epoch(1).start()).into());
        disk.config_seen = Some(roster(&[0, 1], &[]).config(log[2].zxid).into());
        world.members[who].disk = disk;
    }
    world.start_all().expect("starts");
    agree(&mut world);
    assert_eq!(voters(&world, 0), BTreeSet::from([0, 1]));
    write(&mut world, 2);
    all_have(&world, 5);
}

#[test]
fn the_last_voter_helps_those_that_replace_it_where_it_has_lost_the_end_of_its_log() {
    for (voters, seed) in [([1, 2], 91), ([0, 1], 92)] {
        let mut config = Config::calm(1, 0);
        config.spares = Some(2);
        let mut world = World::new(config, seed);
        let log = txns(1, 5);
        world.checks.knows(&log);
        // The third transaction is the reconfiguration, and what came behind it is known to those
        // alone that have no vote yet.
        for who in 0..3 {
            let mut disk = disk(1, 1, &log[..if who == 0 { 3 } else { 5 }]);
            disk.config = Some(roster(&[0], &[]).config(Epoch(1).start()).into());
            disk.config_seen = Some(roster(&voters, &[]).config(log[2].zxid).into());
            world.members[who].disk = disk;
        }
        world.start_all().expect("starts");
        agree(&mut world);
        assert_eq!(
            self::voters(&world, voters[1]),
            voters.into_iter().collect()
        );
        write(&mut world, 2);
        for who in voters {
            assert_eq!(world.members[who].tree.len(), 7);
        }
    }
}

#[test]
fn observers_that_replace_the_last_voter_lead_once_that_is_in_force() {
    let mut config = Config::calm(1, 2);
    config.spares = Some(0);
    let mut world = World::new(config, 93);
    let log = txns(1, 3);
    world.checks.knows(&log);
    // The last transaction of all logs is the reconfiguration, and nobody has committed it.
    for who in 0..3 {
        let mut disk = disk(1, 1, &log);
        disk.config = Some(roster(&[0], &[1, 2]).config(Epoch(1).start()).into());
        disk.config_seen = Some(roster(&[1, 2], &[]).config(log[2].zxid).into());
        world.members[who].disk = disk;
    }
    world.start_all().expect("starts");
    until(&mut world, 10_000, |world| {
        world.leader().is_some_and(|leader| leader > 0) && world.agrees()
    });
    assert_eq!(voters(&world, 1), BTreeSet::from([1, 2]));
    write(&mut world, 2);
}

#[test]
fn a_vote_of_one_that_follows_already_counts_for_one_that_is_still_to_be_heard() {
    for seed in 800..840 {
        let mut config = Config::calm(2, 0);
        config.spares = Some(1);
        let mut world = World::new(config, seed);
        let log = txns(1, 3);
        world.checks.knows(&log);
        // The second transaction is the reconfiguration: the third member is needed, and the first
        // one knows nothing of that.
        for (who, len) in [(0, 1), (1, 3), (2, 3)] {
            let mut disk = disk(1, 1, &log[..len]);
            disk.config = Some(roster(&[0, 1], &[]).config(Epoch(1).start()).into());
            if len > 1 {
                let proposed = roster(&[1, 2], &[0]).config(log[1].zxid);
                disk.config_seen = Some(proposed.into());
            }
            world.members[who].disk = disk;
        }
        // The third one hears of the vote late, from those that have counted it.
        world.network.block(0, 2);
        world.network.block(1, 2);
        world.start_all().expect("starts");
        pass(&mut world, 50 + seed % 200);
        world.network.heal();
        let healed = world.now;
        agree(&mut world);
        // Not after another question, which may come when the others have given up.
        assert!(world.now - healed < 300, "took {} ms", world.now - healed);
        assert_eq!(voters(&world, 1), BTreeSet::from([1, 2]));
        write(&mut world, 2);
        all_have(&world, 5);
    }
}

#[test]
fn a_voter_helps_to_elect_one_that_it_knows_by_hearsay_alone_to_get_a_vote() {
    for seed in 840..860 {
        let mut config = Config::calm(2, 0);
        config.spares = Some(1);
        let mut world = World::new(config, seed);
        let log = txns(1, 5);
        world.checks.knows(&log);
        // The second transaction is the reconfiguration. The first member is needed and knows
        // nothing of it, and the one without a vote alone may have what is committed.
        for (who, len) in [(0, 1), (1, 3), (2, 5)] {
            let mut disk = disk(1, 1, &log[..len]);
            disk.config = Some(roster(&[0, 1], &[]).config(Epoch(1).start()).into());
            if len > 1 {
                let proposed = roster(&[1, 2], &[]).config(log[1].zxid);
                disk.config_seen = Some(proposed.into());
            }
            world.members[who].disk = disk;
        }
        world.start_all().expect("starts");
        agree(&mut world);
        assert_eq!(voters(&world, 1), BTreeSet::from([1, 2]));
        write(&mut world, 2);
        for who in [1, 2] {
            assert_eq!(world.members[who].tree.len(), 7);
        }
    }
}

#[test]
fn a_configuration_whose_transaction_was_lost_is_not_waited_for() {
    for seed in 0..20 {
        one_becomes_two(740 + seed, |world, new| {
            world.stuck_disks.insert(0);
            propose(world);
            assert!(ask(world, &roster(&[0, 1], &[])));
            until(world, 1_000, |world| seen_and_synced(world, new));
            pass(world, 100);
        });
    }
}

#[test]
fn a_leader_hands_over_to_the_follower_that_has_most() {
    for seed in 0..20 {
        let mut world = changing(5, 0, 600 + seed);
        let old = leader(&world);
        for _ in 0..10 {
            propose(&mut world);
        }
        world.input(old, Input::HandOver).expect("no fault");
        until(&mut world, 3_000, |world| {
            world.leader().is_some_and(|leader| leader != old)
        });
        agree(&mut world);
        assert_eq!((world.handed_over, acknowledged(&world)), (1, 10));
        write(&mut world, 1);
    }
}

#[test]
fn a_leader_that_nobody_could_follow_does_not_hand_over() {
    let mut world = changing(3, 0, 88);
    let old = leader(&world);
    for who in followers(&world) {
        world.crash(who, false);
    }
    pass(&mut world, 100);
    world.input(old, Input::HandOver).expect("no fault");
    assert_eq!(world.handed_over, 0);
}
