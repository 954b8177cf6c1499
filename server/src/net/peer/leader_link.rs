//! Our connection to the leader, or to the follower that we observe through.
//! Source: `Learner.java` connectToLeader, readPacket.

use super::address::connect;
use super::packets::read_packet;
use super::{PeerEvent, PeerSink};
use crate::config::HostPort;
use crate::jute::{Record, Writer};
use crate::quorum_proto::{FromLeader, FromLearner, SNAPSHOT_SIGNATURE};
use crate::tree::{Database, read_snapshot_with};
use crate::zab::LeaderMessage;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::io::SyncIoBridge;
use tracing::{debug, info};

/// Packets to the leader are encoded together up to this many bytes a write.
const WRITE_BYTES: usize = 256 * 1024;
/// The pause between attempts to reach a leader that is not there yet.
const RETRY: Duration = Duration::from_millis(50);
/// How long a leader without an address is waited for.
const NOWHERE: Duration = Duration::from_millis(200);

/// What a link needs to know.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// How long one attempt to connect may take.
    pub dial_timeout: Duration,
    /// How long all attempts together may take.
    pub patience: Duration,
    /// Bytes of data that a packet may have.
    pub data_max: usize,
    /// Whether the leader's tree is read with TTL nodes told apart from ephemeral ones.
    pub extended_types: bool,
}

/// A place to learn from.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its name.
    pub address: HostPort,
    /// Where the election last saw it; it is dialled there first.
    pub seen: Option<IpAddr>,
    /// It is dialled once the others were tried for so long.
    pub after: Duration,
}

/// A connection to a leader, or the attempt to make one. Dropping it closes it.
pub struct LeaderLink {
    queue: mpsc::UnboundedSender<FromLearner>,
    task: JoinHandle<()>,
}

impl Drop for LeaderLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LeaderLink {
    /// Dials these in their order until one answers, and reports as link number `link`.
    #[must_use]
    pub fn start(
        runtime: &tokio::runtime::Handle,
        link: u64,
        destinations: Vec<Destination>,
        settings: LinkSettings,
        sink: PeerSink,
    ) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        let task = runtime.spawn(async move {
            let reason = match run(link, &destinations, &settings, &sink, queued).await {
                Ok(never) => match never {},
                Err((address, error)) => format!("{address}: {error}"),
            };
            sink(PeerEvent::LeaderGone { link, reason });
        });
        LeaderLink { queue, task }
    }

    /// A link to a leader whose address nobody told us: it ends after a moment, and the election, which
    /// may have heard of a newer configuration by then, begins anew. Source: `Learner.java` findLeader,
    /// whose caller fails at once where no address is found.
    #[must_use]
    pub fn to_nowhere(runtime: &tokio::runtime::Handle, link: u64, sink: PeerSink) -> Self {
        let (queue, _) = mpsc::unbounded_channel();
        let task = runtime.spawn(async move {
            sleep(NOWHERE).await;
            let reason = "its address is not in our configuration".to_owned();
            sink(PeerEvent::LeaderGone { link, reason });
        });
        LeaderLink { queue, task }
    }

    /// Queues something for the leader.
    pub fn send(&self, said: FromLearner) {
        // A closed queue means that the link's end has been reported, or will be.
        let _gone = self.queue.send(said);
    }
}

enum Never {}

async fn run(
    link: u64,
    destinations: &[Destination],
    settings: &LinkSettings,
    sink: &PeerSink,
    queued: mpsc::UnboundedReceiver<FromLearner>,
) -> Result<Never, (HostPort, io::Error)> {
    let (address, stream) = dial(destinations, settings).await?;
    if destinations.len() > 1 {
        info!(%address, "learning from");
    }
    let ended = learn(link, stream, settings, sink, queued).await;
    ended.map_err(|error| (address, error))
}

