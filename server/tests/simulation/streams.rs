//! What happens on the network: election messages, streams, and how they end.

use super::checks::Fault;
use super::network::{Packet, Stream};
use super::world::{Event, World, place, server_id};
use crate::ids::ServerId;
use crate::zab::{Input, LearnerConn, LearnerMessage, Notification, Role, Standing};

impl World {
    pub(crate) fn notify(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        if !self.network.outbox.contains_key(&(from, to)) {
            return Ok(());
        }
        let reachable = self.members[to].is_up() && !self.network.is_blocked(from, to);
        let lost = self.random.chance(self.config.loss);
        if !reachable && !lost {
            // The network layer sends the newest message once it has a connection again.
            let again = self.now + self.random.between(20, 200);
            self.at(again, Event::Notify { from, to });
            return Ok(());
        }
        let notification = self.network.outbox.remove(&(from, to));
        match notification {
            Some(notification) if !lost => {
                if self.random.chance(self.config.duplication) {
                    let again = self.now + self.random.between(1, 1000);
                    let notification = notification.clone();
                    self.at(
                        again,
                        Event::NotifyAgain {
                            from,
                            to,
                            notification,
                        },
                    );
                }
                self.notification(from, to, notification)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn notification(
        &mut self,
        from: usize,
        to: usize,
        notification: Notification,
    ) -> Result<(), Fault> {
        let from = server_id(from);
        self.input(to, Input::Notification { from, notification })
    }

    pub(crate) fn push(&mut self, stream: u64, to_leader: bool, packet: Packet) {
        self.push_later(stream, to_leader, packet, 0);
    }

    fn push_later(&mut self, stream: u64, to_leader: bool, packet: Packet, ms: u64) {
        let mut at = self.now + ms + self.delay();
        if let Packet::Leader(_, Some(tree)) = &packet {
            // A snapshot takes its time.
            at += tree.len() as u64 / 4;
        }
        if let Some(found) = self.network.streams.get_mut(&stream)
            && !found.broken
            && let Some(at) = found.way(to_leader).push(at, packet)
        {
            self.at(at, Event::Pump { stream, to_leader });
        }
    }

    pub(crate) fn pump(&mut self, id: u64, to_leader: bool) -> Result<(), Fault> {
        let Some(stream) = self.network.streams.get(&id) else {
            return Ok(());
        };
        let (sender, receiver) = stream.ends(to_leader);
        if self.network.is_blocked(sender, receiver) {
            // What is sent again and again arrives once the way is free.
            let again = self.now + 50;
            self.at(
                again,
                Event::Pump {
                    stream: id,
                    to_leader,
                },
            );
            return Ok(());
        }
        let now = self.now;
        let stream = self
            .network
            .streams
            .get_mut(&id)
            .expect("it was there just now");
        let open = stream.is_open_at(to_leader);
        let sender_open = stream.is_open_at(!to_leader);
        let tampered = stream.tampered;
        let way = stream.way(to_leader);
        let packet = way.packets.pop_front_if(|(at, _)| *at <= now);
        let next = way.packets.front().map(|(at, _)| (*at).max(now));
        way.pumping = next.is_some();
        if let Some(next) = next {
            let stream = id;
            self.at(next, Event::Pump { stream, to_leader });
        }
        let Some((_, packet)) = packet else {
            return Ok(());
        };
        if !open {
            // A machine that runs refuses what it knows nothing of; a dead one says nothing.
            if self.members[receiver].is_up() && sender_open {
                let at = self.now + self.delay();
                self.at(
                    at,
                    Event::Gone {
                        stream: id,
                        leader_end: !to_leader,
                    },
                );
            }
            return Ok(());
        }
        let conn = LearnerConn(id);
        match packet {
            Packet::Learner(message) => self.input(receiver, Input::FromLearner { conn, message }),
            Packet::PingAnswer => self.input(receiver, Input::LearnerHeard { conn }),
            Packet::Leader(message, tree) => {
                if let Some(tree) = tree {
                    self.members[receiver].incoming = Some(tree);
                }
                self.hear(receiver, message, tampered)
            }
            Packet::Fin => self.gone(id, to_leader),
        }
    }

    pub(crate) fn gone(&mut self, id: u64, leader_end: bool) -> Result<(), Fault> {
        let Some(stream) = self.network.streams.get_mut(&id) else {
            return Ok(());
        };
        if !stream.is_open_at(leader_end) {
            return Ok(());
        }
        let (_, who) = stream.ends(leader_end);
        self.close_end(id, leader_end);
        if leader_end {
            let conn = LearnerConn(id);
            self.input(who, Input::LearnerGone { conn })
        } else if self.members[who].leader_stream == Some(id) {
            self.members[who].leader_stream = None;
            self.input(who, Input::LeaderGone)
        } else {
            Ok(())
        }
    }

    /// Closes one end and lets the other know: behind all in flight, or instead of it.
    pub(crate) fn close_end(&mut self, id: u64, leader_end: bool) {
        let reset = self.random.chance(30);
        let Some(stream) = self.network.streams.get_mut(&id) else {
            return;
        };
        if !stream.is_open_at(leader_end) {
            return;
        }
        stream.close_at(leader_end);
        if !stream.learner_open && !stream.leader_open {
            self.network.streams.remove(&id);
            return;
        }
        if reset {
            stream.way(!leader_end).packets.clear();
        }
        self.push(id, !leader_end, Packet::Fin);
    }

    /// Breaks a stream in the middle: what is in flight is lost, and each end learns of it at its
    /// own time, or never.
    pub(crate) fn break_stream(&mut self, id: u64) {
        let Some(stream) = self.network.streams.get_mut(&id) else {
            return;
        };
        stream.broken = true;
        stream.to_leader.packets.clear();
        stream.to_learner.packets.clear();
        let untold = self.random.between(0, 3);
        for leader_end in [true, false] {
            let at = self.now + self.random.between(0, 300);
            if untold != u64::from(leader_end) {
                self.at(
                    at,
                    Event::Gone {
                        stream: id,
                        leader_end,
                    },
                );
            }
        }
    }

    pub(crate) fn dial(
        &mut self,
        who: usize,
        dial: u64,
        leader: usize,
        until: u64,
    ) -> Result<(), Fault> {
        if self.members[who].dial != dial || !self.members[who].is_up() {
            return Ok(());
        }
        if let Some(host) = self.answers(who, leader, until) {
            self.next_stream += 1;
            let id = self.next_stream;
            self.network.streams.insert(id, Stream::new(who, host));
            self.members[who].leader_stream = Some(id);
            if self.random.chance(self.config.double_dial) {
                self.connect_twice(who);
            }
            self.input(who, Input::LeaderConnected)
        } else if self.now >= until {
            self.input(who, Input::LeaderGone)
        } else {
            let again = self.now + self.random.between(10, 40);
            self.at(
                again,
                Event::Dial {
                    who,
                    dial,
                    leader,
                    until,
                },
            );
            Ok(())
        }
    }

    /// Who answers a member that wants to learn from `leader` by then: most times, where it observes
    /// and may, a follower that serves, and the leader once half of the time is over.
    fn answers(&mut self, who: usize, leader: usize, until: u64) -> Option<usize> {
        let is_reached = |world: &World, other: usize| {
            world.members[other].is_up()
                && !world.network.is_blocked(who, other)
                && !world.network.is_blocked(other, who)
        };
        let observes = self.members[who]
            .zab
            .as_ref()
            .is_some_and(|zab| zab.role() == Role::Observer);
        if self.config.masters && observes && self.random.chance(80) {
            let hosts = (0..self.members.len())
                .filter(|other| self.hosts(*other) && is_reached(self, *other))
                .collect::<Vec<_>>();
            if !hosts.is_empty() {
                self.hosted += 1;
                return Some(hosts[self.random.below(hosts.len())]);
            }
            if self.now + self.config.dial_ms / 2 < until {
                return None;
            }
        }
        let leads = self.members[leader].listening && is_reached(self, leader);
        leads.then_some(leader)
    }

    fn hosts(&self, who: usize) -> bool {
        self.members[who].zab.as_ref().is_some_and(|zab| {
            let serves = matches!(zab.standing(), Standing::Learning { serving: true, .. });
            serves && zab.role() == Role::Participant
        })
    }

    /// A connection that the learner has given up for its present one arrives, late, with what the
    /// learner had said on it. False where the member learns from nobody.
    pub(crate) fn connect_twice(&mut self, who: usize) -> bool {
        let (Some(leader), Some(_)) = (self.members[who].leader, self.members[who].leader_stream)
        else {
            return false;
        };
        let Some(zab) = &self.members[who].zab else {
            return false;
        };
        let info = LearnerMessage::Info {
            id: server_id(who),
            role: zab.role(),
            accepted_epoch: zab.accepted_epoch(),
            config_version: zab.config().version.0,
        };
        self.next_stream += 1;
        let id = self.next_stream;
        let mut stream = Stream::new(who, leader);
        stream.learner_open = false;
        self.network.streams.insert(id, stream);
        let late = self.random.between(0, 2 * self.config.tick_ms);
        self.push_later(id, true, Packet::Learner(info), late);
        self.push_later(id, true, Packet::Fin, late);
        true
    }

    pub(crate) fn send_notification(
        &mut self,
        who: usize,
        to: ServerId,
        notification: Notification,
    ) {
        let to = place(to);
        if self
            .network
            .outbox
            .insert((who, to), notification)
            .is_none()
        {
            let at = self.now + self.delay();
            self.at(at, Event::Notify { from: who, to });
        }
    }
}
