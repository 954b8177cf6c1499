//! The specification's predicates over one state, each under its name there.

use super::{Server, Spec};
use crate::ids::Zxid;
use std::collections::BTreeMap;

/// A predicate of the specification.
type Predicate = fn(&Spec) -> bool;

impl Spec {
    /// The names of all that this state violates.
    pub(super) fn violations(&self) -> Vec<&'static str> {
        let predicates: [(&'static str, Predicate); 10] = [
            ("ShouldNotBeTriggered", Spec::should_not_be_triggered),
            ("Leadership1", Spec::leadership1),
            ("Leadership2", Spec::leadership2),
            ("PrefixConsistency", Spec::prefix_consistency),
            ("Integrity", Spec::integrity),
            ("Agreement", Spec::agreement),
            ("TotalOrder", Spec::total_order),
            ("LocalPrimaryOrder", Spec::local_primary_order),
            ("GlobalPrimaryOrder", Spec::global_primary_order),
            ("PrimaryIntegrity", Spec::primary_integrity),
        ];
        predicates
            .into_iter()
            .filter(|(_, holds)| !holds(self))
            .map(|(name, _)| name)
            .collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (&Server, &Server)> {
        let servers = &self.servers;
        let all = 0..servers.len();
        all.flat_map(move |i| (0..servers.len()).map(move |j| (i, j)))
            .filter(|(i, j)| i != j)
            .map(move |(i, j)| (&servers[i], &servers[j]))
    }

    /// No step took a turn that none may take. CheckDuringAction in the system specification.
    pub(super) fn should_not_be_triggered(&self) -> bool {
        self.triggered.is_none()
    }

    /// At any moment an epoch has at most one leader in SYNCHRONIZATION or BROADCAST.
    pub(super) fn leadership1(&self) -> bool {
        self.pairs()
            .all(|(one, other)| !(one.leads && other.leads && one.epoch == other.epoch))
    }

    /// No epoch ever had two leaders.
    pub(super) fn leadership2(&self) -> bool {
        self.epoch_leader.values().all(|leaders| leaders.len() <= 1)
    }

    /// What two servers have committed is the same as far as the shorter goes.
    pub(super) fn prefix_consistency(&self) -> bool {
        self.pairs().all(|(one, other)| {
            let both = one.committed.iter().zip(&other.committed);
            both.into_iter().all(|(one, other)| one == other)
        })
    }

    /// What is delivered, some primary has broadcast.
    pub(super) fn integrity(&self) -> bool {
        self.new_parts().all(|(server, from)| {
            server.committed[from..].iter().all(|txn| {
                let proposal = self.proposals.get(&txn.value);
                proposal.is_some_and(|proposal| proposal.txn == *txn)
            })
        })
    }

    /// Where one server delivers a and another b, the one delivers b or the other a.
    pub(super) fn agreement(&self) -> bool {
        self.diverging().all(|(one, other)| {
            let lacks = |server: &Server, from: &Server| {
                let places = places(server);
                let mut txns = from.committed.iter();
                txns.any(|txn| !places.contains_key(&(txn.zxid, txn.value)))
            };
            !(lacks(one, other) && lacks(other, one))
        })
    }

    /// Where one server delivers a before b, whoever delivers b delivers a before it. (The
    /// specification asks this of servers with two transactions at least; here it is asked of all.)
    pub(super) fn total_order(&self) -> bool {
        self.diverging().all(|(one, other)| {
            let places = places(other);
            // How many places at the other all that this one delivers before take; None where the
            // other lacks one of them.
            let mut before = Some(0);
            one.committed.iter().all(|txn| {
                let place = places.get(&(txn.zxid, txn.value)).copied();
                let ordered = place.is_none_or(|place| before.is_some_and(|taken| taken <= place));
                before = before.zip(place).map(|(taken, place)| taken.max(place + 1));
                ordered
            })
        })
    }

    /// What a primary broadcasts first, whoever delivers the second delivers first.
    pub(super) fn local_primary_order(&self) -> bool {
        self.new_parts().all(|(server, from)| {
            (from..server.committed.len()).all(|place| {
                let proposal = self.proposals.get(&server.committed[place].value);
                let previous = proposal.and_then(|proposal| proposal.previous);
                // As a rule it stands right before.
                let mut before = server.committed[..place].iter().rev();
                previous.is_none_or(|previous| before.any(|txn| *txn == previous))
            })
        })
    }

    /// What is of an earlier epoch is delivered earlier.
    pub(super) fn global_primary_order(&self) -> bool {
        self.servers.iter().all(|server| {
            let epochs = server.committed.iter().map(|txn| txn.zxid.epoch());
            epochs.is_sorted()
        })
    }

    /// Each server, and how far its history is the same as that of the one before, which need not
    /// be looked at again.
    fn new_parts(&self) -> impl Iterator<Item = (&Server, usize)> {
        let before = [None].into_iter().chain(self.servers.iter().map(Some));
        self.servers.iter().zip(before).map(|(server, before)| {
            let before = before.map_or(&[][..], |before| &before.committed[..]);
            let both = server.committed.iter().zip(before);
            let same = both.take_while(|(server, before)| server == before);
            (server, same.count())
        })
    }

    /// Pairs of which neither has a prefix of the other's history: those that do agree in
    /// everything that concerns a pair.
    fn diverging(&self) -> impl Iterator<Item = (&Server, &Server)> {
        self.pairs().filter(|(one, other)| {
            let shorter = one.committed.len().min(other.committed.len());
            one.committed[..shorter] != other.committed[..shorter]
        })
    }

    /// What a follower has delivered of epochs before its primary's, the primary has delivered.
    pub(super) fn primary_integrity(&self) -> bool {
        self.servers.iter().all(|follower| {
            let Some(leader) = follower.leader.map(|leader| &self.servers[leader]) else {
                return true;
            };
            if !(leader.leads && leader.broadcasts && follower.broadcasts) {
                return true;
            }
            // As a rule it has all of it at the same places.
            let same = follower.committed.iter().zip(&leader.committed);
            let same = same.take_while(|(follower, leader)| follower == leader);
            follower.committed[same.count()..]
                .iter()
                .all(|txn| txn.zxid.epoch() >= leader.epoch || leader.committed.contains(txn))
        })
    }
}

/// Where a server has committed each transaction.
fn places(server: &Server) -> BTreeMap<(Zxid, u64), usize> {
    let txns = server.committed.iter().enumerate();
    txns.map(|(place, txn)| ((txn.zxid, txn.value), place))
        .collect()
}
