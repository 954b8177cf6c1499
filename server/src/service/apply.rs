//! Committed changes: into the tree, and their replies and events out to whoever waits here.

use super::Service;
use super::connection::{CloseReason, ConnState, Connection, Phase, Queued};
use super::incoming::short_name;
use super::reads::WatchAccess;
use super::registry::Registry;
use super::stats::Latency;
use crate::ids::{ConnId, Xid};
use crate::jute::Reader;
use crate::proto::reply::{Frame, write_bare_reply};
use crate::proto::{OpCode, Perms};
use crate::tree::{Applied, Fired, acl, write_reply};
use crate::txn::TxnEntry;
use std::sync::Arc;
use std::time::Instant;

/// Transactions applied while the locks are held once.
const APPLIED_AT_ONCE: usize = 64;

impl Service {
    /// Applies committed transactions in their order. Replies to this server's clients and the
    /// events of their watches are in the connections' buffers before any later read is answered.
    pub fn apply(&self, batch: &[TxnEntry]) {
        if batch.is_empty() {
            return;
        }
        let mut wake: Vec<Arc<Connection>> = Vec::new();
        let mut fired: Vec<Fired> = Vec::new();
        // Thousands of sessions may end in one batch. Between the pieces others get the locks.
        for piece in batch.chunks(APPLIED_AT_ONCE) {
            self.apply_piece(piece, &mut fired, &mut wake);
            for connection in wake.drain(..) {
                connection.state.lock().touched_by_batch = false;
                connection.wake();
            }
        }
    }

    fn apply_piece(
        &self,
        piece: &[TxnEntry],
        fired: &mut Vec<Fired>,
        wake: &mut Vec<Arc<Connection>>,
    ) {
        let mut db = self.database.write();
        let mut watches = WatchAccess::Locked(self.watches.lock());
        let registry = self.registry.lock();
        let now = Instant::now();
        for entry in piece {
            let asker = registry.by_session(entry.header.client_id);
            if let Some(connection) = asker {
                let mut state = connection.state.lock();
                self.answer_ready_reads(connection, &mut state, &db, &mut watches);
            }
            let applied = db.apply(entry, fired, watches.get());
            for fired in fired.drain(..) {
                self.deliver(&registry, &fired, wake);
            }
            if let Some(connection) = asker {
                self.reply(connection, entry, &applied, now, wake);
            }
        }
        self.note_applied(&db);
    }

    fn deliver(&self, registry: &Registry, fired: &Fired, wake: &mut Vec<Arc<Connection>>) {
        let Some(connection) = registry.get(fired.conn) else {
            return;
        };
        let mut state = connection.state.lock();
        if state.phase != Phase::Open {
            return;
        }
        let visible = self.settings.skip_acl
            || fired
                .acl
                .as_deref()
                .is_none_or(|list| acl::allows(list, Perms::READ, &state.auth));
        if !visible {
            return;
        }
        state.event(&fired.event);
        if state.takes_too_little(self.settings.output_bytes_max) {
            tracing::warn!(peer = %connection.peer, session = %state.session,
                bytes = state.waiting_bytes(),
                "closing a client's connection: it does not take its events");
            state.close(CloseReason::SlowReader);
        }
        note_touched(connection, &mut state, wake);
    }

