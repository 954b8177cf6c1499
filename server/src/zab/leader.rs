//! Leading: agree on an epoch with a quorum, bring learners to where we stand, then broadcast.
//! Source: `Leader.java` lead, `LearnerHandler.java` run.

use super::history::Entry;
use super::membership::Role;
use super::message::{LeaderMessage, LearnerMessage};
use super::sync::{self, Plan};
use super::{Core, LearnerConn, Next, NowMs, Output};
use crate::ids::{Epoch, ServerId, Zxid};
use std::collections::{BTreeMap, BTreeSet};

/// How far a learner's handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has introduced itself; LEADERINFO goes out once there is an epoch.
    Registered,
    /// LEADERINFO has gone out.
    AwaitingEpochAck,
    /// It has answered; synchronisation starts once a quorum has.
    EpochAcked { last_logged: Option<Zxid> },
    /// It has been sent all that we have, and every proposal since.
    AwaitingNewLeaderAck,
    /// It has made that durable.
    Synced,
}

#[derive(Debug)]
struct LearnerState {
    id: ServerId,
    role: Role,
    stage: Stage,
    /// The last proposal that it has made durable.
    acked: Zxid,
    /// Since when its oldest proposal waits for an acknowledgement, with that proposal.
    unacked_since: Option<(Zxid, NowMs)>,
    last_heard: NowMs,
}

/// What a leader knows of a learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnerView {
    /// The learner.
    pub id: ServerId,
    /// Its connection.
    pub conn: LearnerConn,
    /// What it introduced itself as.
    pub role: Role,
    /// Whether it has made our history durable and follows live.
    pub synced: bool,
    /// The last proposal that it has made durable.
    pub acked: Zxid,
}

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
    learners: BTreeMap<LearnerConn, LearnerState>,
    last_proposed: Zxid,
    /// The last counter of an epoch.
    counter_max: i64,
    /// When the present progress must be over.
    deadline: NowMs,
    next_ping: NowMs,
    next_check: NowMs,
}

impl Leader {
    pub(super) fn new(core: &mut Core, now: NowMs, out: &mut Vec<Output>) -> (Self, Next) {
        let mut leader = Leader {
            progress: Progress::Discovery,
            epoch: core.accepted_epoch.next(),
            connecting: BTreeSet::from([core.settings.me]),
            electing: BTreeSet::new(),
            following: BTreeSet::new(),
            learners: BTreeMap::new(),
            last_proposed: core.history.end(),
            counter_max: core.settings.counter_max,
            deadline: now.plus(core.settings.init_ms()),
            next_ping: now,
            next_check: now,
        };
        let next = leader.advance(core, now, out);
        (leader, next)
    }

    pub(super) fn is_serving(&self) -> bool {
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
        if self.is_serving() {
            self.next_ping.min(self.next_check)
        } else {
            self.deadline.min(self.next_ping)
        }
    }

    pub(super) fn views(&self) -> Vec<LearnerView> {
        self.learners
            .iter()
            .map(|(conn, learner)| LearnerView {
                id: learner.id,
                conn: *conn,
                role: learner.role,
                synced: learner.stage == Stage::Synced,
                acked: learner.acked,
            })
            .collect()
    }

    pub(super) fn learner_id(&self, conn: LearnerConn) -> Option<ServerId> {
        self.learners.get(&conn).map(|learner| learner.id)
    }

    pub(super) fn heard(&mut self, now: NowMs, conn: LearnerConn) {
        if let Some(learner) = self.learners.get_mut(&conn) {
            learner.last_heard = now;
        }
    }

    pub(super) fn gone(&mut self, conn: LearnerConn) {
        self.learners.remove(&conn);
    }

    pub(super) fn receive(
        &mut self,
        core: &mut Core,
        now: NowMs,
        conn: LearnerConn,
        message: LearnerMessage,
        out: &mut Vec<Output>,
    ) -> Next {
        self.heard(now, conn);
        match message {
            LearnerMessage::Info {
                id,
                role,
                accepted_epoch,
                config_version: _,
            } => self.register(core, now, conn, id, role, accepted_epoch, out),
            LearnerMessage::AckEpoch {
                last_logged,
                current_epoch,
            } => self.epoch_acked(core, now, conn, last_logged, current_epoch, out),
            LearnerMessage::Ack { zxid } => self.acked(core, now, conn, zxid, out),
        }
    }

