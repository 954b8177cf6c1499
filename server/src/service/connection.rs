//! A client's connection as the rest of the server sees it: what it waits for, and the one buffer
//! that all its replies and events go into.

use super::arrivals::Arrivals;
use super::stats::Latency;
use crate::auth::digest_md5::Exchange;
use crate::ids::{ConnId, SessionId, Xid, Zxid};
use crate::jute::Writer;
use crate::proto::reply::{Frame, NOTIFICATION_XID};
use crate::proto::{ErrorCode, Id, OpCode};
use crate::tree::WatchEvent;
use atomic_waker::AtomicWaker;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

/// Identities that one connection may prove. Java has no bound, and so gives a client all memory.
pub(crate) const IDENTITIES_MAX: usize = 1024;

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client went away.
    ClientGone,
    /// The client closed its session.
    SessionClosed,
    /// The session is no more: expired, or never was.
    SessionExpired,
    /// The session goes on at another connection.
    SessionMoved,
    /// Nothing was heard for a session's timeout, or the handshake took too long.
    Silent,
    /// What came was not the protocol.
    BadPacket,
    /// Credentials were refused.
    AuthFailed,
    /// The server does not serve.
    NotServing,
    /// The client has seen more than this server.
    ZxidAhead,
    /// The client takes too long to take its replies.
    SlowReader,
    /// A four-letter word was answered.
    Answered,
    /// A large request while those under way are as large as all may be.
    TooLarge,
    /// Too many connections.
    TooMany,
    /// Too many sessions in a time.
    RateLimited,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No packet has come.
    New,
    /// Its session is being made or checked; nothing is read from it meanwhile.
    Opening,
    /// Requests are served.
    Open,
    /// Nothing more is served; what is in the buffer is sent if the flush is wanted.
    Closed,
}

/// A request that waits for its turn.
#[derive(Debug)]
pub(crate) enum Queued {
    /// A change on its way through the ensemble, or a sync.
    Write {
        xid: Xid,
        op: OpCode,
        at: Instant,
        /// The path to give back (sync).
        echo: Option<Bytes>,
        /// Bytes of the request's body, held here or by the ensemble.
        len_bytes: usize,
        /// What is to be said once its turn has come, where the ensemble is not asked.
        known: Option<ErrorCode>,
    },
    /// A read behind it.
    Read {
        xid: Xid,
        op: OpCode,
        body: Bytes,
        at: Instant,
    },
}

impl Queued {
    /// Bytes of the request's body.
    pub(crate) fn len_bytes(&self) -> usize {
        match self {
            Queued::Write { len_bytes, .. } => *len_bytes,
            Queued::Read { body, .. } => body.len(),
        }
    }
}

/// Whether what stands first in a queue waits for nobody.
pub(crate) fn is_ready(first: Option<&Queued>) -> bool {
    match first {
        Some(Queued::Read { .. }) => true,
        Some(Queued::Write { known, .. }) => known.is_some(),
        None => false,
    }
}

/// The part that changes, under the connection's lock.
#[derive(Debug)]
pub(crate) struct ConnState {
    pub(crate) phase: Phase,
    /// Replies and events in the order they have to be sent.
    pub(crate) out: Writer,
    /// Packets in `out`.
    pub(crate) out_packets: u64,
    /// In the client's order; only [`ConnState::enqueue`] and [`ConnState::dequeue`] change it.
    pub(crate) queue: VecDeque<Queued>,
    /// Bytes of the bodies in `queue`.
    pub(crate) queued_bytes: usize,
    /// When the bytes came that the request throttler keeps waiting.
    pub(crate) arrivals: Arrivals,
    /// The newest position that the client has been told. A ping's reply must not be older: some
    /// clients take the last one they read for what they have seen.
    pub(crate) newest_zxid: Zxid,
    pub(crate) session: SessionId,
    pub(crate) timeout_ms: i32,
    /// Whether the client knows of read-only servers, and so is told.
    pub(crate) says_read_only: bool,
    pub(crate) auth: Arc<[Id]>,
    /// The login by SASL that has begun.
    pub(crate) sasl: Option<Box<Exchange>>,
    pub(crate) close: Option<CloseReason>,
    /// Bytes the socket has not taken yet, besides `out`.
    pub(crate) sending: usize,
    /// On the list of those to wake at the end of the batch.
    pub(crate) touched_by_batch: bool,
    pub(crate) info: ConnInfo,
}

