//! Leading: agree on an epoch with a quorum, bring learners to where we stand, then broadcast.
//! Source: `Leader.java` lead, `LearnerHandler.java` run.

mod broadcast;
mod hand_over;
mod handshake;

use super::election::Candidate;
use super::learners::{Learners, Stage};
use super::membership::Role;
use super::message::{LeaderMessage, LearnerMessage};
use super::{Core, LearnerConn, Next, NowMs, Output};
use crate::ids::{Epoch, ServerId, Zxid};
use std::collections::BTreeSet;

/// The leader's own progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Collecting accepted epochs from a quorum.
    Discovery,
    /// Collecting ACKEPOCH from a quorum.
    EpochProposed,
    /// Bringing a quorum to our history.
    Synchronization,
    /// Serving.
    Broadcast,
}

pub(super) struct Leader {
    progress: Progress,
    /// Ours once `progress` is past discovery; before, the lowest that nobody has agreed to.
    epoch: Epoch,
    /// Participants that told their accepted epoch, acknowledged ours, acknowledged NEWLEADER.
    connecting: BTreeSet<ServerId>,
    electing: BTreeSet<ServerId>,
    following: BTreeSet<ServerId>,
    learners: Learners,
    /// Of those that only the proposed configuration gives a vote, the one whose history is furthest
    /// ahead of ours. Nobody could vote for it, and we can't lead without it.
    ahead: Option<Candidate>,
    last_proposed: Zxid,
    /// The last counter of an epoch.
    counter_max: i64,
    /// When the present progress must be over.
    deadline: NowMs,
    next_ping: NowMs,
    next_check: NowMs,
    /// Until when what is proposed may be committed before we hand over; nothing new is proposed.
    retires_at: Option<NowMs>,
}

impl Leader {
    pub(super) fn new(core: &mut Core, now: NowMs, out: &mut Vec<Output>) -> (Self, Next) {
        let mut leader = Leader {
            progress: Progress::Discovery,
            epoch: core.accepted_epoch.next(),
            connecting: BTreeSet::from([core.settings.me]),
            electing: BTreeSet::new(),
            following: BTreeSet::new(),
            learners: Learners::default(),
            ahead: None,
            last_proposed: core.history.end(),
            counter_max: core.settings.counter_max,
            deadline: now.plus(core.settings.init_ms()),
            next_ping: now,
            next_check: now,
            retires_at: None,
        };
        let next = leader.advance(core, now, out);
        (leader, next)
    }

    /// Whether it takes proposals.
    pub(super) fn is_serving(&self) -> bool {
        self.is_broadcasting() && self.retires_at.is_none()
    }

    /// Who should lead in our place, where we could not. Java's ensembles have no way out of this.
    pub(super) fn better(&self) -> Option<Candidate> {
        self.ahead
            .filter(|_| self.progress == Progress::EpochProposed)
    }

