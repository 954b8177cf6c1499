//! The election's connections: one to each peer, kept by the larger id; only the latest message
//! to a peer matters. Source: `QuorumCnxManager.java`.

use super::acceptor::Acceptor;
use super::address::connect;
use super::{Bind, PeerEvent, PeerSink};
use crate::config::HostPort;
use crate::ids::ServerId;
use crate::quorum_proto::{ELECTION_FRAME_MAX, Hello, decode_notification, encode_notification};
use crate::zab::Notification;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// Connections from ids that no configuration names: observers, or members about to join.
const STRANGERS_MAX: usize = 256;
/// The pause between attempts to reach a peer, doubling from the first to the second.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long an address counts after its connection ended.
const SEEN_FOR: Duration = Duration::from_secs(5);

/// Our end of the connection to one peer.
struct Peer {
    id: ServerId,
    state: Mutex<PeerState>,
    /// Something is to be sent, or the connection has ended.
    wake_writer: Notify,
    /// A connection is wanted.
    wake_dialer: Notify,
}

#[derive(Default)]
struct PeerState {
    address: Option<HostPort>,
    /// Where its last connection came from or went to, and until when that was so.
    seen: Option<(IpAddr, Instant)>,
    /// The newest message, and whether the present connection has carried it.
    latest: Option<Vec<u8>>,
    sent: bool,
    /// The present connection's number; 0 for none. Tasks of older ones end at their next step.
    connection: u64,
    connections_made: u64,
    tasks: Vec<JoinHandle<()>>,
    dialing: bool,
}

impl PeerState {
    /// The peer's address while a connection stands, and for a moment after. Not for longer: it
    /// may be somebody else's by then.
    fn seen_lately(&self) -> Option<IpAddr> {
        self.seen
            .filter(|(_, until)| self.connection != 0 || until.elapsed() < SEEN_FOR)
            .map(|(address, _)| address)
    }
}

struct Shared {
    me: ServerId,
    my_address: Mutex<String>,
    acceptor: Acceptor,
    dial_timeout: Duration,
    peers: Mutex<BTreeMap<ServerId, Arc<Peer>>>,
    sink: PeerSink,
}

/// All election connections of a member.
#[derive(Clone)]
pub struct ElectionNet {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
}

impl ElectionNet {
    /// Listens on `bind` and knows `peers`; dials them only when there is something to say.
    ///
    /// # Errors
    /// Where the port can't be listened on.
    pub async fn start(
        me: ServerId,
        my_address: String,
        bind: &Bind,
        peers: impl IntoIterator<Item = (ServerId, HostPort)>,
        dial_timeout: Duration,
        sink: PeerSink,
    ) -> io::Result<Self> {
        let listener = super::listen(bind).await?;
        let net = ElectionNet {
            shared: Arc::new(Shared {
                me,
                my_address: Mutex::new(my_address),
                acceptor: Acceptor::default(),
                dial_timeout,
                peers: Mutex::default(),
                sink,
            }),
            runtime: tokio::runtime::Handle::current(),
        };
        for (id, address) in peers {
            if id != me {
                net.peer(id, Some(address));
            }
        }
        let accepting = tokio::spawn(net.clone().accept(listener));
        net.shared.acceptor.run(accepting);
        Ok(net)
    }

    /// Where a peer was last seen.
    #[must_use]
    pub fn seen(&self, id: ServerId) -> Option<IpAddr> {
        let peer = self.shared.peers.lock().get(&id).cloned()?;
        let state = peer.state.lock();
        state.seen_lately()
    }

    /// Sends a notification, in place of an older one that has not left.
    pub fn send(&self, to: ServerId, notification: &Notification) {
        let Some(peer) = self.shared.peers.lock().get(&to).cloned() else {
            return;
        };
        let mut state = peer.state.lock();
        state.latest = Some(encode_notification(notification));
        state.sent = false;
        if state.connection == 0 {
            self.want_connection(&peer, &mut state);
        } else {
            peer.wake_writer.notify_one();
        }
    }

    /// Takes back what has not left, and repeats nothing to whoever connects: this member takes no
    /// part for a while.
    pub fn fall_silent(&self) {
        for peer in self.shared.peers.lock().values() {
            peer.state.lock().latest = None;
        }
    }

