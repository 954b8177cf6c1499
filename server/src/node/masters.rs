//! `observerMasterPort`: followers that observers learn from, so that they cost the leader nothing.
//! Source: `QuorumPeer.java` updateObserverMasterList and findLearnerMaster, `ObserverMaster.java`.

use super::engine::Peers;
use super::membership;
use crate::ensemble::HostPort;
use crate::ids::ServerId;
use crate::net::peer::Destination;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The order in which an observer tries followers.
pub(super) struct Masters {
    /// `observerMasterPort`, the same at all members; `None` where observers go to the leader.
    port: Option<u16>,
    /// Makes the order another one at each observer, so that they spread.
    shuffle: RandomState,
    /// Attempts made so far: each begins with the next follower.
    attempts: usize,
}

impl Masters {
    pub(super) fn new(port: Option<u16>) -> Self {
        Masters {
            port,
            shuffle: RandomState::new(),
            attempts: 0,
        }
    }

    /// The followers in the order of this attempt.
    fn next(&mut self, mut followers: Vec<ServerId>) -> Vec<ServerId> {
        followers.sort_by_key(|id| self.shuffle.hash_one(id));
        if !followers.is_empty() {
            let first = self.attempts % followers.len();
            followers.rotate_left(first);
        }
        self.attempts = self.attempts.wrapping_add(1);
        followers
    }
}

impl Peers {
    /// Where to learn: from the leader, or where this member observes and followers serve observers,
    /// from one of these. The leader is the last resort then; Java has none, not even where the
    /// leader is the one voter.
    pub(super) fn destinations(&mut self, leader: ServerId, observes: bool) -> Vec<Destination> {
        let mut destinations = Vec::new();
        if let (true, Some(port)) = (observes, self.masters.port) {
            let voters = self.active.voters().map(|voter| voter.id);
            let followers = voters.filter(|id| *id != leader).collect();
            for id in self.masters.next(followers) {
                if let Some(member) = self.active.members.get(&id) {
                    destinations.push(Destination {
                        address: HostPort::new(member.address().host.clone(), port),
                        seen: self.election.seen(id),
                        after: Duration::ZERO,
                    });
                }
            }
        }
        // Followers begin to serve observers a moment after the leader has a quorum.
        let after = if destinations.is_empty() {
            Duration::ZERO
        } else {
            self.link_settings.patience / 2
        };
        if let Some(address) = self.quorum_addresses.get(&leader) {
            destinations.push(Destination {
                address: address.clone(),
                seen: self.election.seen(leader),
                after,
            });
        }
        destinations
    }

    /// Lets observers in, where followers do; until this member follows no longer.
    pub(super) fn host_observers(&self) {
        if let Some(port) = self.masters.port {
            let address = HostPort::new(self.own.host.clone(), port);
            let bind = membership::bind(self.listen_on_all_ips, address);
            self.learners.host_observers(&self.runtime, bind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_begins_with_the_next_follower_and_names_them_all() {
        let followers = [1, 2, 3].map(ServerId).to_vec();
        let mut masters = Masters::new(Some(1));
        let attempts = (0..4).map(|_| masters.next(followers.clone()));
        let attempts = attempts.collect::<Vec<_>>();
        for attempt in &attempts {
            let mut sorted = attempt.clone();
            sorted.sort();
            assert_eq!(sorted, followers);
        }
        let first = attempts.iter().map(|attempt| attempt[0]);
        let first = first.collect::<Vec<_>>();
        assert_eq!(first[0], first[3]);
        assert!(first[0] != first[1] && first[1] != first[2] && first[2] != first[0]);
        assert!(masters.next(Vec::new()).is_empty());
    }
}
