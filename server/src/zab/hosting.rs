//! A follower that has observers learn from it, so that they cost the leader nothing: what the
//! leader would do for them, with the leader's epoch, and of committed transactions alone.
//! Source: `ObserverMaster.java`, `LearnerHandler.java` run.

use super::history::Entry;
use super::membership::Role;
use super::message::{LeaderMessage, LearnerMessage};
use super::{Core, LearnerConn, LearnerView, NowMs, Output, sync};
use crate::ids::{Epoch, ServerId, Zxid};
use std::collections::BTreeMap;

pub(super) const NOT_LEADING: &str = "this member does not lead";

/// How far an observer's handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// LEADERINFO has gone out.
    AwaitingEpochAck,
    /// Its log ends in this epoch, behind what we know to be committed: it has learned from
    /// somebody quicker, and what it has is on its way to us. Java has it cut that off.
    Ahead { end: Zxid },
    /// It has been sent all that is committed, and everything since.
    AwaitingNewLeaderAck,
    /// It has made that durable, and serves.
    Synced,
}

struct Observer {
    id: ServerId,
    stage: Stage,
    /// Up to where it was brought before it began to follow live.
    sent: Zxid,
    last_heard: NowMs,
}

/// The observers that learn from this follower.
#[derive(Default)]
pub(super) struct Hosting {
    observers: BTreeMap<LearnerConn, Observer>,
    next_ping: NowMs,
}

impl Hosting {
    /// When the next ping is due, if there is anybody.
    pub(super) fn next_deadline(&self) -> Option<NowMs> {
        (!self.observers.is_empty()).then_some(self.next_ping)
    }

    pub(super) fn views(&self) -> Vec<LearnerView> {
        let observers = self.observers.iter();
        observers
            .map(|(conn, observer)| LearnerView {
                id: observer.id,
                conn: *conn,
                role: Role::Observer,
                synced: observer.stage == Stage::Synced,
                acked: observer.sent,
            })
            .collect()
    }

    pub(super) fn learner_id(&self, conn: LearnerConn) -> Option<ServerId> {
        self.observers.get(&conn).map(|observer| observer.id)
    }

    pub(super) fn heard(&mut self, now: NowMs, conn: LearnerConn) {
        if let Some(observer) = self.observers.get_mut(&conn) {
            observer.last_heard = now;
        }
    }

    pub(super) fn gone(&mut self, conn: LearnerConn) {
        self.observers.remove(&conn);
    }

    pub(super) fn receive(
        &mut self,
        core: &Core,
        now: NowMs,
        conn: LearnerConn,
        message: LearnerMessage,
        out: &mut Vec<Output>,
    ) {
        self.heard(now, conn);
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
                } else if self.observers.contains_key(&conn) {
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
            self.drop_observer(conn, reason, out);
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
        // One that comes back has left its older connection, whatever the network says.
        let observers = self.observers.iter();
        let stale = observers.filter(|(_, observer)| observer.id == id);
        for conn in stale.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.drop_observer(conn, "the member has connected anew", out);
        }
        if self.observers.is_empty() {
            self.next_ping = now;
        }
        let observer = Observer {
            id,
            stage: Stage::AwaitingEpochAck,
            sent: Zxid::ZERO,
            last_heard: now,
        };
        self.observers.insert(conn, observer);
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
        let Some(observer) = self.observers.get_mut(&conn) else {
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
            _ => observer.synchronize(core, conn, last_logged, out),
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
        let observer = self.observers.get_mut(&conn)?;
        if zxid != core.current_epoch.start() {
            return Some("it acknowledged what it was not asked to");
        }
        match observer.stage {
            Stage::AwaitingNewLeaderAck => {
                observer.stage = Stage::Synced;
                let message = LeaderMessage::UpToDate;
                out.push(Output::ToLearner { conn, message });
                None
            }
            // The second one answers UPTODATE and says nothing new.
            Stage::Synced => None,
            Stage::AwaitingEpochAck | Stage::Ahead { .. } => Some("it acknowledged out of turn"),
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
        for (conn, observer) in &mut self.observers {
            match observer.stage {
                Stage::AwaitingEpochAck => {}
                Stage::Ahead { end } if end > entry.zxid => {}
                Stage::Ahead { end } => observer.synchronize(core, *conn, Some(end), out),
                Stage::AwaitingNewLeaderAck | Stage::Synced => {
                    let Entry { zxid, payload } = entry.clone();
                    let message = match leader {
                        None => LeaderMessage::Inform { zxid, payload },
                        Some(leader) => LeaderMessage::InformAndActivate {
                            zxid,
                            payload,
                            leader,
                        },
                    };
                    let conn = *conn;
                    out.push(Output::ToLearner { conn, message });
                }
            }
        }
    }

    pub(super) fn tick(&mut self, core: &Core, now: NowMs, out: &mut Vec<Output>) {
        if self.observers.is_empty() || now < self.next_ping {
            return;
        }
        // Twice a tick. Source: `ObserverMaster.java` start.
        self.next_ping = now.plus(core.settings.tick_ms / 2);
        let limit = |observer: &Observer| match observer.stage {
            Stage::Synced => core.settings.sync_ms(),
            _ => core.settings.init_ms(),
        };
        let observers = self.observers.iter();
        let late = observers.filter(|(_, one)| now > one.last_heard.plus(limit(one)));
        for conn in late.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.drop_observer(conn, "it was silent for too long", out);
        }
        for (conn, observer) in &self.observers {
            if observer.stage == Stage::Synced {
                out.push(Output::ToLearner {
                    conn: *conn,
                    message: LeaderMessage::Ping {
                        zxid: core.history.committed(),
                    },
                });
            }
        }
    }

    fn drop_observer(&mut self, conn: LearnerConn, reason: &'static str, out: &mut Vec<Output>) {
        self.observers.remove(&conn);
        out.push(Output::CloseLearner { conn, reason });
    }
}

impl Observer {
    /// Sends what it lacks, then NEWLEADER with the configuration in force. Java sends one that is
    /// only proposed, too.
    fn synchronize(
        &mut self,
        core: &Core,
        conn: LearnerConn,
        last_logged: Option<Zxid>,
        out: &mut Vec<Output>,
    ) {
        self.sent = sync::bring(&core.history, conn, Role::Observer, last_logged, out);
        self.stage = Stage::AwaitingNewLeaderAck;
        out.push(Output::ToLearner {
            conn,
            message: LeaderMessage::NewLeader {
                zxid: core.current_epoch.start(),
                config_text: core.configs.active().text.clone(),
            },
        });
    }
}