/// Tries each in turn, and all of them again while there is time.
async fn dial(
    destinations: &[Destination],
    settings: &LinkSettings,
) -> Result<(HostPort, TcpStream), (HostPort, io::Error)> {
    let begun = Instant::now();
    let deadline = begun + settings.patience;
    loop {
        let due = destinations.iter();
        for Destination { address, seen, .. } in due.filter(|to| begun.elapsed() >= to.after) {
            match connect(address, *seen, settings.dial_timeout).await {
                Ok(stream) => return Ok((address.clone(), stream)),
                Err(error) if Instant::now() >= deadline => return Err((address.clone(), error)),
                Err(error) => debug!(%address, %error, "can't be reached yet"),
            }
        }
        sleep(RETRY).await;
    }
}

async fn learn(
    link: u64,
    stream: TcpStream,
    settings: &LinkSettings,
    sink: &PeerSink,
    queued: mpsc::UnboundedReceiver<FromLearner>,
) -> io::Result<Never> {
    let ip = stream.peer_addr().ok().map(|address| address.ip());
    let (read, write) = stream.into_split();
    sink(PeerEvent::LeaderConnected { link, ip });
    // The two halves end together, whichever ends first.
    tokio::select! {
        ended = read_all(link, read, settings, sink) => ended,
        ended = write_all(write, queued) => ended,
    }
}

async fn read_all(
    link: u64,
    read: OwnedReadHalf,
    settings: &LinkSettings,
    sink: &PeerSink,
) -> io::Result<Never> {
    let mut input = BufReader::with_capacity(256 * 1024, read);
    loop {
        let packet = read_packet(&mut input, settings.data_max).await?;
        let said = FromLeader::decode(packet)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let FromLeader::Zab(LeaderMessage::Snap { zxid }) = said {
            let (back, database) = read_tree(input, settings.extended_types).await?;
            input = back;
            sink(PeerEvent::LeaderSnapshot {
                link,
                zxid,
                database: Box::new(database),
            });
        } else {
            sink(PeerEvent::LeaderSaid { link, said });
        }
    }
}

type Input = BufReader<OwnedReadHalf>;

/// Reads the tree behind SNAP on a thread that may block, then its signature.
async fn read_tree(input: Input, extended_types: bool) -> io::Result<(Input, Database)> {
    let (mut input, database) = tokio::task::spawn_blocking(move || {
        let mut bridge = SyncIoBridge::new(input);
        let database = read_snapshot_with(&mut bridge, extended_types)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok::<_, io::Error>((bridge.into_inner(), database))
    })
    .await
    .map_err(io::Error::other)??;
    let mut signature = vec![0; 4 + SNAPSHOT_SIGNATURE.len()];
    input.read_exact(&mut signature).await?;
    if &signature[4..] != SNAPSHOT_SIGNATURE.as_bytes() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the leader's snapshot does not end with its signature",
        ));
    }
    Ok((input, database))
}

async fn write_all(
    mut write: OwnedWriteHalf,
    mut queued: mpsc::UnboundedReceiver<FromLearner>,
) -> io::Result<Never> {
    let mut out = Writer::new();
    while let Some(first) = queued.recv().await {
        first.encode().write(&mut out);
        while out.len() < WRITE_BYTES {
            let Ok(more) = queued.try_recv() else { break };
            more.encode().write(&mut out);
        }
        let mut bytes = std::mem::take(&mut out).into_vec();
        write.write_all(&bytes).await?;
        bytes.clear();
        bytes.shrink_to(WRITE_BYTES);
        out = Writer::over(bytes);
    }
    Err(io::Error::new(
        io::ErrorKind::NotConnected,
        "the link was closed by us",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_leader_whose_address_is_not_known_is_given_up_within_a_moment() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (told, events) = std::sync::mpsc::channel();
        let sink: PeerSink = Arc::new(move |event| told.send(event).expect("somebody listens"));
        let _link = LeaderLink::to_nowhere(runtime.handle(), 7, sink);
        let ended = events.recv_timeout(Duration::from_secs(10));
        assert!(
            matches!(&ended, Ok(PeerEvent::LeaderGone { link: 7, .. })),
            "not within an election's time"
        );
    }
}