    fn is_broadcasting(&self) -> bool {
        self.progress == Progress::Broadcast
    }

    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        (self.is_serving() && self.last_proposed.counter() < self.counter_max)
            .then(|| self.last_proposed.next())
    }

    /// Four thousand million proposals in a moment.
    #[cfg(test)]
    pub(super) fn pretend_proposed(&mut self, zxid: Zxid) {
        self.last_proposed = zxid;
    }

    pub(super) fn next_deadline(&self) -> NowMs {
        if self.is_broadcasting() {
            let next = self.next_ping.min(self.next_check);
            self.retires_at.map_or(next, |at| next.min(at))
        } else {
            self.deadline.min(self.next_ping)
        }
    }

    pub(super) fn learners(&self) -> &Learners {
        &self.learners
    }

    pub(super) fn learners_mut(&mut self) -> &mut Learners {
        &mut self.learners
    }

    pub(super) fn receive(
        &mut self,
        core: &mut Core,
        now: NowMs,
        conn: LearnerConn,
        message: LearnerMessage,
        out: &mut Vec<Output>,
    ) -> Next {
        self.learners.heard(now, conn);
        match message {
            LearnerMessage::Info {
                id,
                role,
                accepted_epoch,
                config_version,
            } => {
                // It would fall behind the configuration that it knows to be in force.
                // Source: `LearnerHandler.java` run.
                if config_version > core.configs.active().version.0 {
                    if !self.is_broadcasting() && core.configs.is_member(id) {
                        return Next::Look(format!("member {id} knows a newer configuration"));
                    }
                    return self.drop_learner(conn, "its configuration is newer than ours", out);
                }
                self.register(core, now, conn, id, role, accepted_epoch, out)
            }
            LearnerMessage::AckEpoch {
                last_logged,
                current_epoch,
            } => self.epoch_acked(core, now, conn, last_logged, current_epoch, out),
            LearnerMessage::Ack { zxid } => self.acked(core, now, conn, zxid, out),
        }
    }

    /// Goes as far as what has been collected allows.
    fn advance(&mut self, core: &mut Core, now: NowMs, out: &mut Vec<Output>) -> Next {
        let me = core.settings.me;
        if self.progress == Progress::Discovery
            && core
                .configs
                .is_quorum_of(|id| self.connecting.contains(&id))
        {
            self.progress = Progress::EpochProposed;
            self.deadline = now.plus(core.settings.init_ms());
            core.accept_epoch(self.epoch, out);
            self.electing.insert(me);
            let registered = self.learners.conns_in(|stage| stage == Stage::Registered);
            for conn in registered {
                self.propose_epoch(conn, out);
            }
        }
        if self.progress == Progress::EpochProposed
            && core.configs.is_quorum_of(|id| self.electing.contains(&id))
        {
            self.progress = Progress::Synchronization;
            self.deadline = now.plus(core.settings.init_ms());
            // The history of an elected leader is the ensemble's: all of it counts as committed
            // from here on. Source: `Leader.java` lead, loadData.
            while let Some(entry) = core.history.commit_next() {
                out.push(Output::Deliver(entry));
            }
            self.last_proposed = self.epoch.start();
            // Our log is the first that must be durable before anybody builds on it.
            if core.history.is_durable() {
                self.enter_synchronization(core, now, out);
            }
        }
        if self.progress == Progress::Synchronization
            && self.following.contains(&me)
            && core.configs.is_quorum_of(|id| self.following.contains(&id))
        {
            return self.start_broadcast(core, now, out);
        }
        Next::Stay
    }

    /// A quorum has our history: what was proposed to it, a configuration too, is agreed on.
    /// Source: `Leader.java` startZkServer.
    fn start_broadcast(&mut self, core: &mut Core, now: NowMs, out: &mut Vec<Output>) -> Next {
        self.progress = Progress::Broadcast;
        self.next_ping = now;
        self.next_check = now.plus(core.settings.tick_ms);
        let mut leader = core.settings.me;
        if let Some(config) = core.configs.seen().cloned() {
            // Those that have observed so far may be the only ones that vote from here on.
            let synced = self.learners.values();
            let synced = synced.filter(|learner| learner.stage == Stage::Synced);
            leader = core.designated_leader(&config, synced.map(|one| (one.id, one.acked)));
            core.activate(config, out);
        }
        out.push(Output::Serve);
        for conn in self.learners.conns_in(|stage| stage == Stage::Synced) {
            out.push(Output::ToLearner {
                conn,
                message: LeaderMessage::UpToDate,
            });
        }
        if leader != core.settings.me {
            return Next::Follow(
                leader,
                "the configuration that we completed has another leader",
            );
        }
        Next::Stay
    }

    fn enter_synchronization(&mut self, core: &mut Core, now: NowMs, out: &mut Vec<Output>) {
        self.following.insert(core.settings.me);
        core.enter_epoch(self.epoch, out);
        core.establish(self.epoch.start(), out);
        let waiting = self
            .learners
            .iter()
            .filter_map(|(conn, learner)| match learner.stage {
                Stage::EpochAcked { last_logged } => Some((conn, last_logged)),
                _ => None,
            })
            .collect::<Vec<_>>();
        for (conn, last_logged) in waiting {
            self.synchronize(core, now, conn, last_logged, out);
        }
    }

    /// Learners that acknowledge and have caught up, with what each has acknowledged.
    fn synced_followers(&self) -> impl Iterator<Item = (ServerId, Zxid)> {
        self.learners
            .values()
            .filter(|learner| learner.role == Role::Participant && learner.stage == Stage::Synced)
            .map(|learner| (learner.id, learner.acked))
    }

    pub(super) fn tick(&mut self, core: &mut Core, now: NowMs, out: &mut Vec<Output>) -> Next {
        if !self.is_broadcasting() && now >= self.deadline {
            return Next::Look(format!(
                "no quorum within {} ms: {} in discovery, {} acknowledged the epoch, {} synchronised",
                core.settings.init_ms(),
                self.connecting.len(),
                self.electing.len(),
                self.following.len()
            ));
        }
        if now >= self.next_ping {
            // Twice a tick. Source: `Leader.java` lead.
            self.next_ping = now.plus(core.settings.tick_ms / 2);
            self.learners.send_silent_away(core, now, out);
            self.learners.ping(self.last_proposed, out);
        }
        if self.retires_at.is_some_and(|at| now >= at) {
            return self.resign(core);
        }
        if self.is_broadcasting() && now >= self.next_check {
            self.next_check = now.plus(core.settings.tick_ms);
            let me = core.settings.me;
            let is_synced = |id| self.synced_followers().any(|(synced, _)| synced == id);
            if !core.configs.is_quorum_of(|id| id == me || is_synced(id)) {
                return Next::Look("too few followers are left for a quorum".into());
            }
        }
        Next::Stay
    }

    fn drop_learner(
        &mut self,
        conn: LearnerConn,
        reason: &'static str,
        out: &mut Vec<Output>,
    ) -> Next {
        self.learners.send_away(conn, reason, out);
        Next::Stay
    }
}
