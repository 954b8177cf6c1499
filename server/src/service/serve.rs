//! Requests of one connection, as many at a time as one read of its socket brought.

use super::connection::{CloseReason, ConnState, Connection, Phase, Queued, is_ready};
use super::incoming::{
    Class, NextFrame, asks_the_tree, class, class_of, is_throttlable, next_frame, parse, short_name,
};
use super::reads::{Reads, Refusal, WatchAccess};
use super::stats::Latency;
use super::status::Serving;
use super::{Service, WriteRequest};
use crate::ids::{Xid, Zxid};
use crate::proto::reply::{FRAME_PREFIX, Frame, PING_XID, write_bare_reply};
use crate::proto::{ErrorCode, OpCode};
use crate::tree::{Database, WatchEvent};
use crate::txn::Request;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// Output that waits before more requests of the connection are served. A reply may go past it,
/// since its size is known only once it is written.
const OUTPUT_HIGH_WATER: usize = 256 << 10;

/// What one look at a connection's input came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Bytes of the input that are done with.
    pub(crate) consumed: usize,
    /// Whole requests may be left, held back by a bound: don't read more from the socket.
    pub(crate) held_back: bool,
    /// They wait at the request throttler, and it matters when they came.
    pub(crate) waits: bool,
}

impl Service {
    /// Serves what waits and what `input` holds, as far as the bounds let it.
    pub(crate) fn serve(
        &self,
        connection: &Arc<Connection>,
        input: &[u8],
        writes: &mut Vec<WriteRequest>,
    ) -> Served {
        let serving = self.serving();
        let read_only = serving == Some(Serving::ReadOnly);
        let now = Instant::now();
        let max = self.settings.jute_max_buffer;
        let auth = &self.settings.auth;
        let wants_tree = connection.has_ready_reads() || asks_the_tree(input, max, read_only);
        // The lock on the database comes before the connection's, so it is decided beforehand.
        let db = wants_tree.then(|| self.database.read());
        let mut watches = WatchAccess::Free(&self.watches);
        let mut state = connection.state.lock();
        let mut batch = Batch {
            service: self,
            connection,
            state: &mut state,
            latency: Latency::default(),
            received: 0,
            now,
            events: Vec::new(),
        };
        let mut served = Served {
            consumed: 0,
            held_back: false,
            waits: false,
        };
        if let Some(db) = &db {
            batch.ready_reads(db, &mut watches, OUTPUT_HIGH_WATER);
        }
        while batch.state.phase == Phase::Open {
            let frame = match next_frame(&input[served.consumed..], max) {
                NextFrame::Incomplete => {
                    batch.look_ahead(&input[served.consumed..]);
                    break;
                }
                NextFrame::BadLength(len) => {
                    tracing::warn!(peer = %connection.peer, len, jute.maxbuffer = max,
                        "closing a client's connection: a request of that length makes no sense or is too long");
                    batch.state.close(CloseReason::BadPacket);
                    break;
                }
                NextFrame::Whole(frame) => frame,
            };
            let Some((xid, op, body)) = parse(frame) else {
                batch.state.close(CloseReason::BadPacket);
                break;
            };
            if batch.held_back() || batch.waits_for_room(op) {
                served.held_back = true;
                break;
            }
            let len = FRAME_PREFIX + frame.len();
            served.consumed += len;
            batch.received += 1;
            let class = class_of(op, body, read_only);
            if class != Class::Auth && !batch.state.is_authenticated(auth) {
                batch.state.refuse_unauthenticated(connection, xid);
                break;
            }
            let waited = batch.state.arrivals.take(now, len);
            if class != Class::Auth && self.throttle.is_late(waited) && is_throttlable(op) {
                batch.refuse_late(xid, op);
                continue;
            }
            match class {
                Class::Read if op == OpCode::PING && batch.state.queue.is_empty() => {
                    batch.ping();
                }
                Class::Read if batch.state.queue.is_empty() => {
                    let Some(db) = &db else {
                        // What was ahead of it came to its end just now: look again with the tree.
                        batch.received -= 1;
                        served.consumed -= len;
                        served.held_back = true;
                        connection.wake();
                        break;
                    };
                    batch.read(db, &mut watches, xid, op, body, now);
                }
                Class::Read if self.throttle.take(body.len()) => {
                    batch.state.enqueue(Queued::Read {
                        xid,
                        op,
                        body: Bytes::copy_from_slice(body),
                        at: now,
                    })
                }
                Class::Read => batch.refuse_large(body.len()),
                Class::Write => batch.write(serving, xid, op, body, writes),
                Class::Auth if op == OpCode::SASL => batch.state.sasl(auth, connection, xid, body),
                Class::Auth => batch.state.authenticate(auth, connection, xid, body),
                Class::Unknown => {
                    write_bare_reply(
                        &mut batch.state.out,
                        xid,
                        Zxid(-1),
                        ErrorCode::UNIMPLEMENTED,
                    );
                    batch.state.out_packets += 1;
                    batch.state.close(CloseReason::BadPacket);
                }
            }
        }
        if self.throttle.times_requests() && connection.waits_for_room.load(Ordering::Acquire) {
            let waiting = input.len() - served.consumed;
            batch.state.arrivals.wait(now, waiting);
            served.waits = served.held_back;
        }
        // Reads that a full buffer keeps waiting are looked at again once some of it is sent.
        served.held_back |= is_ready(batch.state.queue.front());
        if batch.received > 0 {
            connection.heard.store(true, Ordering::Relaxed);
        }
        batch.finish();
        served
    }

