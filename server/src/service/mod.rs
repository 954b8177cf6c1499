//! What clients are served: the database, the connections, and the way between them and the
//! ensemble.
//!
//! Reads are answered by each connection's own task under the database's read lock. Writes go to
//! [`Consensus`] and come back to every member through [`Service::apply`], which holds the write
//! lock once per batch. Replies and events are appended to the connection's one buffer while the
//! database is locked, so no client ever sees a state before the event that announces it.
//!
//! Locks are taken in this order and never the other way: database, watches, registry, connection.

mod apply;
mod arrivals;
mod auth;
mod connection;
mod connection_throttle;
mod handshake;
mod incoming;
mod maintenance;
mod reads;
mod registry;
mod serve;
mod settings;
mod stats;
mod status;
mod throttle;

pub(crate) use auth::identities;
pub use connection::CloseReason;
pub(crate) use connection::{Connection, Phase, Queued};
pub use connection_throttle::{ConnectionThrottleSettings, SessionWeights};
pub(crate) use incoming::{NextFrame, next_frame};
pub use maintenance::{DirectorySizes, Maintenance, RestoreError, TakenSnapshot};
pub(crate) use registry::Registry;
pub use settings::{AuthSettings, Settings, Whitelist};
pub use stats::{Latency, Stats};
pub use status::{LearnerStatus, MemberState, NodeStatus, Role, Serving};

use crate::ids::{ConnId, SessionId, Xid, Zxid};
use crate::tree::{Database, Watches};
use crate::txn::Request;
use connection_throttle::ConnectionThrottle;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::time::Instant;
use throttle::Throttle;

/// A change on its way to the leader: writes, sync (9), createSession (-10, the body is the timeout
/// as an int), closeSession (-11) and reconfig.
#[derive(Debug)]
pub struct WriteRequest {
    /// Where it came from on this server.
    pub conn: ConnId,
    /// What it asks.
    pub request: Request,
}

/// The way to the ensemble. Neither call may wait, nor call back into the [`Service`] from the
/// same thread.
pub trait Consensus: Send + Sync {
    /// Has a change proposed. What comes of it comes through [`Service::apply`], in order, or for
    /// a sync through [`Service::synced`].
    fn submit(&self, request: WriteRequest);

    /// Asks the leader whether a session still lives, and has it live here from now on. The answer
    /// is [`Service::revalidated`].
    fn revalidate(&self, conn: ConnId, session: SessionId, timeout_ms: i32);

    /// Has a leader lead no longer, if another member can. Whether it could is
    /// [`NodeStatus::successor`] before, and what came of it [`NodeStatus::state`] after.
    fn hand_over(&self);
}

/// All that clients are served from.
pub struct Service {
    /// How clients are treated.
    pub settings: Settings,
    /// Sessions and nodes. Whoever only reads takes the read lock, briefly.
    pub database: RwLock<Database>,
    /// What this member is, for whoever asks. The node writes it.
    pub status: RwLock<NodeStatus>,
    /// Counters over all connections.
    pub stats: Stats,
    pub(crate) watches: Mutex<Watches>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) throttle: Throttle,
    connection_throttle: Mutex<ConnectionThrottle>,
    started: Instant,
    consensus: RwLock<Option<Arc<dyn Consensus>>>,
    maintenance: RwLock<Option<Arc<dyn Maintenance>>>,
    next_session: AtomicI64,
    local_session_count: AtomicUsize,
    /// What the database's last processed zxid is, for pings, which wait for no lock on it.
    applied: AtomicI64,
    /// What `registry.serving` is, for those who can't take its lock; 0 for none.
    serving_code: AtomicU8,
}

impl Service {
    /// A service over `database` that serves nobody yet. `now_ms` is the wall clock's time: the
    /// numbers of new sessions begin with it.
    #[must_use]
    pub fn new(settings: Settings, database: Database, now_ms: i64) -> Arc<Self> {
        let first = crate::sessions::first_session_id(settings.server_id, now_ms);
        let status = NodeStatus {
            server_id: settings.server_id,
            ..NodeStatus::default()
        };
        Arc::new(Service {
            throttle: Throttle::new(&settings),
            connection_throttle: Mutex::new(ConnectionThrottle::new(
                settings.connection_throttle.clone(),
                0,
                now_ms.cast_unsigned(),
            )),
            started: Instant::now(),
            settings,
            database: RwLock::new(database),
            status: RwLock::new(status),
            stats: Stats::default(),
            watches: Mutex::new(Watches::default()),
            registry: Mutex::new(Registry::default()),
            consensus: RwLock::new(None),
            maintenance: RwLock::new(None),
            next_session: AtomicI64::new(first.0),
            local_session_count: AtomicUsize::new(0),
            applied: AtomicI64::new(0),
            serving_code: AtomicU8::new(0),
        })
    }

    /// Says where changes go.
    pub fn set_consensus(&self, consensus: Arc<dyn Consensus>) {
        *self.consensus.write() = Some(consensus);
    }

    /// Says who looks after the disk.
    pub fn set_maintenance(&self, maintenance: Arc<dyn Maintenance>) {
        *self.maintenance.write() = Some(maintenance);
    }

    pub(crate) fn maintenance(&self) -> Option<Arc<dyn Maintenance>> {
        self.maintenance.read().clone()
    }

    pub(crate) fn consensus(&self) -> Option<Arc<dyn Consensus>> {
        self.consensus.read().clone()
    }

