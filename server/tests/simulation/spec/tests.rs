//! That the invariants can fail, each under its own name, and that checking what is new finds
//! whatever looking at everything finds.

use super::super::random::Random;
use super::*;
use crate::ids::Zxid;

fn txn(epoch: i64, counter: u32, value: u64) -> Txn {
    let zxid = Zxid::new(Epoch(epoch), counter);
    Txn { zxid, value }
}

/// Server 0 leads epoch 1 and has proposed `(1, 1)` to `(1, 3)` with the values 1 to 3.
fn led() -> Spec {
    let mut spec = Spec::new(3);
    spec.elected(0, Epoch(1)).expect("nobody led");
    spec.serves(0, None, Epoch(1), &Tree::new()).expect("empty");
    for value in 1..=3u32 {
        let txn = txn(1, value, u64::from(value));
        spec.proposes(0, txn).expect("it leads");
    }
    spec
}

fn follows(spec: &mut Spec, who: usize, tree: &[Txn]) -> Result<(), Violated> {
    spec.serves(who, Some(0), Epoch(1), &tree.to_vec())
}

fn names(outcome: Result<(), Violated>) -> Vec<&'static str> {
    outcome.expect_err("it must be found").0
}

#[test]
fn two_leaders_of_an_epoch_violate_leadership() {
    let mut spec = led();
    assert_eq!(names(spec.elected(1, Epoch(1))), ["Leadership1"]);
    let mut spec = led();
    spec.leaves(0);
    assert_eq!(names(spec.elected(1, Epoch(1))), ["Leadership2"]);
    let mut spec = led();
    assert_eq!(spec.elected(1, Epoch(2)), Ok(()));
}

#[test]
fn what_nobody_proposed_violates_integrity() {
    let mut spec = led();
    assert_eq!(names(follows(&mut spec, 1, &[txn(1, 1, 9)])), ["Integrity"]);
}

#[test]
fn different_histories_violate_agreement_and_prefix_consistency() {
    let mut spec = led();
    spec.proposes(1, txn(2, 1, 4)).expect("another primary");
    follows(&mut spec, 1, &[txn(1, 1, 1)]).expect("a history");
    let violated = names(follows(&mut spec, 2, &[txn(2, 1, 4)]));
    assert_eq!(violated, ["PrefixConsistency", "Agreement"]);
}

#[test]
fn another_order_violates_total_order() {
    let mut spec = led();
    spec.proposes(1, txn(2, 1, 4)).expect("another primary");
    follows(&mut spec, 1, &[txn(1, 1, 1), txn(2, 1, 4)]).expect("a history");
    let violated = names(follows(&mut spec, 2, &[txn(2, 1, 4), txn(1, 1, 1)]));
    let expected = ["PrefixConsistency", "TotalOrder", "GlobalPrimaryOrder"];
    assert_eq!(violated, expected);
}

#[test]
fn what_a_primary_said_first_and_nobody_delivered_violates_local_primary_order() {
    let mut spec = led();
    let violated = names(follows(&mut spec, 1, &[txn(1, 2, 2)]));
    assert_eq!(violated, ["LocalPrimaryOrder"]);
    let mut spec = led();
    follows(&mut spec, 1, &[txn(1, 1, 1)]).expect("a history");
    assert_eq!(names(spec.commits(1, txn(1, 3, 3))), ["LocalPrimaryOrder"]);
}

#[test]
fn an_older_epoch_behind_a_newer_one_violates_global_primary_order() {
    let mut spec = led();
    spec.proposes(1, txn(2, 1, 4)).expect("another primary");
    follows(&mut spec, 1, &[txn(2, 1, 4)]).expect("a history");
    assert_eq!(names(spec.commits(1, txn(1, 1, 1))), ["GlobalPrimaryOrder"]);
}

#[test]
fn a_primary_without_what_its_follower_delivered_violates_primary_integrity() {
    let mut spec = Spec::new(2);
    spec.proposes(1, txn(1, 1, 1)).expect("a primary");
    spec.elected(0, Epoch(2)).expect("nobody led");
    let mine = spec.serves(0, None, Epoch(2), &Tree::new());
    mine.expect("an empty history");
    let violated = spec.serves(1, Some(0), Epoch(2), &vec![txn(1, 1, 1)]);
    assert_eq!(names(violated), ["PrimaryIntegrity"]);
}

#[test]
fn a_step_out_of_turn_should_not_be_triggered() {
    let violated = names(led().triggers(Triggered::AckInconsistent));
    assert_eq!(violated, ["ShouldNotBeTriggered"]);
}

#[test]
fn what_the_dead_have_shown_still_counts() {
    let mut spec = led();
    spec.proposes(1, txn(2, 1, 4)).expect("another primary");
    follows(&mut spec, 1, &[txn(1, 1, 1)]).expect("a history");
    spec.dies(1);
    let violated = names(follows(&mut spec, 2, &[txn(2, 1, 4)]));
    assert_eq!(violated, [OVER_TIME]);
}

/// A few servers commit, mostly what they should.
fn ramble(seed: u64) -> (Option<Violated>, Vec<&'static str>) {
    let mut random = Random::new(seed);
    let mut spec = Spec::new(3);
    let mut value = 0;
    let mut common = Tree::new();
    for _ in 0..random.between(4, 30) {
        let who = random.below(3);
        let slip = random.chance(4);
        let outcome = match random.below(4) {
            0 => {
                value += 1;
                let last = common.last().copied();
                let zxid = match last {
                    Some(last) if random.chance(80) => last.zxid.next(),
                    last => Zxid::new(last.map_or(Epoch(1), |last| last.zxid.epoch().next()), 1),
                };
                let new = Txn { zxid, value };
                common.push(new);
                spec.proposes(0, new)
            }
            1 => {
                let len = random.below(common.len() + 1);
                let mut tree = common[..len].to_vec();
                if slip && len > 1 {
                    let place = random.below(len);
                    match random.below(3) {
                        0 => tree.swap(place, len - 1),
                        1 => drop(tree.remove(place)),
                        _ => tree[place].value = 99,
                    }
                }
                let leader = (who > 0).then_some(0);
                spec.serves(who, leader, Epoch(9), &tree)
            }
            2 => {
                let committed = spec.servers[who].committed.len();
                let place = if slip { committed + 1 } else { committed };
                match common.get(place) {
                    Some(txn) => spec.commits(who, *txn),
                    None => Ok(()),
                }
            }
            _ => {
                if slip {
                    spec.dies(who);
                } else {
                    spec.leaves(who);
                }
                Ok(())
            }
        };
        let all = spec.violations();
        if outcome.is_err() || !all.is_empty() {
            return (outcome.err(), all);
        }
    }
    (None, Vec::new())
}

#[test]
fn checking_what_is_new_finds_what_looking_at_everything_finds() {
    let (mut found, mut fine) = (0, 0);
    for seed in 0..20_000 {
        let (new, all) = ramble(seed);
        match &new {
            None => {
                assert_eq!(all, [""; 0], "seed {seed} was overlooked");
                fine += 1;
            }
            Some(Violated(names)) if *names == [OVER_TIME] => {}
            Some(Violated(names)) => {
                assert!(!all.is_empty(), "seed {seed}: {names:?} is not so");
                assert!(names.iter().all(|name| all.contains(name)), "seed {seed}");
                found += 1;
            }
        }
    }
    assert!(found > 1000 && fine > 1000, "{found} {fine}");
}