    /// This member is called at `my_address` from now on, and listens on `bind`.
    pub fn move_to(&self, my_address: String, bind: Bind) {
        *self.shared.my_address.lock() = my_address;
        let net = self.clone();
        self.shared
            .acceptor
            .move_to(&self.runtime, "for votes", bind, |listener| {
                net.accept(listener)
            });
    }

    /// The ensemble has changed: these are its members. Who is one no longer is let go.
    pub fn set_peers(&self, addresses: &BTreeMap<ServerId, HostPort>) {
        for (id, address) in addresses {
            if *id != self.shared.me {
                self.peer(*id, Some(address.clone()));
            }
        }
        for (id, peer) in self.shared.peers.lock().iter() {
            if !addresses.contains_key(id) {
                peer.state.lock().address = None;
            }
        }
    }

    fn peer(&self, id: ServerId, address: Option<HostPort>) -> Arc<Peer> {
        let mut peers = self.shared.peers.lock();
        let peer = peers.entry(id).or_insert_with(|| {
            Arc::new(Peer {
                id,
                state: Mutex::default(),
                wake_writer: Notify::new(),
                wake_dialer: Notify::new(),
            })
        });
        if address.is_some() {
            peer.state.lock().address = address;
        }
        Arc::clone(peer)
    }

    /// Starts the peer's dialer where none runs.
    fn want_connection(&self, peer: &Arc<Peer>, state: &mut PeerState) {
        if state.address.is_none() {
            return;
        }
        if state.dialing {
            peer.wake_dialer.notify_one();
        } else {
            state.dialing = true;
            self.runtime
                .spawn(self.clone().dial_until_connected(Arc::clone(peer)));
        }
    }

    async fn dial_until_connected(self, peer: Arc<Peer>) {
        let mut pause = RETRY_MIN;
        loop {
            let (address, seen) = {
                let mut state = peer.state.lock();
                if state.connection != 0 || state.sent {
                    state.dialing = false;
                    return;
                }
                (state.address.clone(), state.seen_lately())
            };
            let Some(address) = address else { return };
            match self.dial(&peer, &address, seen).await {
                Ok(()) => {}
                Err(error) => debug!(peer = %peer.id, %address, %error, "election dial failed"),
            }
            // The smaller id waits here for the peer to dial back.
            let _woken = timeout(pause, peer.wake_dialer.notified()).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn dial(
        &self,
        peer: &Arc<Peer>,
        address: &HostPort,
        seen: Option<IpAddr>,
    ) -> io::Result<()> {
        let mut stream = connect(address, seen, self.shared.dial_timeout).await?;
        let hello = Hello {
            id: self.shared.me,
            addresses: self.shared.my_address.lock().clone(),
        };
        stream.write_all(&hello.encode()).await?;
        if self.shared.me > peer.id {
            self.adopt(peer, stream);
        } else {
            // The larger id keeps connections: it closes this one and dials back.
            stream.shutdown().await?;
        }
        Ok(())
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let net = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = net.receive_connection(stream).await {
                            debug!(%from, %error, "election connection refused");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: they come back.
                    warn!(%error, "can't accept an election connection");
                    sleep(RETRY_MAX).await;
                }
            }
        }
    }

