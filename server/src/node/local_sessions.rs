//! Sessions that only their own member knows: `localSessionsEnabled`. They cost the ensemble no
//! transaction, live at one member, and may own no node; one that wants to becomes a session like
//! any other first, where `localSessionsUpgradingEnabled` says so.
//! Source: `UpgradeableSessionTracker.java`, `LeaderSessionTracker.java`,
//! `LearnerSessionTracker.java`, `QuorumZooKeeperServer.java`.

use super::NodeError;
use super::engine::Engine;
use crate::config::ServerConfig;
use crate::ids::{ConnId, ServerId, SessionId, Xid};
use crate::jute::{Reader, Record};
use crate::proto::create::{CreateMode, CreateRequest};
use crate::proto::multi::{MultiRequest, WriteOp};
use crate::proto::{ErrorCode, OpCode};
use crate::service::WriteRequest;
use crate::sessions::SessionTracker;
use crate::txn::{Request, SessionCheck};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::{debug, info};

/// This member's own sessions.
pub(super) struct LocalSessions {
    tick_ms: i32,
    may_upgrade: bool,
    tracker: SessionTracker,
    /// Other sessions heard from, for the leader to be told of.
    heard: HashMap<SessionId, i32>,
}

impl LocalSessions {
    /// `None` where all sessions are the ensemble's: by default, and on a server that is alone.
    pub(super) fn new(config: &ServerConfig) -> Option<Self> {
        let wanted = config.client.local_sessions_enabled && config.is_distributed();
        wanted.then(|| LocalSessions {
            tick_ms: config.tick_time_ms,
            may_upgrade: config.client.local_sessions_upgrading_enabled,
            tracker: SessionTracker::new(config.tick_time_ms),
            heard: HashMap::new(),
        })
    }

    /// They end with the service: whoever comes back is a stranger.
    pub(super) fn forget(&mut self) {
        self.tracker = SessionTracker::new(self.tick_ms);
        self.heard.clear();
    }

    /// The session is the ensemble's now.
    pub(super) fn remove(&mut self, session: SessionId) {
        self.tracker.remove(session);
    }

    /// Goes on with a session at another connection; false where it is none of ours.
    pub(super) fn touch(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) -> bool {
        self.tracker.touch(session, timeout_ms, now_ms)
    }

    /// What the leader `me` makes of a session that the ensemble does not know and that asks
    /// through `from`: another member's own sessions are not for it to judge.
    /// Source: `LeaderSessionTracker.java` checkSession.
    pub(super) fn check(&self, session: SessionId, from: ServerId, me: ServerId) -> SessionCheck {
        let made_here = session.0 >> 56 == me.0;
        let lives = if from == me {
            self.tracker.contains(session)
        } else {
            !made_here
        };
        if lives {
            SessionCheck::Local
        } else {
            SessionCheck::Expired
        }
    }

    /// Keeps what was heard: true, and so no more, where the session is ours.
    fn hear(&mut self, session: SessionId, timeout_ms: i32, now_ms: i64) {
        if !self.tracker.touch(session, timeout_ms, now_ms) {
            self.heard.insert(session, timeout_ms);
        }
    }
}

/// Whether a request would make a node that lives by its session.
/// Source: `QuorumZooKeeperServer.java` checkUpgradeSession.
fn wants_ephemeral(op: OpCode, body: &[u8]) -> bool {
    let is_ephemeral = |create: &CreateRequest| {
        CreateMode::from_flags(create.flags).is_some_and(CreateMode::is_ephemeral)
    };
    match op {
        OpCode::CREATE | OpCode::CREATE2 => {
            CreateRequest::from_slice(body).is_ok_and(|create| is_ephemeral(&create))
        }
        OpCode::MULTI => MultiRequest::from_slice(body).is_ok_and(|multi| {
            multi.ops.iter().any(|part| match part {
                WriteOp::Create(_, create) => is_ephemeral(create),
                _ => false,
            })
        }),
        _ => false,
    }
}

