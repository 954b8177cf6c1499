//! Learners' connections to us: accepted at any time, read only while we lead. And observers', at a
//! port of their own, which is open only while we follow.
//! Source: `LearnerHandler.java`, `ObserverMaster.java`.

use super::acceptor::Acceptor;
use super::packets::read_packet;
use super::{Bind, PeerEvent, PeerSink};
use crate::ids::Zxid;
use crate::jute::{Record, Writer};
use crate::quorum_proto::{FromLeader, FromLearner, SNAPSHOT_SIGNATURE};
use crate::tree::Frozen;
use crate::zab::{LeaderMessage, LearnerConn};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Packets to one learner are encoded together up to this many bytes a write.
const WRITE_BYTES: usize = 256 * 1024;
/// A snapshot travels in pieces of this many bytes, a few of them under way at a time.
const CHUNK_BYTES: usize = 256 * 1024;
const CHUNKS_MAX: usize = 4;
/// Learner connections at a time.
const LEARNERS_MAX: usize = 1_024;

/// What is sent to a learner.
pub enum ToLearner {
    /// A packet.
    Say(FromLeader),
    /// SNAP, the tree, and the signature behind it.
    Snapshot {
        /// The tree's position.
        zxid: Zxid,
        /// The tree.
        frozen: Box<Frozen>,
    },
}

/// Where a connection comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// At the leader's port.
    Learners,
    /// At the observers' port of a follower.
    Observers,
}

struct Conn {
    queue: mpsc::UnboundedSender<ToLearner>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    leading: watch::Sender<bool>,
    acceptor: Acceptor,
    /// Whether observers are let in, by their own door.
    hosting: AtomicBool,
    observer_acceptor: Acceptor,
    conns: Mutex<HashMap<LearnerConn, Conn>>,
    next: AtomicU64,
    patience: Duration,
    data_max: usize,
    sink: PeerSink,
}

/// All learners' connections.
#[derive(Clone)]
pub struct LearnerNet {
    shared: Arc<Shared>,
}

impl LearnerNet {
    /// Accepts on `listener`. A learner that comes before we lead waits for `patience`; packets
    /// with more than `data_max` bytes end a connection.
    #[must_use]
    pub fn start(
        listener: TcpListener,
        patience: Duration,
        data_max: usize,
        sink: PeerSink,
    ) -> Self {
        let net = LearnerNet {
            shared: Arc::new(Shared {
                leading: watch::channel(false).0,
                acceptor: Acceptor::default(),
                hosting: AtomicBool::new(false),
                observer_acceptor: Acceptor::default(),
                conns: Mutex::default(),
                next: AtomicU64::new(1),
                patience,
                data_max,
                sink,
            }),
        };
        let accepting = tokio::spawn(net.clone().accept(listener, Door::Learners));
        net.shared.acceptor.run(accepting);
        net
    }

    /// Listens on `bind` from now on.
    pub fn move_to(&self, runtime: &Handle, bind: Bind) {
        let net = self.clone();
        self.shared
            .acceptor
            .move_to(runtime, "for learners", bind, |listener| {
                net.accept(listener, Door::Learners)
            });
    }

    /// Lets observers in at `bind`, until [`LearnerNet::set_leading`]. Who does not follow does not
    /// listen there, so that an observer finds the next one at once.
    pub fn host_observers(&self, runtime: &Handle, bind: Bind) {
        self.shared.hosting.store(true, Ordering::Release);
        let net = self.clone();
        self.shared
            .observer_acceptor
            .move_to(runtime, "for observers", bind, |listener| {
                net.accept(listener, Door::Observers)
            });
    }

    /// Lets learners in, or closes all connections, observers' too.
    pub fn set_leading(&self, leading: bool) {
        self.shared.leading.send_replace(leading);
        self.shared.hosting.store(false, Ordering::Release);
        self.shared.observer_acceptor.stop();
        if !leading {
            let conns = std::mem::take(&mut *self.shared.conns.lock());
            for (_, conn) in conns {
                close(conn);
            }
        }
    }

    /// Queues something for a learner; nothing happens where it has gone.
    pub fn send(&self, conn: LearnerConn, message: ToLearner) {
        if let Some(conn) = self.shared.conns.lock().get(&conn) {
            // A closed queue means that its writer reports the end itself.
            let _gone = conn.queue.send(message);
        }
    }

    /// Closes a learner's connection.
    pub fn close(&self, conn: LearnerConn) {
        let removed = self.shared.conns.lock().remove(&conn);
        if let Some(removed) = removed {
            close(removed);
        }
    }

