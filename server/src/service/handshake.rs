//! How connections come, get their sessions, and go. Source: `ZooKeeperServer.java`
//! processConnectRequest, reopenSession and finishSessionInit.

use super::connection::{CloseReason, ConnState, Connection, Phase};
use super::status::Serving;
use super::{Service, WriteRequest};
use crate::ids::{ConnId, SessionId, Xid};
use crate::jute::{Reader, Record};
use crate::proto::OpCode;
use crate::proto::connect::{ConnectRequest, ConnectResponse};
use crate::proto::reply::Frame;
use crate::sessions::{password, password_matches};
use crate::txn::Request;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

impl Service {
    /// Takes in a connection, or says why not.
    ///
    /// # Errors
    /// [`CloseReason::TooMany`] where its address, or all together, have as many as they may.
    pub(crate) fn accept(&self, peer: SocketAddr) -> Result<Arc<Connection>, CloseReason> {
        let mut registry = self.registry.lock();
        let settings = &self.settings;
        if settings.max_cnxns > 0 && registry.len() >= settings.max_cnxns as usize {
            tracing::error!(%peer, maxCnxns = settings.max_cnxns, "too many connections");
            return Err(CloseReason::TooMany);
        }
        if settings.max_client_cnxns > 0
            && registry.count_of_address(peer.ip()) >= settings.max_client_cnxns
        {
            tracing::warn!(%peer, maxClientCnxns = settings.max_client_cnxns,
                "too many connections from one address");
            return Err(CloseReason::TooMany);
        }
        let connection = Arc::new(Connection::new(registry.next_id(), peer));
        registry.insert(Arc::clone(&connection));
        Ok(connection)
    }

    /// Forgets a connection whose task ends.
    pub(crate) fn forget(&self, connection: &Arc<Connection>) {
        let (session, queued) = {
            let mut state = connection.state.lock();
            state.close(CloseReason::ClientGone);
            state.queued_bytes = 0;
            (state.session, std::mem::take(&mut state.queue))
        };
        self.throttle.forget(connection);
        self.done_with(&Vec::from(queued));
        self.registry.lock().remove(connection, session);
        self.watches.lock().remove_all(connection.id);
    }

    /// Serves the connection's first packet.
    pub(crate) fn connect(&self, connection: &Arc<Connection>, packet: &[u8]) {
        match ConnectRequest::read(&mut Reader::new(packet)) {
            Ok(request) => self.open(connection, &request),
            Err(error) => {
                tracing::warn!(peer = %connection.peer, %error, "closing a connection: its first packet is no connect request");
                connection.close(CloseReason::BadPacket);
            }
        }
    }

    /// Takes what a session costs.
    fn has_token(&self, request: &ConnectRequest) -> bool {
        let now_ms = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let new = request.session.0 == 0;
        self.connection_throttle.lock().lets_in(new, now_ms)
    }

    fn open(&self, connection: &Arc<Connection>, request: &ConnectRequest) {
        let Some(serving) = self.serving() else {
            connection.close(CloseReason::NotServing);
            return;
        };
        // Source: ZooKeeperServer.java processConnectRequest asks it before all else.
        if self.settings.connection_throttle.tokens_max > 0 && !self.has_token(request) {
            tracing::debug!(peer = %connection.peer, "closing a connection: too many sessions in a time");
            connection.close(CloseReason::RateLimited);
            return;
        }
        let read_only = serving == Serving::ReadOnly;
        if read_only && request.read_only != Some(true) {
            connection.close(CloseReason::NotServing);
            return;
        }
        let (last_processed, known) = {
            let db = self.database.read();
            (
                db.last_processed(),
                db.sessions().contains_key(&request.session),
            )
        };
        if request.last_zxid_seen > last_processed {
            tracing::info!(peer = %connection.peer, seen = %request.last_zxid_seen, ours = %last_processed,
                "refusing a client that has seen more than this server; it has to try another");
            connection.close(CloseReason::ZxidAhead);
            return;
        }
        let timeout_ms = request
            .timeout_ms
            .max(self.settings.min_session_timeout_ms)
            .min(self.settings.max_session_timeout_ms);
        let new = request.session.0 == 0;
        let session = if new {
            self.new_session_id()
        } else {
            request.session
        };
        {
            let mut state = connection.state.lock();
            if state.phase != Phase::New {
                return;
            }
            state.phase = Phase::Opening;
            state.info.received += 1;
            state.session = session;
            state.timeout_ms = timeout_ms;
            state.says_read_only = request.read_only.is_some();
        }
        if !new && !password_matches(session, &request.passwd) {
            tracing::warn!(peer = %connection.peer, %session, "wrong password for a session");
            self.finish_revalidation(connection.id, session, false);
            return;
        }
        let older = {
            let mut registry = self.registry.lock();
            if registry.serving.is_none() {
                drop(registry);
                connection.close(CloseReason::NotServing);
                return;
            }
            registry.bind(session, connection)
        };
        if let Some(older) = older.filter(|older| older.id != connection.id) {
            older.close(CloseReason::SessionMoved);
        }
        if read_only {
            self.finish_revalidation(connection.id, session, new || known);
        } else if new {
            self.submit(WriteRequest {
                conn: connection.id,
                request: Request {
                    session,
                    xid: Xid(0),
                    op: OpCode::CREATE_SESSION,
                    body: Bytes::copy_from_slice(&timeout_ms.to_be_bytes()),
                    auth: Arc::from([]),
                },
            });
        } else if let Some(consensus) = self.consensus() {
            consensus.revalidate(connection.id, session, timeout_ms);
        } else {
            connection.close(CloseReason::NotServing);
        }
    }

    /// Gives a change to the ensemble.
    pub(crate) fn submit(&self, request: WriteRequest) {
        match self.consensus() {
            Some(consensus) => consensus.submit(request),
            None => tracing::debug!(conn = request.conn.0, "a change while there is no ensemble"),
        }
    }

    pub(super) fn finish_revalidation(&self, conn: ConnId, session: SessionId, valid: bool) {
        let connection = self.registry.lock().get(conn).cloned();
        let Some(connection) = connection else {
            return;
        };
        {
            let mut state = connection.state.lock();
            if state.phase != Phase::Opening || state.session != session {
                return;
            }
            if valid {
                self.open_session(&connection, &mut state);
            } else {
                self.refuse_session(&mut state);
            }
        }
        connection.wake();
    }

    /// Says that the session stands; from here on requests are served.
    pub(super) fn open_session(&self, connection: &Connection, state: &mut ConnState) {
        let read_only = self.serving() == Some(Serving::ReadOnly);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: state.timeout_ms,
            session: state.session,
            passwd: password(state.session),
            read_only: state.says_read_only.then_some(read_only),
        };
        state.phase = Phase::Open;
        state.info.last_op = "SESS";
        connection
            .heard
            .store(true, std::sync::atomic::Ordering::Relaxed);
        state.respond(&response);
    }

    fn refuse_session(&self, state: &mut ConnState) {
        let read_only = self.serving() == Some(Serving::ReadOnly);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: 0,
            session: SessionId(0),
            passwd: [0; 16],
            read_only: state.says_read_only.then_some(read_only),
        };
        state.respond(&response);
        state.close(CloseReason::SessionExpired);
    }
}

impl ConnState {
    fn respond(&mut self, response: &ConnectResponse) {
        let frame = Frame::begin(&mut self.out);
        response.write(&mut self.out);
        frame.end(&mut self.out);
        self.out_packets += 1;
    }
}