    #[allow(clippy::too_many_arguments)] // One for each field of the message.
    fn register(
        &mut self,
        core: &mut Core,
        now: NowMs,
        conn: LearnerConn,
        id: ServerId,
        role: Role,
        accepted_epoch: Epoch,
        out: &mut Vec<Output>,
    ) -> Next {
        if self.learners.contains_key(&conn) {
            return self.drop_learner(conn, "it introduced itself twice", out);
        }
        // A member that comes back has left its older connection, whatever the network says.
        let stale = self
            .learners
            .iter()
            .filter(|(_, learner)| learner.id == id)
            .map(|(conn, _)| *conn)
            .collect::<Vec<_>>();
        for conn in stale {
            let _stay = self.drop_learner(conn, "the member has connected anew", out);
        }
        self.learners.insert(
            conn,
            LearnerState {
                id,
                role,
                stage: Stage::Registered,
                acked: Zxid::ZERO,
                unacked_since: None,
                last_heard: now,
            },
        );
        if self.progress == Progress::Discovery {
            if accepted_epoch >= self.epoch {
                self.epoch = accepted_epoch.next();
            }
            if core.settings.membership.is_voter(id) {
                self.connecting.insert(id);
            }
        } else if accepted_epoch > self.epoch && core.settings.membership.is_member(id) {
            // It promised to follow nobody older, so it could not join us as long as we lead; and we
            // may not ask it to break its word. A new epoch is past both.
            return Next::Look(format!(
                "member {id} agreed to epoch {accepted_epoch}, and we lead {}",
                self.epoch
            ));
        } else {
            self.propose_epoch(conn, out);
        }
        self.advance(core, now, out)
    }

    fn propose_epoch(&mut self, conn: LearnerConn, out: &mut Vec<Output>) {
        if let Some(learner) = self.learners.get_mut(&conn) {
            learner.stage = Stage::AwaitingEpochAck;
            out.push(Output::ToLearner {
                conn,
                message: LeaderMessage::Info { epoch: self.epoch },
            });
        }
    }

    fn epoch_acked(
        &mut self,
        core: &mut Core,
        now: NowMs,
        conn: LearnerConn,
        last_logged: Option<Zxid>,
        current_epoch: Option<Epoch>,
        out: &mut Vec<Output>,
    ) -> Next {
        let Some(learner) = self.learners.get_mut(&conn) else {
            return Next::Stay;
        };
        if learner.stage != Stage::AwaitingEpochAck {
            return self.drop_learner(conn, "it acknowledged an epoch out of turn", out);
        }
        learner.stage = Stage::EpochAcked { last_logged };
        if self.progress == Progress::EpochProposed
            && let Some(epoch) = current_epoch
        {
            let ours = (core.history_epoch(), core.history.end());
            if (epoch, last_logged.unwrap_or(Zxid::ZERO)) > ours {
                return self.drop_learner(conn, "its history is ahead of ours", out);
            }
            if last_logged.is_some() && core.settings.membership.is_voter(learner.id) {
                self.electing.insert(learner.id);
            }
        }
        if matches!(
            self.progress,
            Progress::Synchronization | Progress::Broadcast
        ) {
            self.synchronize(core, now, conn, last_logged, out);
        }
        self.advance(core, now, out)
    }

    /// Sends a learner what it lacks, then NEWLEADER; from here on it gets every proposal.
    fn synchronize(
        &mut self,
        core: &Core,
        now: NowMs,
        conn: LearnerConn,
        last_logged: Option<Zxid>,
        out: &mut Vec<Output>,
    ) {
        let Some(learner) = self.learners.get_mut(&conn) else {
            return;
        };
        let committed = core.history.committed();
        let send = |message| Output::ToLearner { conn, message };
        let missing = match sync::plan(&core.history, last_logged) {
            Plan::Diff(missing) => {
                out.push(send(LeaderMessage::Diff { zxid: committed }));
                missing
            }
            Plan::Trunc(zxid, missing) => {
                out.push(send(LeaderMessage::Trunc { zxid }));
                missing
            }
            Plan::Snap => {
                out.push(Output::SnapshotToLearner {
                    conn,
                    zxid: committed,
                });
                Vec::new()
            }
        };
        for Entry { zxid, payload } in missing {
            match learner.role {
                Role::Participant => {
                    out.push(send(LeaderMessage::Proposal { zxid, payload }));
                    out.push(send(LeaderMessage::Commit { zxid }));
                }
                Role::Observer => out.push(send(LeaderMessage::Inform { zxid, payload })),
            }
        }
        if learner.role == Role::Participant {
            for Entry { zxid, payload } in core.history.pending() {
                learner.unacked_since.get_or_insert((*zxid, now));
                out.push(send(LeaderMessage::Proposal {
                    zxid: *zxid,
                    payload: payload.clone(),
                }));
            }
        }
        learner.stage = Stage::AwaitingNewLeaderAck;
        out.push(send(LeaderMessage::NewLeader {
            zxid: self.epoch.start(),
            config_text: config_of_epoch(&core.settings.config_text, self.epoch),
        }));
    }