/// Figures of a connection for `cons` and `stat`.
#[derive(Debug, Clone)]
pub(crate) struct ConnInfo {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) latency: Latency,
    pub(crate) last_op: &'static str,
    pub(crate) last_cxid: i64,
    pub(crate) last_zxid: Zxid,
    pub(crate) last_latency_ms: u64,
    pub(crate) last_response: Option<SystemTime>,
}

impl Default for ConnInfo {
    fn default() -> Self {
        ConnInfo {
            received: 0,
            sent: 0,
            latency: Latency::default(),
            last_op: "NA",
            last_cxid: -1,
            last_zxid: Zxid(-1),
            last_latency_ms: 0,
            last_response: None,
        }
    }
}

/// A connection. Its task owns the socket; everyone else appends to `state.out` and wakes it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) peer: SocketAddr,
    pub(crate) established: SystemTime,
    pub(crate) state: Mutex<ConnState>,
    pub(crate) waker: AtomicWaker,
    /// There is something to send, to serve or to close.
    pub(crate) signalled: AtomicBool,
    /// Heard from since [`super::Service::drain_touched`] last asked.
    pub(crate) heard: AtomicBool,
    /// On the list of those that the throttle wakes when there is room.
    pub(crate) waits_for_room: AtomicBool,
}

impl Connection {
    pub(crate) fn new(id: ConnId, peer: SocketAddr) -> Self {
        Connection {
            id,
            peer,
            established: SystemTime::now(),
            state: Mutex::new(ConnState {
                phase: Phase::New,
                out: Writer::new(),
                out_packets: 0,
                queue: VecDeque::new(),
                queued_bytes: 0,
                arrivals: Arrivals::default(),
                newest_zxid: Zxid::ZERO,
                session: SessionId(0),
                timeout_ms: 0,
                says_read_only: false,
                auth: Arc::from([Id::new("ip", super::auth::host_address(peer.ip()))]),
                sasl: None,
                close: None,
                sending: 0,
                touched_by_batch: false,
                info: ConnInfo::default(),
            }),
            waker: AtomicWaker::new(),
            signalled: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            waits_for_room: AtomicBool::new(false),
        }
    }

    /// Whether a read stands first in the queue: what it waited for has come.
    pub(crate) fn has_ready_reads(&self) -> bool {
        is_ready(self.state.lock().queue.front())
    }

    /// Has the connection's task look again.
    pub(crate) fn wake(&self) {
        self.signalled
            .store(true, std::sync::atomic::Ordering::Release);
        self.waker.wake();
    }

    /// Closes it without a word more than is in the buffer.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.state.lock().close(reason);
        self.wake();
    }
}

impl ConnState {
    /// Ends the connection once what stands in `out` is sent. The first reason stays.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.close = Some(reason);
        }
    }

    pub(crate) fn enqueue(&mut self, queued: Queued) {
        self.queued_bytes += queued.len_bytes();
        self.queue.push_back(queued);
    }

    /// Takes the request at the front, for whoever says that it is done with.
    pub(crate) fn dequeue(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.len_bytes();
        Some(queued)
    }

    /// Requests under way.
    pub(crate) fn outstanding(&self) -> usize {
        self.queue.len()
    }

    /// Appends a watch event: type, the state `SyncConnected` (3), path.
    pub(crate) fn event(&mut self, event: &WatchEvent) {
        let frame = Frame::reply(&mut self.out, NOTIFICATION_XID, event.zxid, ErrorCode::OK);
        self.out.int(event.kind as i32);
        self.out.int(3);
        self.out.string(&event.path);
        frame.end(&mut self.out);
        self.out_packets += 1;
        self.newest_zxid = self.newest_zxid.max(event.zxid);
    }

    /// Bytes that wait for the client.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.out.len() + self.sending
    }

    /// Whether more gathers than may. What is being sent does not count: one reply of any size is
    /// on its way then, and whoever takes it slowly still takes it.
    pub(crate) fn takes_too_little(&self, bytes_max: usize) -> bool {
        self.out.len() > bytes_max
    }
}
