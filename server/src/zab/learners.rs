//! Those that learn from a member, by their connections: a leader's learners, a follower's observers.

use super::membership::Role;
use super::message::LeaderMessage;
use super::{Core, LearnerConn, NowMs, Output};
use crate::ids::{ServerId, Zxid};
use std::collections::BTreeMap;

/// How far a learner's handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has introduced itself; LEADERINFO goes out once there is an epoch.
    Registered,
    /// LEADERINFO has gone out.
    AwaitingEpochAck,
    /// It has answered; synchronisation starts once a quorum has.
    EpochAcked { last_logged: Option<Zxid> },
    /// An observer's log ends in our epoch, behind what this follower knows to be committed: it has
    /// learned from somebody quicker, and what it has is on its way to us. Java has it cut that off.
    Ahead { end: Zxid },
    /// It has been sent all that we have, committed up to `sent`, and every proposal since; an
    /// observer all that is committed.
    AwaitingNewLeaderAck { sent: Zxid },
    /// It has made that durable.
    Synced,
}

impl Stage {
    /// Whether everything that is new goes to it.
    pub(super) fn follows(self) -> bool {
        matches!(self, Stage::AwaitingNewLeaderAck { .. } | Stage::Synced)
    }
}

/// One that learns from this member.
#[derive(Debug)]
pub(super) struct LearnerState {
    pub(super) id: ServerId,
    pub(super) role: Role,
    pub(super) stage: Stage,
    /// The last proposal that it has made durable; up to where a follower's observer was brought
    /// before it began to follow live.
    pub(super) acked: Zxid,
    /// Since when its oldest proposal waits for an acknowledgement, with that proposal.
    pub(super) unacked_since: Option<(Zxid, NowMs)>,
    last_heard: NowMs,
}

impl LearnerState {
    pub(super) fn new(id: ServerId, role: Role, stage: Stage, now: NowMs) -> Self {
        LearnerState {
            id,
            role,
            stage,
            acked: Zxid::ZERO,
            unacked_since: None,
            last_heard: now,
        }
    }
}

/// What a member knows of one that learns from it.
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

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Learners {
    by_conn: BTreeMap<LearnerConn, LearnerState>,
}

impl Learners {
    pub(super) fn is_empty(&self) -> bool {
        self.by_conn.is_empty()
    }

    pub(super) fn contains(&self, conn: LearnerConn) -> bool {
        self.by_conn.contains_key(&conn)
    }

    pub(super) fn get_mut(&mut self, conn: LearnerConn) -> Option<&mut LearnerState> {
        self.by_conn.get_mut(&conn)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &LearnerState> + Clone {
        self.by_conn.values()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LearnerConn, &LearnerState)> {
        self.by_conn.iter().map(|(conn, learner)| (*conn, learner))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LearnerConn, &mut LearnerState)> {
        let learners = self.by_conn.iter_mut();
        learners.map(|(conn, learner)| (*conn, learner))
    }

    /// The connections of those that have come to such a stage.
    pub(super) fn conns_in(&self, stage: impl Fn(Stage) -> bool) -> Vec<LearnerConn> {
        let learners = self.iter().filter(|(_, learner)| stage(learner.stage));
        learners.map(|(conn, _)| conn).collect()
    }

    pub(super) fn id(&self, conn: LearnerConn) -> Option<ServerId> {
        self.by_conn.get(&conn).map(|learner| learner.id)
    }

    pub(super) fn views(&self) -> Vec<LearnerView> {
        self.iter()
            .map(|(conn, learner)| LearnerView {
                id: learner.id,
                conn,
                role: learner.role,
                synced: learner.stage == Stage::Synced,
                acked: learner.acked,
            })
            .collect()
    }

    pub(super) fn heard(&mut self, now: NowMs, conn: LearnerConn) {
        if let Some(learner) = self.by_conn.get_mut(&conn) {
            learner.last_heard = now;
        }
    }

    pub(super) fn gone(&mut self, conn: LearnerConn) {
        self.by_conn.remove(&conn);
    }

    /// One has introduced itself.
    pub(super) fn admit(&mut self, conn: LearnerConn, new: LearnerState, out: &mut Vec<Output>) {
        // A member that comes back has left its older connection, whatever the network says.
        let stale = self.iter().filter(|(_, learner)| learner.id == new.id);
        for conn in stale.map(|(conn, _)| conn).collect::<Vec<_>>() {
            self.send_away(conn, "the member has connected anew", out);
        }
        self.by_conn.insert(conn, new);
    }

    /// Closes a connection, known or not.
    pub(super) fn send_away(
        &mut self,
        conn: LearnerConn,
        reason: &'static str,
        out: &mut Vec<Output>,
    ) {
        self.by_conn.remove(&conn);
        out.push(Output::CloseLearner { conn, reason });
    }

    /// Closes the connections of those that have gone silent, or that don't acknowledge.
    pub(super) fn send_silent_away(&mut self, core: &Core, now: NowMs, out: &mut Vec<Output>) {
        let is_late = |learner: &LearnerState| {
            let is_synced = learner.stage == Stage::Synced;
            let limit_ms = if is_synced {
                core.settings.sync_ms()
            } else {
                core.settings.init_ms()
            };
            let stuck = is_synced
                && learner
                    .unacked_since
                    .is_some_and(|(_, since)| now > since.plus(limit_ms));
            stuck || now > learner.last_heard.plus(limit_ms)
        };
        let late = self.iter().filter(|(_, learner)| is_late(learner));
        for conn in late.map(|(conn, _)| conn).collect::<Vec<_>>() {
            self.send_away(conn, "it was silent for too long", out);
        }
    }

    /// Pings those that follow live, with the position that this member has come to.
    pub(super) fn ping(&self, zxid: Zxid, out: &mut Vec<Output>) {
        let synced = self.iter();
        let synced = synced.filter(|(_, learner)| learner.stage == Stage::Synced);
        out.extend(synced.map(|(conn, _)| Output::ToLearner {
            conn,
            message: LeaderMessage::Ping { zxid },
        }));
    }
}