impl Engine {
    /// Does what concerns sessions of our own; gives back what is for the ensemble.
    pub(super) fn submit_local(
        &mut self,
        request: WriteRequest,
    ) -> Result<Option<WriteRequest>, NodeError> {
        let now_ms = self.sessions.now_ms();
        let decides = self.decides();
        let Some(local) = &mut self.sessions.local else {
            return Ok(Some(request));
        };
        let Request {
            session, xid, op, ..
        } = request.request;
        let body = &request.request.body;
        match op {
            OpCode::CREATE_SESSION => {
                let Ok(timeout_ms) = Reader::new(body).int() else {
                    return Ok(Some(request));
                };
                local.tracker.add(session, timeout_ms, now_ms);
                self.count_local_sessions();
                self.service.revalidated(request.conn, session, true);
                Ok(None)
            }
            _ if !local.tracker.contains(session) => Ok(Some(request)),
            OpCode::CLOSE_SESSION => {
                local.tracker.remove(session);
                self.count_local_sessions();
                self.answer_here(request.conn, xid, ErrorCode::OK)
            }
            _ if !wants_ephemeral(op, body) => Ok(Some(request)),
            _ if local.may_upgrade => {
                let timeout_ms = local.tracker.timeout_ms(session).unwrap_or(0);
                local.tracker.remove(session);
                self.count_local_sessions();
                info!(%session, "a local session becomes the ensemble's");
                self.pass_on(&Request {
                    session,
                    xid: Xid(0),
                    op: OpCode::CREATE_SESSION,
                    body: Bytes::copy_from_slice(&timeout_ms.to_be_bytes()),
                    auth: Arc::from([]),
                })?;
                Ok(Some(request))
            }
            // What a leader refuses is a transaction like any other. A multi is refused by it part
            // by part, wherever it came from.
            _ if decides || op == OpCode::MULTI => Ok(Some(request)),
            // A leader would say that the session has expired, for it does not know it.
            _ => self.answer_here(request.conn, xid, ErrorCode::EPHEMERAL_ON_LOCAL_SESSION),
        }
    }

    fn answer_here(
        &self,
        conn: ConnId,
        xid: Xid,
        err: ErrorCode,
    ) -> Result<Option<WriteRequest>, NodeError> {
        self.service.answer_here(conn, xid, err);
        Ok(None)
    }

    /// The sessions of the ensemble that were heard from, our own ones kept back.
    pub(super) fn drain_heard(&mut self) -> Vec<(SessionId, i32)> {
        let mut touched = self.service.drain_touched();
        touched.extend(self.drain_relayed());
        let now_ms = self.sessions.now_ms();
        let Some(local) = &mut self.sessions.local else {
            return touched;
        };
        for (session, timeout_ms) in touched {
            local.hear(session, timeout_ms, now_ms);
        }
        local.heard.drain().collect()
    }

    /// Ends our own sessions that were silent for too long. Nobody else has to hear of it.
    pub(super) fn tend_local_sessions(&mut self) {
        if self.sessions.local.is_none() || !self.serving {
            return;
        }
        let heard = self.drain_heard();
        let now_ms = self.sessions.now_ms();
        let Some(local) = &mut self.sessions.local else {
            return;
        };
        local.heard.extend(heard);
        for session in local.tracker.expired(now_ms) {
            debug!(%session, "a local session expired");
            local.tracker.remove(session);
            self.service.close_session_connections(session);
        }
        self.count_local_sessions();
    }

    /// Told before the client is, so that nobody reads of a session and does not find it counted.
    fn count_local_sessions(&self) {
        if let Some(local) = &self.sessions.local {
            self.service.set_local_session_count(local.tracker.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Record;

    fn create(flags: i32) -> CreateRequest {
        CreateRequest {
            path: "/a".to_owned(),
            data: None,
            acl: Vec::new(),
            flags,
        }
    }

    #[test]
    fn only_what_makes_an_ephemeral_node_asks_for_a_session_of_the_ensemble() {
        for (flags, expected) in [(0, false), (1, true), (2, false), (3, true), (9, false)] {
            let body = create(flags).to_vec();
            assert_eq!(wants_ephemeral(OpCode::CREATE2, &body), expected, "{flags}");
        }
        let multi = |flags| {
            let ops = vec![
                WriteOp::Create(OpCode::CREATE, create(0)),
                WriteOp::Create(OpCode::CREATE, create(flags)),
            ];
            MultiRequest { ops }.to_vec()
        };
        assert!(!wants_ephemeral(OpCode::MULTI, &multi(2)));
        assert!(wants_ephemeral(OpCode::MULTI, &multi(3)));
        assert!(!wants_ephemeral(OpCode::MULTI, b"nothing"));
        assert!(!wants_ephemeral(OpCode::SET_DATA, &create(1).to_vec()));
    }

    #[test]
    fn a_leader_judges_its_own_local_sessions_only() {
        let mut local = LocalSessions {
            tick_ms: 1000,
            may_upgrade: false,
            tracker: SessionTracker::new(1000),
            heard: HashMap::new(),
        };
        let (me, other) = (ServerId(1), ServerId(2));
        let (mine, theirs) = (SessionId(1 << 56 | 7), SessionId(2 << 56 | 7));
        local.tracker.add(mine, 4000, 0);
        assert_eq!(local.check(mine, me, me), SessionCheck::Local);
        assert_eq!(local.check(theirs, other, me), SessionCheck::Local);
        assert_eq!(local.check(theirs, me, me), SessionCheck::Expired);
        assert_eq!(local.check(mine, other, me), SessionCheck::Expired);
        local.remove(mine);
        assert_eq!(local.check(mine, me, me), SessionCheck::Expired);
    }
}
