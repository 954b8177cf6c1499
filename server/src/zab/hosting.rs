//! A follower that has observers learn from it, so that they cost the leader nothing: what the
//! leader would do for them, with the leader's epoch, and of committed transactions alone.
//! Source: `ObserverMaster.java`, `LearnerHandler.java` run.

use super::history::Entry;
use super::learners::{LearnerState, Learners, Stage};
use super::membership::Role;
use super::message::{LeaderMessage, LearnerMessage};
use super::{Core, LearnerConn, NowMs, Output, sync};
use crate::ids::{Epoch, ServerId, Zxid};

pub(super) const NOT_LEADING: &str = "this member does not lead";

/// The observers that learn from this follower.
#[derive(Default)]
pub(super) struct Hosting {
    observers: Learners,
    next_ping: NowMs,
}

impl Hosting {
    /// When the next ping is due, if there is anybody.
    pub(super) fn next_deadline(&self) -> Option<NowMs> {
        (!self.observers.is_empty()).then_some(self.next_ping)
    }

    pub(super) fn observers(&self) -> &Learners {
        &self.observers
    }

    pub(super) fn observers_mut(&mut self) -> &mut Learners {
        &mut self.observers
    }

    pub(super) fn receive(
        &mut self,
        core: &Core,
        now: NowMs,
        conn: LearnerConn,
        message: LearnerMessage,
        out: &mut Vec<Output>,
    ) {
        self.observers.heard(now, conn);
        let problem = match message {
            LearnerMessage::Info {
                id,
                role,
                accepted_epoch,
                config_version,
            } => {
                if role != Role::Observer {
                    Some(NOT_LEADING)
                } else if config_version > core.configs.active().version.0 {
                    Some("its configuration is newer than ours")
                } else if accepted_epoch > core.current_epoch {
                    Some("it agreed to a later epoch than ours")
                } else if self.observers.contains(conn) {
                    Some("it introduced itself twice")
                } else {
                    self.register(core.current_epoch, now, conn, id, out);
                    None
                }
            }
            LearnerMessage::AckEpoch { last_logged, .. } => {
                self.epoch_acked(core, conn, last_logged, out)
            }
            LearnerMessage::Ack { zxid } => self.acked(core, conn, zxid, out),
        };
        if let Some(reason) = problem {
            self.observers.send_away(conn, reason, out);
        }
    }

    fn register(
        &mut self,
        epoch: Epoch,
        now: NowMs,
        conn: LearnerConn,
        id: ServerId,
        out: &mut Vec<Output>,
    ) {
        if self.observers.is_empty() {
            self.next_ping = now;
        }
        let observer = LearnerState::new(id, Role::Observer, Stage::AwaitingEpochAck, now);
        self.observers.admit(conn, observer, out);
        out.push(Output::ToLearner {
            conn,
            message: LeaderMessage::Info { epoch },
        });
    }

    /// Says what is wrong with it, if anything.
    fn epoch_acked(
        &mut self,
        core: &Core,
        conn: LearnerConn,
        last_logged: Option<Zxid>,
        out: &mut Vec<Output>,
    ) -> Option<&'static str> {
        let Some(observer) = self.observers.get_mut(conn) else {
            // It came while we led.
            return Some(NOT_LEADING);
        };
        if observer.stage != Stage::AwaitingEpochAck {
            return Some("it acknowledged an epoch out of turn");
        }
        match last_logged {
            Some(end)
                if end > core.history.committed()
                    && end.epoch() == core.current_epoch
                    && end.counter() > 0 =>
            {
                observer.stage = Stage::Ahead { end };
            }
            _ => synchronize(observer, core, conn, last_logged, out),
        }
        None
    }

    fn acked(
        &mut self,
        core: &Core,
        conn: LearnerConn,
        zxid: Zxid,
        out: &mut Vec<Output>,
    ) -> Option<&'static str> {
        let observer = self.observers.get_mut(conn)?;
        if zxid != core.current_epoch.start() {
            return Some("it acknowledged what it was not asked to");
        }
        match observer.stage {
            Stage::AwaitingNewLeaderAck { .. } => {
                observer.stage = Stage::Synced;
                let message = LeaderMessage::UpToDate;
                out.push(Output::ToLearner { conn, message });
                None
            }
            // The second one answers UPTODATE and says nothing new.
            Stage::Synced => None,
            _ => Some("it acknowledged out of turn"),
        }
    }

    /// A transaction has been committed here; a reconfiguration that is in force now names `leader`.
    pub(super) fn committed(
        &mut self,
        core: &Core,
        entry: &Entry,
        leader: Option<ServerId>,
        out: &mut Vec<Output>,
    ) {
        for (conn, observer) in self.observers.iter_mut() {
            match observer.stage {
                Stage::Ahead { end } if end <= entry.zxid => {
                    synchronize(observer, core, conn, Some(end), out);
                }
                stage if stage.follows() => {
                    let Entry { zxid, payload } = entry.clone();
                    let message = match leader {
                        None => LeaderMessage::Inform { zxid, payload },
                        Some(leader) => LeaderMessage::InformAndActivate {
                            zxid,
                            payload,
                            leader,
                        },
                    };
                    out.push(Output::ToLearner { conn, message });
                }
                _ => {}
            }
        }
    }

    pub(super) fn tick(&mut self, core: &Core, now: NowMs, out: &mut Vec<Output>) {
        if self.observers.is_empty() || now < self.next_ping {
            return;
        }
        // Twice a tick. Source: `ObserverMaster.java` start.
        self.next_ping = now.plus(core.settings.tick_ms / 2);
        self.observers.send_silent_away(core, now, out);
        self.observers.ping(core.history.committed(), out);
    }
}

/// Sends an observer what it lacks, then NEWLEADER with the configuration in force. Java sends one
/// that is only proposed, too.
fn synchronize(
    observer: &mut LearnerState,
    core: &Core,
    conn: LearnerConn,
    last_logged: Option<Zxid>,
    out: &mut Vec<Output>,
) {
    let sent = sync::bring(&core.history, conn, Role::Observer, last_logged, out);
    observer.acked = sent;
    observer.stage = Stage::AwaitingNewLeaderAck { sent };
    out.push(Output::ToLearner {
        conn,
        message: LeaderMessage::NewLeader {
            zxid: core.current_epoch.start(),
            config_text: core.configs.active().text.clone(),
        },
    });
}