    async fn receive_connection(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let hello = timeout(self.shared.dial_timeout, read_hello(&mut stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if hello.id == self.shared.me {
            warn!(
                address = hello.addresses,
                "another member has our id: check the myid files"
            );
            return Ok(());
        }
        let known = self.shared.peers.lock().contains_key(&hello.id);
        if !known && self.shared.peers.lock().len() >= STRANGERS_MAX {
            return Ok(());
        }
        let peer = self.peer(hello.id, None);
        // Who is in no configuration is called back where it says that it is.
        if let Some(announced) = parse_address(&hello.addresses) {
            peer.state.lock().address.get_or_insert(announced);
        }
        if hello.id < self.shared.me {
            // We keep connections, so we close this one and dial back. Its sender has lost any
            // older connection, whether we have noticed or not.
            let from = stream.peer_addr().ok().map(|address| address.ip());
            drop(stream);
            let mut state = peer.state.lock();
            state.seen = from.map(|address| (address, Instant::now()));
            state.connection = 0;
            state.sent = false;
            abort_tasks(&mut state);
            self.want_connection(&peer, &mut state);
        } else {
            self.adopt(&peer, stream);
        }
        Ok(())
    }

    /// Makes `stream` the connection to the peer, in place of any older one.
    fn adopt(&self, peer: &Arc<Peer>, stream: TcpStream) {
        let remote = stream.peer_addr().ok().map(|address| address.ip());
        let (read, write) = stream.into_split();
        let mut state = peer.state.lock();
        state.seen = remote.map(|address| (address, Instant::now()));
        abort_tasks(&mut state);
        state.connections_made += 1;
        let number = state.connections_made;
        state.connection = number;
        // The last message goes out again: the peer may have restarted since.
        state.sent = false;
        let reader = self.clone().read_frames(Arc::clone(peer), number, read);
        let writer = write_latest(Arc::clone(peer), number, write);
        state.tasks = vec![self.runtime.spawn(reader), self.runtime.spawn(writer)];
    }

    async fn read_frames(self, peer: Arc<Peer>, number: u64, read: OwnedReadHalf) {
        let mut input = BufReader::new(read);
        let error = loop {
            match read_frame(&mut input).await {
                Ok(body) => match decode_notification(&body) {
                    Ok(notification) => (self.shared.sink)(PeerEvent::Notification {
                        from: peer.id,
                        notification,
                    }),
                    Err(error) => warn!(peer = %peer.id, %error, "notification ignored"),
                },
                Err(error) => break error,
            }
        };
        debug!(peer = %peer.id, %error, "election connection ended");
        disconnected(&peer, number);
    }
}

fn abort_tasks(state: &mut PeerState) {
    for task in state.tasks.drain(..) {
        task.abort();
    }
}

fn disconnected(peer: &Peer, number: u64) {
    let mut state = peer.state.lock();
    if state.connection == number {
        state.connection = 0;
        if let Some((_, until)) = &mut state.seen {
            *until = Instant::now();
        }
        peer.wake_writer.notify_one();
    }
}

async fn write_latest(peer: Arc<Peer>, number: u64, mut write: OwnedWriteHalf) {
    loop {
        let message = {
            let mut state = peer.state.lock();
            if state.connection != number {
                return;
            }
            if state.sent {
                None
            } else {
                state.sent = true;
                state.latest.clone()
            }
        };
        let Some(body) = message else {
            peer.wake_writer.notified().await;
            continue;
        };
        let len = u32::try_from(body.len()).expect("a notification is a configuration at most");
        let mut frame = len.to_be_bytes().to_vec();
        frame.extend(body);
        if write.write_all(&frame).await.is_err() {
            disconnected(&peer, number);
            return;
        }
    }
}

async fn read_hello(stream: &mut TcpStream) -> io::Result<Hello> {
    let mut bytes = Vec::new();
    loop {
        match Hello::decode(&bytes) {
            Ok(Some((hello, _))) => return Ok(hello),
            Ok(None) => bytes.push(stream.read_u8().await?),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

async fn read_frame(input: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let len = input.read_i32().await?;
    let size = usize::try_from(len).unwrap_or(usize::MAX);
    if size == 0 || size > ELECTION_FRAME_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("an election frame of {len} bytes"),
        ));
    }
    let mut body = vec![0; size];
    input.read_exact(&mut body).await?;
    Ok(body)
}

/// The first of the announced addresses.
fn parse_address(text: &str) -> Option<HostPort> {
    let first = text.split('|').next()?;
    let (host, port) = first.rsplit_once(':')?;
    Some(HostPort {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_addresses_are_read_in_all_their_forms() {
        let parsed = |text| parse_address(text).map(|address| address.to_string());
        assert_eq!(parsed("zk-0.zk:3888").as_deref(), Some("zk-0.zk:3888"));
        assert_eq!(parsed("[::1]:3888").as_deref(), Some("[::1]:3888"));
        assert_eq!(parsed("a:1|b:2").as_deref(), Some("a:1"));
        assert_eq!(parsed("nothing"), None);
    }
}