    fn acked(
        &mut self,
        core: &mut Core,
        now: NowMs,
        conn: LearnerConn,
        zxid: Zxid,
        out: &mut Vec<Output>,
    ) -> Next {
        if zxid > self.last_proposed.max(self.epoch.start()) {
            return self.drop_learner(conn, "it acknowledged what nobody proposed", out);
        }
        let Some(learner) = self.learners.get_mut(&conn) else {
            return Next::Stay;
        };
        match learner.stage {
            Stage::AwaitingNewLeaderAck if zxid == self.epoch.start() => {
                learner.stage = Stage::Synced;
                if learner.role == Role::Participant
                    && core.settings.membership.is_voter(learner.id)
                {
                    self.following.insert(learner.id);
                }
                if self.is_serving() {
                    out.push(Output::ToLearner {
                        conn,
                        message: LeaderMessage::UpToDate,
                    });
                }
                self.advance(core, now, out)
            }
            Stage::Synced => {
                // The second acknowledgement of the epoch answers UPTODATE and says nothing new.
                if zxid.counter() != 0 {
                    learner.acked = learner.acked.max(zxid);
                    learner.unacked_since = match learner.unacked_since {
                        Some((first, _)) if first <= zxid => core
                            .history
                            .pending()
                            .iter()
                            .find(|entry| entry.zxid > zxid)
                            .map(|entry| (entry.zxid, now)),
                        waiting => waiting,
                    };
                    return self.commit(core, out);
                }
                Next::Stay
            }
            _ => self.drop_learner(conn, "it acknowledged out of turn", out),
        }
    }

    /// Goes as far as what has been collected allows.
    fn advance(&mut self, core: &mut Core, now: NowMs, out: &mut Vec<Output>) -> Next {
        let me = core.settings.me;
        let membership = core.settings.membership.clone();
        if self.progress == Progress::Discovery
            && membership.is_quorum(self.connecting.iter().copied())
        {
            self.progress = Progress::EpochProposed;
            self.deadline = now.plus(core.settings.init_ms());
            core.accept_epoch(self.epoch, out);
            self.electing.insert(me);
            let registered = self.conns_in(|stage| stage == Stage::Registered);
            for conn in registered {
                self.propose_epoch(conn, out);
            }
        }
        if self.progress == Progress::EpochProposed
            && membership.is_quorum(self.electing.iter().copied())
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
            && membership.is_quorum(self.following.iter().copied())
        {
            self.progress = Progress::Broadcast;
            self.next_ping = now;
            self.next_check = now.plus(core.settings.tick_ms);
            out.push(Output::Serve);
            for conn in self.conns_in(|stage| stage == Stage::Synced) {
                out.push(Output::ToLearner {
                    conn,
                    message: LeaderMessage::UpToDate,
                });
            }
        }
        Next::Stay
    }

    fn enter_synchronization(&mut self, core: &mut Core, now: NowMs, out: &mut Vec<Output>) {
        self.following.insert(core.settings.me);
        core.enter_epoch(self.epoch, out);
        let waiting = self
            .learners
            .iter()
            .filter_map(|(conn, learner)| match learner.stage {
                Stage::EpochAcked { last_logged } => Some((*conn, last_logged)),
                _ => None,
            })
            .collect::<Vec<_>>();
        for (conn, last_logged) in waiting {
            self.synchronize(core, now, conn, last_logged, out);
        }
    }

    fn conns_in(&self, stage: impl Fn(Stage) -> bool) -> Vec<LearnerConn> {
        self.learners
            .iter()
            .filter(|(_, learner)| stage(learner.stage))
            .map(|(conn, _)| *conn)
            .collect()
    }

    pub(super) fn propose(
        &mut self,
        core: &mut Core,
        now: NowMs,
        entry: Entry,
        out: &mut Vec<Output>,
    ) -> Next {
        if !self.is_serving() {
            return Next::Stay;
        }
        if self.next_zxid() != Some(entry.zxid) {
            return Next::Look(format!(
                "the proposal {} does not follow {}: the epoch's counter is used up",
                entry.zxid, self.last_proposed
            ));
        }
        self.last_proposed = entry.zxid;
        core.history.append(entry.clone());
        for (conn, learner) in &mut self.learners {
            let follows = matches!(learner.stage, Stage::AwaitingNewLeaderAck | Stage::Synced);
            if learner.role == Role::Participant && follows {
                learner.unacked_since.get_or_insert((entry.zxid, now));
                out.push(Output::ToLearner {
                    conn: *conn,
                    message: LeaderMessage::Proposal {
                        zxid: entry.zxid,
                        payload: entry.payload.clone(),
                    },
                });
            }
        }
        // Behind the sends: our disk and theirs work at the same time.
        out.push(Output::Append(entry));
        Next::Stay
    }