    async fn accept(self, listener: TcpListener, door: Door) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    debug!(%from, "a learner connects");
                    tokio::spawn(self.clone().admit(stream, door));
                }
                Err(error) => {
                    warn!(%error, "can't accept a learner");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn is_open(&self, door: Door) -> bool {
        match door {
            Door::Learners => *self.shared.leading.borrow(),
            Door::Observers => self.shared.hosting.load(Ordering::Acquire),
        }
    }

    /// Waits until we lead, since a learner may know of our election before we do, then starts
    /// the connection's tasks.
    async fn admit(self, stream: TcpStream, door: Door) {
        if door == Door::Learners {
            let mut leading = self.shared.leading.subscribe();
            let waited = timeout(self.shared.patience, leading.wait_for(|leading| *leading)).await;
            if !matches!(waited, Ok(Ok(_))) {
                return;
            }
        }
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let conn = LearnerConn(self.shared.next.fetch_add(1, Ordering::Relaxed));
        let (read, write) = stream.into_split();
        let (queue, queued) = mpsc::unbounded_channel();
        let mut conns = self.shared.conns.lock();
        if conns.len() >= LEARNERS_MAX || !self.is_open(door) {
            return;
        }
        let tasks = vec![
            tokio::spawn(self.clone().read(conn, read)),
            tokio::spawn(self.clone().write(conn, write, queued)),
        ];
        conns.insert(conn, Conn { queue, tasks });
    }

    async fn read(self, conn: LearnerConn, read: OwnedReadHalf) {
        let mut input = BufReader::with_capacity(64 * 1024, read);
        let reason = loop {
            let packet = match read_packet(&mut input, self.shared.data_max).await {
                Ok(packet) => packet,
                Err(error) => break error.to_string(),
            };
            match FromLearner::decode(packet) {
                Ok(said) => (self.shared.sink)(PeerEvent::LearnerSaid { conn, said }),
                Err(error) => break error.to_string(),
            }
        };
        self.ended(conn, &reason);
    }

    async fn write(
        self,
        conn: LearnerConn,
        mut write: OwnedWriteHalf,
        mut queued: mpsc::UnboundedReceiver<ToLearner>,
    ) {
        let mut out = Writer::new();
        while let Some(first) = queued.recv().await {
            let mut next = Some(first);
            let mut result = Ok(());
            while let Some(message) = next {
                match message {
                    ToLearner::Say(said) => said.encode().write(&mut out),
                    ToLearner::Snapshot { zxid, frozen } => {
                        FromLeader::Zab(LeaderMessage::Snap { zxid })
                            .encode()
                            .write(&mut out);
                        let head = std::mem::take(&mut out).into_vec();
                        result = send_snapshot(&mut write, head, frozen).await;
                        if result.is_err() {
                            break;
                        }
                        info!(%zxid, "snapshot sent to a learner");
                        out.string(SNAPSHOT_SIGNATURE);
                    }
                }
                next = if out.len() < WRITE_BYTES {
                    queued.try_recv().ok()
                } else {
                    None
                };
            }
            if result.is_ok() {
                let bytes = std::mem::take(&mut out).into_vec();
                result = write.write_all(&bytes).await;
                let mut reused = bytes;
                reused.clear();
                reused.shrink_to(WRITE_BYTES);
                out = Writer::over(reused);
            }
            if let Err(error) = result {
                self.ended(conn, &error.to_string());
                return;
            }
        }
        // The node has closed the connection: what it said before has left.
        let _closed = write.shutdown().await;
    }

    fn ended(&self, conn: LearnerConn, reason: &str) {
        let removed = self.shared.conns.lock().remove(&conn);
        if let Some(removed) = removed {
            info!(conn = conn.0, reason, "a learner's connection ended");
            (self.shared.sink)(PeerEvent::LearnerGone { conn });
            close(removed);
        }
    }
}

/// Ends a connection: at once for the reader; the writer sends what is queued first.
fn close(conn: Conn) {
    let Conn { queue, tasks } = conn;
    drop(queue);
    if let Some(reader) = tasks.first() {
        reader.abort();
    }
}

/// Streams the tree from a thread that may block, in bounded pieces.
async fn send_snapshot(
    write: &mut OwnedWriteHalf,
    head: Vec<u8>,
    frozen: Box<Frozen>,
) -> io::Result<()> {
    write.write_all(&head).await?;
    let (chunks, mut received) = mpsc::channel(CHUNKS_MAX);
    let serializer = tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(CHUNK_BYTES, ChunkWriter(chunks));
        frozen.write_snapshot(&mut out)?;
        io::Write::flush(&mut out)
    });
    while let Some(chunk) = received.recv().await {
        write.write_all(&chunk).await?;
    }
    serializer.await.map_err(io::Error::other)?
}

struct ChunkWriter(mpsc::Sender<Vec<u8>>);

impl io::Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(bytes.to_vec())
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