    /// Answers the request that became `entry`, where it is the one this connection waits for.
    fn reply(
        &self,
        connection: &Arc<Connection>,
        entry: &TxnEntry,
        applied: &Applied,
        now: Instant,
        wake: &mut Vec<Arc<Connection>>,
    ) {
        let mut state = connection.state.lock();
        let header = &entry.header;
        if state.phase == Phase::Opening && header.op == OpCode::CREATE_SESSION {
            self.open_session(connection, &mut state);
            note_touched(connection, &mut state, wake);
            return;
        }
        if header.op == OpCode::CREATE_SESSION {
            // A local session has become the ensemble's; nobody waits for that.
            return;
        }
        let Some(write) = state.take_write(header.cxid) else {
            // Not asked for here: another member's, an older connection's, or the leader's own
            // word that the session's time has run out.
            if header.op == OpCode::CLOSE_SESSION {
                state.close(CloseReason::SessionExpired);
                note_touched(connection, &mut state, wake);
            }
            return;
        };
        let (op, at) = self.done_with_write(write);
        note_touched(connection, &mut state, wake);
        if state.phase != Phase::Open {
            return;
        }
        let mut latency = Latency::default();
        latency.add(1, now.duration_since(at));
        self.stats.answered(&latency);
        state.note_answered(&latency);
        state.info.last_op = short_name(op);
        state.info.last_cxid = i64::from(header.cxid.0);
        state.info.last_zxid = header.zxid;
        state.newest_zxid = state.newest_zxid.max(header.zxid);
        if applied.session_moved() {
            // Source: FinalRequestProcessor.java SessionMovedException, ZOOKEEPER-710.
            state.close(CloseReason::SessionMoved);
            return;
        }
        let out = &mut state.out;
        let frame = Frame::reply(out, header.cxid, header.zxid, applied.err);
        write_reply(op, applied, out);
        frame.end(out);
        state.out_packets += 1;
        if op == OpCode::CLOSE_SESSION {
            state.close(CloseReason::SessionClosed);
        }
    }

    /// Counts a change that is done with; what it asked for and since when.
    fn done_with_write(&self, write: Queued) -> (OpCode, Instant) {
        let what = match &write {
            Queued::Write { op, at, .. } | Queued::Read { op, at, .. } => (*op, *at),
        };
        self.done_with(&[write]);
        what
    }

    pub(super) fn finish_here(&self, conn: ConnId, xid: Xid, err: crate::proto::ErrorCode) {
        let connection = self.registry.lock().get(conn).cloned();
        let Some(connection) = connection else {
            return;
        };
        {
            let mut state = connection.state.lock();
            let waits = state.queue.iter_mut().find(
                |queued| matches!(queued, Queued::Write { xid: waiting, .. } if *waiting == xid),
            );
            let Some(waits) = waits else {
                return;
            };
            if let Queued::Write { known, .. } = waits {
                *known = Some(err);
            }
        }
        connection.wake();
    }

    pub(super) fn finish_sync(&self, conn: ConnId, xid: Xid) {
        let db = self.database.read();
        let connection = {
            let registry = self.registry.lock();
            registry.get(conn).cloned()
        };
        let Some(connection) = connection else {
            return;
        };
        let mut watches = WatchAccess::Free(&self.watches);
        let mut state = connection.state.lock();
        self.answer_ready_reads(&connection, &mut state, &db, &mut watches);
        let path = match state.queue.front() {
            Some(Queued::Write { op, echo, .. }) if *op == OpCode::SYNC => echo.clone(),
            _ => return,
        };
        let Some(write) = state.take_write(xid) else {
            return;
        };
        let (op, at) = self.done_with_write(write);
        if state.phase == Phase::Open {
            let mut latency = Latency::default();
            latency.add(1, at.elapsed());
            self.stats.answered(&latency);
            state.note_answered(&latency);
            state.info.last_op = short_name(op);
            let zxid = db.last_processed();
            state.newest_zxid = state.newest_zxid.max(zxid);
            let body = path.unwrap_or_default();
            match Reader::new(&body).string_or_null() {
                Ok(path) => {
                    let frame =
                        Frame::reply(&mut state.out, xid, zxid, crate::proto::ErrorCode::OK);
                    state.out.string_or_null(path.as_deref());
                    frame.end(&mut state.out);
                }
                Err(_) => {
                    let err = crate::proto::ErrorCode::MARSHALLING_ERROR;
                    write_bare_reply(&mut state.out, xid, zxid, err);
                }
            }
            state.out_packets += 1;
        }
        drop(state);
        connection.wake();
    }
}

fn note_touched(
    connection: &Arc<Connection>,
    state: &mut ConnState,
    wake: &mut Vec<Arc<Connection>>,
) {
    if !state.touched_by_batch {
        state.touched_by_batch = true;
        wake.push(Arc::clone(connection));
    }
}

impl ConnState {
    /// Takes the write at the front of the queue, if its number is `xid`.
    fn take_write(&mut self, xid: Xid) -> Option<Queued> {
        match self.queue.front() {
            Some(Queued::Write { xid: first, .. }) if *first == xid => self.dequeue(),
            _ => None,
        }
    }
}
