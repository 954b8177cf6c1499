//! A learner's way to us: its epoch, its history brought to ours, NEWLEADER.
//! Source: `LearnerHandler.java` run, `Leader.java` getEpochToPropose and waitForEpochAck.

use super::{Leader, Progress};
use crate::ids::{Epoch, ServerId, Zxid};
use crate::zab::election::Candidate;
use crate::zab::history::Entry;
use crate::zab::learners::{LearnerState, Stage};
use crate::zab::membership::Role;
use crate::zab::message::LeaderMessage;
use crate::zab::sync;
use crate::zab::{Core, LearnerConn, Next, NowMs, Output};

impl Leader {
    #[allow(clippy::too_many_arguments)] // One for each field of the message.
    pub(super) fn register(
        &mut self,
        core: &mut Core,
        now: NowMs,
        conn: LearnerConn,
        id: ServerId,
        role: Role,
        accepted_epoch: Epoch,
        out: &mut Vec<Output>,
    ) -> Next {
        if self.learners.contains(conn) {
            return self.drop_learner(conn, "it introduced itself twice", out);
        }
        let learner = LearnerState::new(id, role, Stage::Registered, now);
        self.learners.admit(conn, learner, out);
        if self.progress == Progress::Discovery {
            if accepted_epoch >= self.epoch {
                self.epoch = accepted_epoch.next();
            }
            if core.configs.is_voter(id) {
                self.connecting.insert(id);
            }
        } else if accepted_epoch > self.epoch && core.configs.is_member(id) {
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

    pub(super) fn propose_epoch(&mut self, conn: LearnerConn, out: &mut Vec<Output>) {
        if let Some(learner) = self.learners.get_mut(conn) {
            learner.stage = Stage::AwaitingEpochAck;
            out.push(Output::ToLearner {
                conn,
                message: LeaderMessage::Info { epoch: self.epoch },
            });
        }
    }

    pub(super) fn epoch_acked(
        &mut self,
        core: &mut Core,
        now: NowMs,
        conn: LearnerConn,
        last_logged: Option<Zxid>,
        current_epoch: Option<Epoch>,
        out: &mut Vec<Output>,
    ) -> Next {
        let Some(learner) = self.learners.get_mut(conn) else {
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
            let (id, zxid) = (learner.id, last_logged.unwrap_or(Zxid::ZERO));
            if (epoch, zxid) > ours {
                if core.configs.may_lead(id) && !core.configs.active().membership.is_voter(id) {
                    self.ahead = self.ahead.max(Some(Candidate { epoch, zxid, id }));
                }
                return self.drop_learner(conn, "its history is ahead of ours", out);
            }
            if last_logged.is_some() && core.configs.is_voter(learner.id) {
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
    pub(super) fn synchronize(
        &mut self,
        core: &Core,
        now: NowMs,
        conn: LearnerConn,
        last_logged: Option<Zxid>,
        out: &mut Vec<Output>,
    ) {
        let Some(learner) = self.learners.get_mut(conn) else {
            return;
        };
        let committed = sync::bring(&core.history, conn, learner.role, last_logged, out);
        let send = |message| Output::ToLearner { conn, message };
        if learner.role == Role::Participant {
            for Entry { zxid, payload } in core.history.pending() {
                learner.unacked_since.get_or_insert((*zxid, now));
                out.push(send(LeaderMessage::Proposal {
                    zxid: *zxid,
                    payload: payload.clone(),
                }));
            }
        }
        learner.stage = Stage::AwaitingNewLeaderAck { sent: committed };
        // Who acknowledges NEWLEADER puts its configuration in force with UPTODATE. That is right for
        // one which this epoch completes, and not for one that has been proposed since: Java sends
        // that too, and its members live by what nobody has committed.
        let config = if self.progress == Progress::Broadcast {
            core.configs.active()
        } else {
            core.configs.newest()
        };
        out.push(send(LeaderMessage::NewLeader {
            zxid: self.epoch.start(),
            config_text: config.text.clone(),
        }));
    }
}
