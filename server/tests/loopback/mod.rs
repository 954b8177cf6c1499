//! An ensemble of one without a disk: whatever is asked for is prepared and applied at once. It
//! stands behind a real [`Service`] with real sockets, so that all between client and consensus
//! can be tested and measured on its own.
#![allow(dead_code, unreachable_pub)] // Each user of this file needs another part of it.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use zookeeper_server::ids::{ConnId, Epoch, ServerId, SessionId, WallMs, Xid, Zxid};
use zookeeper_server::net::client::Listener;
use zookeeper_server::proto::OpCode;
use zookeeper_server::service::{Consensus, Service, Serving, Settings, WriteRequest};
use zookeeper_server::sessions::SessionTracker;
use zookeeper_server::tree::Database;
use zookeeper_server::txn::{PrepareSettings, Preparer, Request, SessionCheck, TxnEntry};

const ME: ServerId = ServerId(1);
const TICK: Duration = Duration::from_millis(100);
const BATCH: usize = 1000;

enum Task {
    Write(WriteRequest),
    Revalidate(ConnId, SessionId, i32),
    Hold(Receiver<()>),
}

/// The way in.
pub struct Loopback(Sender<Task>);

impl Consensus for Loopback {
    fn submit(&self, request: WriteRequest) {
        // After the end there is nobody to answer.
        let _ = self.0.send(Task::Write(request));
    }

    fn revalidate(&self, conn: ConnId, session: SessionId, timeout_ms: i32) {
        let _ = self.0.send(Task::Revalidate(conn, session, timeout_ms));
    }

    // A server alone has nobody to hand over to.
    fn hand_over(&self) {}
}

struct Engine {
    service: Arc<Service>,
    preparer: Preparer,
    tracker: SessionTracker,
    zxid: Zxid,
    started: Instant,
    batch: Vec<TxnEntry>,
    removed: Vec<SessionId>,
}

pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

impl Engine {
    fn now_ms(&self) -> i64 {
        self.started.elapsed().as_millis() as i64
    }

    fn run(mut self, tasks: &Receiver<Task>) {
        loop {
            match tasks.recv_timeout(TICK) {
                Ok(task) => self.step(task),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while self.batch.len() < BATCH
                && let Ok(task) = tasks.try_recv()
            {
                self.step(task);
            }
            self.flush();
            let now = self.now_ms();
            for (session, timeout_ms) in self.service.drain_touched() {
                self.tracker.touch(session, timeout_ms, now);
            }
            for session in self.tracker.expired(now) {
                self.propose(
                    &Request {
                        session,
                        xid: Xid(0),
                        op: OpCode::CLOSE_SESSION,
                        body: Bytes::new(),
                        auth: Arc::from([]),
                    },
                    SessionCheck::Ok,
                );
                self.removed.push(session);
            }
            self.flush();
        }
    }

    fn step(&mut self, task: Task) {
        let now = self.now_ms();
        match task {
            Task::Hold(until) => {
                self.flush();
                let _ = until.recv();
            }
            Task::Revalidate(conn, session, timeout_ms) => {
                self.flush();
                let valid = self.tracker.touch(session, timeout_ms, now);
                self.service.revalidated(conn, session, valid);
            }
            Task::Write(WriteRequest { conn, request }) => match request.op {
                OpCode::SYNC => {
                    self.flush();
                    self.service.synced(conn, request.xid);
                }
                OpCode::CREATE_SESSION => {
                    let mut timeout = [0; 4];
                    timeout.copy_from_slice(&request.body[..4]);
                    self.tracker
                        .add(request.session, i32::from_be_bytes(timeout), now);
                    self.propose(&request, SessionCheck::Ok);
                }
                _ => {
                    let check = self.tracker.check(request.session, ME);
                    if request.op == OpCode::CLOSE_SESSION && check == SessionCheck::Ok {
                        self.tracker.set_closing(request.session);
                        self.removed.push(request.session);
                    }
                    self.propose(&request, check);
                }
            },
        }
    }

    fn propose(&mut self, request: &Request, check: SessionCheck) {
        self.zxid = self.zxid.next();
        let db = self.service.database.read();
        let now = WallMs(wall_ms());
        let entry = self.preparer.prepare(&db, request, check, self.zxid, now);
        self.batch.push(entry);
    }

    fn flush(&mut self) {
        self.service.apply(&self.batch);
        self.batch.clear();
        for session in self.removed.drain(..) {
            self.tracker.remove(session);
        }
    }
}

/// A running server.
pub struct Server {
    pub service: Arc<Service>,
    pub address: SocketAddr,
    tasks: Sender<Task>,
    listener: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Server {
    /// Starts one on `address`; it ends when dropped.
    pub fn start(settings: Settings, address: SocketAddr) -> std::io::Result<Server> {
        let listener = Listener::bind(address, settings.listen_backlog)?;
        let address = listener.local_address()?;
        let tick_ms = settings.tick_time_ms;
        let service = Service::new(settings, Database::new(), wall_ms());
        let (tasks, inbox) = channel();
        service.set_consensus(Arc::new(Loopback(tasks.clone())));
        service.start_serving(Serving::Standalone);
        let engine = Engine {
            service: Arc::clone(&service),
            preparer: Preparer::new(PrepareSettings::default()),
            tracker: SessionTracker::new(tick_ms),
            zxid: Zxid::new(Epoch(1), 0),
            started: Instant::now(),
            batch: Vec::new(),
            removed: Vec::new(),
        };
        // Detached: it ends when the service and this are gone, and their ends of the channel.
        std::thread::spawn(move || engine.run(&inbox));
        let listener = tokio::spawn(listener.run(Arc::clone(&service)));
        Ok(Server {
            service,
            address,
            tasks,
            listener,
        })
    }

    /// Keeps all changes from going on until what is returned is dropped.
    pub fn hold(&self) -> Sender<()> {
        let (until, held) = channel();
        let _ = self.tasks.send(Task::Hold(held));
        until
    }
}