    pub(crate) fn new_session_id(&self) -> SessionId {
        SessionId(self.next_session.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets clients in.
    pub fn start_serving(&self, serving: Serving) {
        self.note_applied(&self.database.read());
        let mut registry = self.registry.lock();
        registry.serving = Some(serving);
        self.serving_code.store(serving.code(), Ordering::Release);
    }

    /// Closes every client's connection and forgets its requests and watches: the member has lost
    /// its leader, or stops.
    pub fn stop_serving(&self) {
        let dropped = {
            let mut registry = self.registry.lock();
            registry.serving = None;
            self.serving_code.store(0, Ordering::Release);
            registry.drain()
        };
        for connection in dropped {
            connection.close(CloseReason::NotServing);
        }
        *self.watches.lock() = Watches::default();
    }

    /// In what capacity clients are served, `None` while they are not.
    #[must_use]
    pub fn serving(&self) -> Option<Serving> {
        Serving::from_code(self.serving_code.load(Ordering::Acquire))
    }

    pub(crate) fn note_applied(&self, db: &Database) {
        self.applied.store(db.last_processed().0, Ordering::Release);
    }

    /// The newest position that no lock stands before.
    pub(crate) fn applied(&self) -> Zxid {
        Zxid(self.applied.load(Ordering::Acquire))
    }

    /// Puts another database in the place of this one, after the leader sent a whole snapshot.
    /// Only while nobody is served.
    pub fn replace_database(&self, database: Database) {
        let old = std::mem::replace(&mut *self.database.write(), database);
        // A million nodes take their time to be forgotten, and nobody needs to wait for it.
        if let Err(error) = std::thread::Builder::new()
            .name("forget".into())
            .spawn(move || drop(old))
        {
            tracing::debug!(%error, "the old database was let go of on the spot");
        }
    }

    /// Closes the session's connection on this server, where it has one: the session is no more.
    pub fn close_session_connections(&self, session: SessionId) {
        let connection = self.registry.lock().by_session(session).cloned();
        if let Some(connection) = connection {
            connection.close(CloseReason::SessionExpired);
        }
    }

    /// Closes the connection that the session had on this server: it goes on at another member.
    pub(crate) fn session_left(&self, session: SessionId) {
        let connection = self.registry.lock().by_session(session).cloned();
        if let Some(connection) = connection {
            connection.close(CloseReason::SessionMoved);
        }
    }

    /// The sessions heard from since the last call, with their timeouts in milliseconds: a learner
    /// reports them in its PING, a leader feeds its own tracker.
    pub fn drain_touched(&self) -> Vec<(SessionId, i32)> {
        let registry = self.registry.lock();
        let mut touched = Vec::new();
        for connection in registry.with_sessions() {
            if connection.heard.swap(false, Ordering::Relaxed) {
                let state = connection.state.lock();
                if state.phase == Phase::Open {
                    touched.push((state.session, state.timeout_ms));
                }
            }
        }
        touched
    }

    /// Sessions whose clients are connected to this server.
    #[must_use]
    pub fn local_sessions(&self) -> Vec<(SessionId, i32)> {
        let registry = self.registry.lock();
        registry
            .with_sessions()
            .map(|connection| {
                let state = connection.state.lock();
                (state.session, state.timeout_ms)
            })
            .collect()
    }

    /// Runs `f` on every connection, in the order of their numbers.
    pub(crate) fn each_connection(&self, mut f: impl FnMut(&Connection)) {
        let mut all: Vec<Arc<Connection>> = self.registry.lock().all().cloned().collect();
        all.sort_unstable_by_key(|connection| connection.id);
        for connection in all {
            f(&connection);
        }
    }

    /// What `conf` prints, with what a reconfiguration has changed of it.
    pub(crate) fn configuration(&self) -> Vec<(String, String)> {
        let mut lines = self.settings.configuration.clone();
        let port = self.status.read().client_port;
        for (key, value) in &mut lines {
            if let (Some(port), "clientPort") = (port, key.as_str()) {
                *value = port.to_string();
            }
        }
        lines
    }

    /// Connections of clients.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.registry.lock().len()
    }

    /// Requests of a connection have come to their end, one way or another.
    pub(crate) fn done_with(&self, done: &[Queued]) {
        let mut changes = 0;
        for queued in done {
            self.throttle.give_back(queued.len_bytes());
            changes += i64::from(matches!(queued, Queued::Write { .. }));
        }
        if changes > 0 {
            self.stats.under_way(-changes);
            self.throttle.wake(self.stats.outstanding());
        }
    }

    /// Says how many sessions only this member knows.
    pub(crate) fn set_local_session_count(&self, count: usize) {
        self.local_session_count.store(count, Ordering::Relaxed);
    }

    /// Sessions that only this member knows.
    #[must_use]
    pub fn local_session_count(&self) -> usize {
        self.local_session_count.load(Ordering::Relaxed)
    }

    /// The request that waits on the connection under this number is answered without the
    /// ensemble, once its turn has come.
    pub(crate) fn answer_here(&self, conn: ConnId, xid: Xid, err: crate::proto::ErrorCode) {
        self.finish_here(conn, xid, err);
    }

    /// A sync came back from the leader behind all that was committed when it got there.
    pub fn synced(&self, conn: ConnId, xid: Xid) {
        self.finish_sync(conn, xid);
    }

    /// The leader's word on a session that a client wants to go on with.
    pub fn revalidated(&self, conn: ConnId, session: SessionId, valid: bool) {
        self.finish_revalidation(conn, session, valid);
    }
}