    /// The reads that wait at the front of the connection's queue, answered before a change of the
    /// same session is applied: they must not see it.
    pub(super) fn answer_ready_reads(
        &self,
        connection: &Arc<Connection>,
        state: &mut ConnState,
        db: &Database,
        watches: &mut WatchAccess<'_>,
    ) {
        if !is_ready(state.queue.front()) {
            return;
        }
        let mut batch = Batch {
            service: self,
            connection,
            state,
            latency: Latency::default(),
            received: 0,
            now: Instant::now(),
            events: Vec::new(),
        };
        let bytes_max = self.settings.output_bytes_max;
        batch.ready_reads(db, watches, bytes_max);
        batch.finish();
        if state.phase == Phase::Open && is_ready(state.queue.front()) {
            tracing::warn!(peer = %connection.peer, session = %state.session, bytes_max,
                "closing a client's connection: it asks for more than it takes");
            state.close(CloseReason::SlowReader);
        }
    }
}

/// Requests served during one hold of the connection's lock.
struct Batch<'a> {
    service: &'a Service,
    connection: &'a Arc<Connection>,
    state: &'a mut ConnState,
    latency: Latency,
    received: u64,
    now: Instant,
    events: Vec<WatchEvent>,
}

impl Batch<'_> {
    /// Whether a bound says that the connection has enough under way.
    fn held_back(&self) -> bool {
        let Service {
            settings, stats, ..
        } = self.service;
        let mine = self.state.outstanding();
        if self.state.waiting_bytes() >= OUTPUT_HIGH_WATER
            || mine >= settings.connection_outstanding_limit
            || self.state.queued_bytes >= settings.connection_outstanding_bytes
        {
            return true;
        }
        // Source: ZooKeeperServer.java shouldThrottle: one request under way is always granted.
        mine > 0 && stats.outstanding() > i64::from(settings.global_outstanding_limit)
    }

    /// Whether a change has to wait until others are done.
    fn waits_for_room(&self, op: OpCode) -> bool {
        let Service {
            stats, throttle, ..
        } = self.service;
        // Closing a session only ever makes room.
        if class(op) != Class::Write || op == OpCode::CLOSE_SESSION {
            return false;
        }
        let let_in = throttle.lets_in(self.connection, stats.outstanding());
        if !let_in {
            // Room that came before this connection stood on the list has woken nobody.
            throttle.wake(stats.outstanding());
        }
        !let_in
    }

    /// Refuses a request that has waited for too long to be carried out, in its turn.
    fn refuse_late(&mut self, xid: Xid, op: OpCode) {
        let state = &mut *self.state;
        if state.queue.is_empty() {
            let zxid = self.service.applied().max(state.newest_zxid);
            self.say(zxid, xid, op, ErrorCode::THROTTLED_OP, self.now);
            return;
        }
        state.enqueue(Queued::Write {
            known: Some(ErrorCode::THROTTLED_OP),
            xid,
            op,
            at: self.now,
            len_bytes: 0,
            echo: None,
        });
        self.service.stats.under_way(1);
    }

    /// Looks at the length of a request that has not come whole: one for which there is no room
    /// is not waited for.
    fn look_ahead(&mut self, input: &[u8]) {
        if let Some((prefix, _)) = input.split_first_chunk::<FRAME_PREFIX>()
            && let Ok(len) = usize::try_from(i32::from_be_bytes(*prefix))
            && !self.service.throttle.has_room(len)
        {
            self.refuse_large(len);
        }
    }

    /// Closes the connection: its request is large, and others that are under way already are as
    /// large as all may be. Source: `ZooKeeperServer.java` checkRequestSizeWhenReceivingMessage.
    fn refuse_large(&mut self, len_bytes: usize) {
        tracing::warn!(peer = %self.connection.peer, len = len_bytes,
            "closing a client's connection: large requests under way exceed largeRequestMaxBytes");
        self.state.close(CloseReason::TooLarge);
    }

    /// Answers reads at the front of the queue while less than `bytes_max` wait for the client.
    fn ready_reads(&mut self, db: &Database, watches: &mut WatchAccess<'_>, bytes_max: usize) {
        while self.state.phase == Phase::Open
            && self.state.waiting_bytes() < bytes_max
            && is_ready(self.state.queue.front())
            && let Some(queued) = self.state.dequeue()
        {
            match &queued {
                Queued::Read { xid, op, body, at } => {
                    self.read(db, watches, *xid, *op, body, *at);
                }
                Queued::Write {
                    xid, op, at, known, ..
                } => {
                    let err = known.unwrap_or(ErrorCode::OK);
                    self.known(db, *xid, *op, err, *at);
                }
            }
            self.service.done_with(&[queued]);
        }
    }

    fn read(
        &mut self,
        db: &Database,
        watches: &mut WatchAccess<'_>,
        xid: Xid,
        op: OpCode,
        body: &[u8],
        at: Instant,
    ) {
        let zxid = db.last_processed();
        let state = &mut *self.state;
        // Whatever number a ping has, its reply has the usual one.
        // Source: FinalRequestProcessor.java processRequest.
        let xid = if op == OpCode::PING { PING_XID } else { xid };
        let mut reads = Reads {
            db,
            watches,
            conn: self.connection.id,
            session: state.session,
            auth: &state.auth,
            skip_acl: self.service.settings.skip_acl,
        };
        let frame = Frame::reply(&mut state.out, xid, zxid, ErrorCode::OK);
        match reads.answer(op, body, &mut state.out, &mut self.events) {
            Ok(()) if self.events.is_empty() => frame.end(&mut state.out),
            Ok(()) => {
                // What the client missed goes out before the reply that ends its waiting. Only
                // setWatches does this, whose reply has no body.
                frame.abandon(&mut state.out);
                for event in self.events.drain(..) {
                    state.event(&event);
                }
                write_bare_reply(&mut state.out, xid, zxid, ErrorCode::OK);
            }
            Err(Refusal::WithBody(err)) => frame.end_with_error(&mut state.out, err),
            Err(Refusal::Bare(err)) => {
                frame.abandon(&mut state.out);
                for event in self.events.drain(..) {
                    state.event(&event);
                }
                write_bare_reply(&mut state.out, xid, zxid, err);
            }
        }
        state.out_packets += 1;
        self.latency.add(1, self.now.duration_since(at));
        state.info.last_op = short_name(op);
        state.info.last_cxid = i64::from(xid.0);
        state.info.last_zxid = zxid;
        state.newest_zxid = state.newest_zxid.max(zxid);
    }

    /// Answers a ping without a look at the tree, which thousands of changes may keep locked.
    fn ping(&mut self) {
        // Whatever its own number, the reply has the usual one.
        // Source: FinalRequestProcessor.java processRequest.
        let xid = PING_XID;
        let state = &mut *self.state;
        let zxid = self.service.applied().max(state.newest_zxid);
        write_bare_reply(&mut state.out, xid, zxid, ErrorCode::OK);
        state.out_packets += 1;
        self.latency.add(1, Duration::ZERO);
        state.info.last_op = short_name(OpCode::PING);
        state.info.last_cxid = i64::from(xid.0);
        state.info.last_zxid = zxid;
        state.newest_zxid = zxid;
    }

    /// Says what was known beforehand.
    fn known(&mut self, db: &Database, xid: Xid, op: OpCode, err: ErrorCode, at: Instant) {
        self.say(db.last_processed(), xid, op, err, at);
        if op == OpCode::CLOSE_SESSION {
            self.state.close(CloseReason::SessionClosed);
        }
    }

    fn say(&mut self, zxid: Zxid, xid: Xid, op: OpCode, err: ErrorCode, at: Instant) {
        let state = &mut *self.state;
        write_bare_reply(&mut state.out, xid, zxid, err);
        state.out_packets += 1;
        state.newest_zxid = state.newest_zxid.max(zxid);
        self.latency.add(1, self.now.duration_since(at));
        state.info.last_op = short_name(op);
        state.info.last_cxid = i64::from(xid.0);
        state.info.last_zxid = zxid;
    }

    fn write(
        &mut self,
        serving: Option<Serving>,
        xid: Xid,
        op: OpCode,
        body: &[u8],
        writes: &mut Vec<WriteRequest>,
    ) {
        if serving == Some(Serving::ReadOnly) {
            let state = &mut *self.state;
            // Nothing is ever queued on a read-only server, so the reply is in order.
            let zxid = Zxid(state.info.last_zxid.0.max(0));
            state.out_packets += 1;
            if op == OpCode::CLOSE_SESSION {
                write_bare_reply(&mut state.out, xid, zxid, ErrorCode::OK);
                state.close(CloseReason::SessionClosed);
            } else {
                write_bare_reply(&mut state.out, xid, zxid, ErrorCode::NOT_READ_ONLY);
            }
            return;
        }
        if !self.service.throttle.take(body.len()) {
            self.refuse_large(body.len());
            return;
        }
        let state = &mut *self.state;
        let body = Bytes::copy_from_slice(body);
        state.enqueue(Queued::Write {
            known: None,
            xid,
            op,
            at: self.now,
            len_bytes: body.len(),
            echo: (op == OpCode::SYNC).then(|| body.clone()),
        });
        self.service.stats.under_way(1);
        writes.push(WriteRequest {
            conn: self.connection.id,
            request: Request {
                session: state.session,
                xid,
                op,
                body,
                auth: Arc::clone(&state.auth),
            },
        });
    }

    fn finish(self) {
        let Batch {
            service,
            state,
            latency,
            received,
            ..
        } = self;
        state.info.received += received;
        if received > 0 {
            service.stats.received(received);
        }
        state.note_answered(&latency);
        service.stats.answered(&latency);
    }
}

impl ConnState {
    pub(super) fn note_answered(&mut self, batch: &Latency) {
        if batch.count == 0 {
            return;
        }
        let info = &mut self.info;
        info.latency.min_ms = if info.latency.count == 0 {
            batch.min_ms
        } else {
            info.latency.min_ms.min(batch.min_ms)
        };
        info.latency.max_ms = info.latency.max_ms.max(batch.max_ms);
        info.latency.count += batch.count;
        info.latency.total_ms += batch.total_ms;
        info.last_latency_ms = batch.max_ms;
        info.last_response = Some(SystemTime::now());
    }
}