    /// Our log became durable further: that may complete NEWLEADER's quorum or a proposal's.
    pub(super) fn persisted(&mut self, core: &mut Core, now: NowMs, out: &mut Vec<Output>) -> Next {
        if self.progress == Progress::Synchronization
            && !self.following.contains(&core.settings.me)
            && core.history.is_durable()
        {
            self.enter_synchronization(core, now, out);
            return self.advance(core, now, out);
        }
        self.commit(core, out)
    }

    /// Commits, in order, every proposal that is durable on a quorum.
    fn commit(&mut self, core: &mut Core, out: &mut Vec<Output>) -> Next {
        if !self.is_serving() {
            return Next::Stay;
        }
        while let Some(zxid) = core.history.pending().front().map(|entry| entry.zxid) {
            let durable_on = self
                .learners
                .values()
                .filter(|learner| learner.role == Role::Participant && learner.acked >= zxid)
                .map(|learner| learner.id)
                .chain((core.history.durable() >= zxid).then_some(core.settings.me));
            if !core.settings.membership.is_quorum(durable_on) {
                return Next::Stay;
            }
            let Some(entry) = core.history.commit_next() else {
                return Next::Stay;
            };
            for (conn, learner) in &self.learners {
                let follows = matches!(learner.stage, Stage::AwaitingNewLeaderAck | Stage::Synced);
                if !follows {
                    continue;
                }
                let message = match learner.role {
                    Role::Participant => LeaderMessage::Commit { zxid },
                    Role::Observer => LeaderMessage::Inform {
                        zxid,
                        payload: entry.payload.clone(),
                    },
                };
                out.push(Output::ToLearner {
                    conn: *conn,
                    message,
                });
            }
            out.push(Output::Deliver(entry));
        }
        if self.last_proposed.counter() >= self.counter_max {
            // All is committed, and nothing can follow in this epoch (ZOOKEEPER-1277).
            return Next::Look("the epoch's counter is used up".into());
        }
        Next::Stay
    }

    pub(super) fn tick(&mut self, core: &mut Core, now: NowMs, out: &mut Vec<Output>) -> Next {
        if !self.is_serving() && now >= self.deadline {
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
            self.drop_silent(core, now, out);
            for conn in self.conns_in(|stage| stage == Stage::Synced) {
                out.push(Output::ToLearner {
                    conn,
                    message: LeaderMessage::Ping {
                        zxid: self.last_proposed,
                    },
                });
            }
        }
        if self.is_serving() && now >= self.next_check {
            self.next_check = now.plus(core.settings.tick_ms);
            let synced = self
                .learners
                .values()
                .filter(|learner| {
                    learner.role == Role::Participant && learner.stage == Stage::Synced
                })
                .map(|learner| learner.id)
                .chain([core.settings.me]);
            if !core.settings.membership.is_quorum(synced) {
                return Next::Look("too few followers are left for a quorum".into());
            }
        }
        Next::Stay
    }

    /// Closes the connections of learners that have gone silent, or that don't acknowledge.
    fn drop_silent(&mut self, core: &Core, now: NowMs, out: &mut Vec<Output>) {
        let late = self
            .learners
            .iter()
            .filter(|(_, learner)| {
                let limit_ms = if learner.stage == Stage::Synced {
                    core.settings.sync_ms()
                } else {
                    core.settings.init_ms()
                };
                let stuck = learner.stage == Stage::Synced
                    && learner
                        .unacked_since
                        .is_some_and(|(_, since)| now > since.plus(limit_ms));
                stuck || now > learner.last_heard.plus(limit_ms)
            })
            .map(|(conn, _)| *conn)
            .collect::<Vec<_>>();
        for conn in late {
            let _stay = self.drop_learner(conn, "it was silent for too long", out);
        }
    }

    fn drop_learner(
        &mut self,
        conn: LearnerConn,
        reason: &'static str,
        out: &mut Vec<Output>,
    ) -> Next {
        self.learners.remove(&conn);
        out.push(Output::CloseLearner { conn, reason });
        Next::Stay
    }
}

/// The configuration as NEWLEADER carries it: one that never had a version gets the epoch's first
/// zxid for one (ZOOKEEPER-1783).
fn config_of_epoch(text: &str, epoch: Epoch) -> String {
    match text.strip_suffix("version=0") {
        Some(members) => format!("{members}version={:x}", epoch.start().0),
        None => text.to_owned(),
    }
}
