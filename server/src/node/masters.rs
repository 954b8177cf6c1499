//! `observerMasterPort`: followers that observers learn from, so that they cost the leader nothing.
//! Source: `QuorumPeer.java` updateObserverMasterList and findLearnerMaster, `ObserverMaster.java`.

use super::engine::Peers;
use super::membership;
use crate::config::QuorumConfig;
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
    /// `observer.election.DelayMs`: up to so long an observer waits that has lost its leader.
    election_delay_ms: u32,
    /// `observer.reconnectDelayMs`: up to so long it waits before it asks those again that it has
    /// asked already; the leader every time.
    reconnect_delay_ms: u32,
}

impl Masters {
    pub(super) fn new(config: &QuorumConfig) -> Self {
        Masters {
            port: config.observer_master_port,
            shuffle: RandomState::new(),
            attempts: 0,
            election_delay_ms: config.observer_election_delay_ms,
            reconnect_delay_ms: config.observer_reconnect_delay_ms,
        }
    }

    /// How long this attempt is put off, another time at each observer, so that they don't come all
    /// at once. Source: `Observer.java` waitForReconnectDelay and waitForObserverElectionDelay,
    /// `QuorumPeer.java` findLearnerMaster.
    fn delay(&self, followers: usize) -> Duration {
        let within = |limit_ms: u32, salt: u8| {
            let random = self.shuffle.hash_one((self.attempts, salt));
            random % u64::from(limit_ms.max(1))
        };
        // The first time it has lost nobody.
        let mut ms = 0;
        if self.attempts > 0 {
            ms += within(self.election_delay_ms, 0);
        }
        let asks_again =
            followers == 0 || (self.attempts > 0 && self.attempts.is_multiple_of(followers));
        if asks_again {
            ms += within(self.reconnect_delay_ms, 1);
        }
        Duration::from_millis(ms)
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
        let mut delay = Duration::ZERO;
        if observes {
            let port = self.masters.port;
            let voters = self.active.voters().map(|voter| voter.id);
            let hosts = voters.filter(|id| *id != leader && port.is_some());
            let hosts = hosts.collect::<Vec<_>>();
            delay = self.masters.delay(hosts.len());
            let hosts = self.masters.next(hosts);
            for (id, port) in hosts.into_iter().zip(port.into_iter().cycle()) {
                if let Some(member) = self.active.members.get(&id) {
                    destinations.push(Destination {
                        address: HostPort::new(member.address().host.clone(), port),
                        seen: self.election.seen(id),
                        after: delay,
                    });
                }
            }
        }
        // Followers begin to serve observers a moment after the leader has a quorum.
        let after = if destinations.is_empty() {
            delay
        } else {
            delay + self.link_settings.patience / 2
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

    fn masters(election_delay_ms: u32, reconnect_delay_ms: u32) -> Masters {
        Masters {
            port: Some(1),
            shuffle: RandomState::new(),
            attempts: 0,
            election_delay_ms,
            reconnect_delay_ms,
        }
    }

    #[test]
    fn an_observer_that_has_lost_its_leader_waits_and_longer_before_it_asks_anybody_again() {
        let ms = |masters: &Masters, followers| masters.delay(followers).as_millis();
        let mut masters = masters(100, 1_000_000_000);
        assert_eq!(ms(&masters, 2), 0);
        masters.attempts = 1;
        assert!(ms(&masters, 2) < 100);
        masters.attempts = 2;
        // One in ten million times it is not.
        assert!(ms(&masters, 2) >= 100);
        assert!(ms(&masters, 0) >= 100);
        let delays = (1..50).map(|attempts| {
            masters.attempts = attempts;
            ms(&masters, 100)
        });
        let delays = delays.collect::<std::collections::BTreeSet<_>>();
        assert!(delays.len() > 10, "{delays:?}");
        masters.election_delay_ms = 0;
        masters.reconnect_delay_ms = 0;
        assert_eq!(ms(&masters, 0), 0);
    }

    #[test]
    fn each_attempt_begins_with_the_next_follower_and_names_them_all() {
        let followers = [1, 2, 3].map(ServerId).to_vec();
        let mut masters = masters(0, 0);
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
