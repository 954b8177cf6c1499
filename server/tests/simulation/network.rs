//! What lies between members: streams that keep order but break, election messages that don't.

use super::disk::Tree;
use crate::zab::{LeaderMessage, LearnerMessage, Notification};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// What travels on a learner's stream.
pub(crate) enum Packet {
    Learner(LearnerMessage),
    /// With the tree behind a SNAP.
    Leader(LeaderMessage, Option<Rc<Tree>>),
    /// A learner's answer to a ping.
    PingAnswer,
    /// The other end has closed.
    Fin,
}

/// One of the two ways of a stream.
#[derive(Default)]
pub(crate) struct Way {
    /// When each packet arrives, and the packet.
    pub(crate) packets: VecDeque<(u64, Packet)>,
    last_arrival: u64,
    /// The arrival of the first packet is in the queue of events.
    pub(crate) pumping: bool,
}

impl Way {
    /// Puts a packet behind all others; returns when the way has to be pumped, where that is new.
    pub(crate) fn push(&mut self, at: u64, packet: Packet) -> Option<u64> {
        self.last_arrival = self.last_arrival.max(at);
        self.packets.push_back((self.last_arrival, packet));
        (!std::mem::replace(&mut self.pumping, true)).then_some(self.last_arrival)
    }
}

/// A learner's stream to its leader.
pub(crate) struct Stream {
    pub(crate) learner: usize,
    pub(crate) leader: usize,
    pub(crate) learner_open: bool,
    pub(crate) leader_open: bool,
    /// Broken in the middle: nothing arrives any more.
    pub(crate) broken: bool,
    /// Something was taken out of it.
    pub(crate) tampered: bool,
    pub(crate) to_leader: Way,
    pub(crate) to_learner: Way,
}

impl Stream {
    pub(crate) fn new(learner: usize, leader: usize) -> Self {
        Stream {
            learner,
            leader,
            learner_open: true,
            leader_open: true,
            broken: false,
            tampered: false,
            to_leader: Way::default(),
            to_learner: Way::default(),
        }
    }

    /// Who sends that way, and who receives.
    pub(crate) fn ends(&self, to_leader: bool) -> (usize, usize) {
        if to_leader {
            (self.learner, self.leader)
        } else {
            (self.leader, self.learner)
        }
    }

    pub(crate) fn way(&mut self, to_leader: bool) -> &mut Way {
        if to_leader {
            &mut self.to_leader
        } else {
            &mut self.to_learner
        }
    }

    pub(crate) fn is_open_at(&self, leader_end: bool) -> bool {
        if leader_end {
            self.leader_open
        } else {
            self.learner_open
        }
    }

    pub(crate) fn close_at(&mut self, leader_end: bool) {
        if leader_end {
            self.leader_open = false;
        } else {
            self.learner_open = false;
        }
    }
}

/// Everything between members.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) streams: BTreeMap<u64, Stream>,
    /// Ways on which nothing arrives, from whom to whom.
    blocked: BTreeSet<(usize, usize)>,
    /// The newest election message from one to another that has not arrived.
    pub(crate) outbox: BTreeMap<(usize, usize), Notification>,
}

impl Network {
    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.contains(&(from, to))
    }

    pub(crate) fn block(&mut self, from: usize, to: usize) {
        self.blocked.insert((from, to));
    }

    /// Takes a proposal out of a stream, where one is in flight.
    pub(crate) fn skip_proposal(&mut self) -> bool {
        let is_proposal = |packet: &(u64, Packet)| {
            matches!(packet.1, Packet::Leader(LeaderMessage::Proposal { .. }, _))
        };
        self.streams.values_mut().any(|stream| {
            let packets = &mut stream.to_learner.packets;
            let found = packets.iter().position(is_proposal);
            let skipped = found.is_some_and(|index| packets.remove(index).is_some());
            stream.tampered |= skipped;
            skipped
        })
    }

    pub(crate) fn heal(&mut self) {
        self.blocked.clear();
    }
}
