//! From a configuration to a running member.

use super::alone::Alone;
use super::autopurge;
use super::engine::{Engine, Order, Peers};
use super::log_thread::LogThread;
use super::requests::{Sessions, wall_now};
use super::snapshots::Snapshots;
use super::{NodeEvent, Submitter};
use crate::admin::{AdminServer, AdminSettings};
use crate::config::{AdminConfig, Ensemble, HostPort, ServerConfig};
use crate::ids::{ServerId, Zxid};
use crate::jute::JuteError;
use crate::net::client::Listener;
use crate::net::peer::{Bind, ElectionNet, LearnerNet, LinkSettings, PeerSink, listen};
use crate::service::{Service, Settings as ServiceSettings};
use crate::storage::{
    Directories, EpochFiles, LogOptions, Recovered, SnapshotDir, StorageError, TxnLog,
    read_cluster_id, recover,
};
use crate::txn::{PrepareSettings, Preparer};
use crate::zab::{Durable, Entry, Membership, NowMs, Settings as ZabSettings, Zab};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// Bytes of data in one packet between members, whatever `jute.maxbuffer` says: what was accepted
/// once must never be refused later (ZOOKEEPER-4306).
const PACKET_BYTES_MIN: usize = 64 << 20;

/// Why a member can't start, or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log thread has ended; its own error was logged.
    #[error("the transaction log can't go on")]
    LogGone,
    /// A committed transaction that is none.
    #[error("the committed transaction {zxid} can't be read: {source}")]
    Undecodable {
        /// Where.
        zxid: Zxid,
        /// What is wrong.
        source: JuteError,
    },
    /// After a truncation the disk still holds more.
    #[error(
        "the log was cut behind {to}, but a snapshot on the disk stands at {at}: empty this member's dataDir and dataLogDir, and it takes everything from the leader"
    )]
    CutTooFar {
        /// Where to.
        to: Zxid,
        /// What was left.
        at: Zxid,
    },
    /// SNAP without a tree.
    #[error("a snapshot at {zxid} was announced, but no tree came")]
    NoTree {
        /// Its position.
        zxid: Zxid,
    },
    /// A port can't be listened on.
    #[error("can't listen on {what} {address}: {source}")]
    Listen {
        /// Which of the ports.
        what: &'static str,
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The machine gives no thread, or no signal handler.
    #[error("can't {intention}: {source}")]
    System {
        /// What was to be done.
        intention: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A configuration that this release can't run.
    #[error("{0}")]
    Unsupported(String),
    /// The engine's thread has panicked.
    #[error("the server's engine has stopped unexpectedly")]
    EngineGone,
}

/// Runs a member until SIGTERM or SIGINT. Call it on a tokio runtime with several threads.
///
/// # Errors
/// [`NodeError`], which names what failed and what to do about it.
pub async fn run(config: ServerConfig) -> Result<(), NodeError> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let (events, received) = mpsc::channel();
    let parts = prepare(&config, &events).await?;
    let service = Arc::clone(&parts.service);
    service.set_consensus(Arc::new(Submitter(events.clone())));

    let mut listeners = Vec::new();
    if let Some(address) = &config.client.address {
        let (listener, bound) = bind_client(address, config.client.listen_backlog).await?;
        info!(address = %bound, "listening for clients");
        listeners.push(tokio::spawn(listener.run(Arc::clone(&service))));
    }
    if config.admin.enabled {
        listeners.extend(start_admin(config.admin.clone(), &service).await);
    }

    listeners.extend(autopurge::start(config.purge, parts.snapshot_dir.clone()));
    let (ended, result) = oneshot::channel();
    thread::Builder::new()
        .name("engine".into())
        .spawn(move || {
            let _nobody_waits = ended.send(parts.run(&received));
        })
        .map_err(|source| NodeError::System {
            intention: "start the engine's thread",
            source,
        })?;
    let result = wait(result, &events).await;
    for listener in listeners {
        listener.abort();
    }
    result
}

/// Waits for the engine, and tells it when it is time to stop.
async fn wait(
    result: oneshot::Receiver<Result<(), NodeError>>,
    events: &mpsc::Sender<NodeEvent>,
) -> Result<(), NodeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let system = |source| NodeError::System {
        intention: "handle signals",
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    tokio::pin!(result);
    let name = tokio::select! {
        ended = &mut result => return ended.unwrap_or(Err(NodeError::EngineGone)),
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal = name, "closing");
    let _engine_gone = events.send(NodeEvent::Shutdown);
    result.await.unwrap_or(Err(NodeError::EngineGone))
}

/// The first address of a name; every address of the machine where it has none yet.
async fn resolve(address: &HostPort) -> SocketAddr {
    tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .ok()
        .and_then(|mut found| found.next())
        .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], address.port)))
}

/// Starts the AdminServer. As in Java, a member serves on without one: several on a machine share
/// the default port.
async fn start_admin(config: AdminConfig, service: &Arc<Service>) -> Option<JoinHandle<()>> {
    let address = HostPort::new(config.address, config.port);
    let server = match AdminServer::bind(resolve(&address).await).await {
        Ok(server) => server,
        Err(error) => {
            warn!(%address, %error, "no AdminServer (admin.serverPort): its port can't be listened on");
            return None;
        }
    };
    info!(%address, "AdminServer");
    let service = Arc::clone(service);
    Some(tokio::spawn(async move {
        if let Err(error) = server.run(service, AdminSettings::default()).await {
            warn!(%error, "the AdminServer has ended");
        }
    }))
}

/// A client port's listener.
async fn bind_client(
    address: &HostPort,
    backlog: i32,
) -> Result<(Listener, SocketAddr), NodeError> {
    let failed = |source| NodeError::Listen {
        what: "the client port",
        address: address.to_string(),
        source,
    };
    let listener = Listener::bind(resolve(address).await, backlog).map_err(failed)?;
    let bound = listener.local_address().map_err(failed)?;
    Ok((listener, bound))
}

/// An engine in pieces: the consensus is made on the engine's own thread.
struct Parts {
    service: Arc<Service>,
    snapshot_dir: SnapshotDir,
    make: Box<dyn FnOnce() -> Engine + Send>,
}

impl Parts {
    fn run(self, received: &mpsc::Receiver<NodeEvent>) -> Result<(), NodeError> {
        (self.make)().run(received)
    }
}

async fn prepare(
    config: &ServerConfig,
    events: &mpsc::Sender<NodeEvent>,
) -> Result<Parts, NodeError> {
    let storage = &config.storage;
    let directories = Arc::new(Directories::open(
        &config.data_dir,
        &config.data_log_dir,
        storage.datadir_autocreate,
    )?);
    let cluster_id = read_cluster_id(directories.data_dir())?;
    let log_options = LogOptions::of(storage);
    // Opening the log first cuts a torn tail, which recovery would only stop at.
    let log = TxnLog::open(&directories.logs(), log_options)?;
    let begun = Instant::now();
    let Recovered {
        database,
        last_logged,
        recent,
        initialized,
    } = recover(&directories, config)?;
    info!(
        zxid = %last_logged,
        nodes = database.tree.node_count(),
        initialized,
        ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "database loaded"
    );

    let me = config.server_id.unwrap_or(ServerId(0));
    let service = Service::new(service_settings(config, me), database, wall_now().0);
    {
        let mut status = service.status.write();
        status.cluster_id = cluster_id;
        status.config_version = config.ensemble.version;
        status.config_text = config.ensemble.to_string();
    }
    let log = LogThread::start(log, events.clone()).map_err(|source| NodeError::System {
        intention: "start the log's thread",
        source,
    })?;
    let snapshot_dir = SnapshotDir::of(&directories, config);
    let snapshots = Snapshots::new(
        snapshot_dir.clone(),
        u64::from(storage.snap_count),
        storage.snap_size_limit_bytes,
        me.0.unsigned_abs() ^ last_logged.0.unsigned_abs(),
        events.clone(),
    );
    let started = Instant::now();
    let peers = if config.is_distributed() {
        let epochs = EpochFiles::open(&directories.snapshots(), last_logged)?;
        Some(connect_peers(config, me, epochs, events).await?)
    } else {
        None
    };
    let zab_settings = zab_settings(config, me);
    let preparer = Preparer::new(prepare_settings(config));
    let sessions = Sessions::new(config.tick_time_ms, started);
    let config = config.clone();
    let shared = Arc::clone(&service);
    let make = move || {
        let mut outputs = Vec::new();
        let order = match &peers {
            None => Order::Alone(Alone::new(last_logged)),
            Some(peers) => {
                let durable = Durable {
                    accepted_epoch: peers.epochs.accepted(),
                    current_epoch: peers.epochs.current(),
                    last_logged: initialized.then_some(last_logged),
                    recent: recent
                        .into_iter()
                        .map(|(zxid, payload)| Entry { zxid, payload })
                        .collect(),
                };
                let zab = Zab::new(zab_settings, durable, NowMs(0), &mut outputs);
                Order::Ensemble(Box::new(zab))
            }
        };
        Engine {
            me,
            service: shared,
            order,
            peers,
            log,
            snapshots,
            preparer,
            sessions,
            recover: Box::new(move || Ok(recover(&directories, &config)?.database)),
            started,
            link: None,
            links_made: 0,
            incoming: None,
            proposed: VecDeque::new(),
            deliveries: Vec::new(),
            to_log: Vec::new(),
            outputs,
            serving: false,
            status_is_stale: true,
        }
    };
    Ok(Parts {
        service,
        snapshot_dir,
        make: Box::new(make),
    })
}

async fn connect_peers(
    config: &ServerConfig,
    me: ServerId,
    epochs: EpochFiles,
    events: &mpsc::Sender<NodeEvent>,
) -> Result<Peers, NodeError> {
    let own = config
        .ensemble
        .members
        .get(&me)
        .ok_or_else(|| NodeError::Unsupported(format!("server.{me} is not in the configuration")))?
        .address()
        .clone();
    let events = events.clone();
    let sink: PeerSink = Arc::new(move |event| {
        let _engine_gone = events.send(NodeEvent::Peer(event));
    });
    let bind = |address: HostPort| {
        if config.quorum.listen_on_all_ips {
            Bind::AllAddresses(address.port)
        } else {
            Bind::Named(address)
        }
    };
    let dial_timeout = Duration::from_millis(config.quorum.cnx_timeout_ms.into());
    let tick_ms = u64::try_from(config.tick_time_ms).unwrap_or(1);
    let patience_ticks =
        u64::try_from(config.quorum.connect_to_learner_master_limit_ticks).unwrap_or(1);
    let patience = Duration::from_millis(tick_ms * patience_ticks);
    let data_max = PACKET_BYTES_MIN.max(config.client.jute_buffer_bytes_max.saturating_mul(2));

    let election_bind = bind(own.election());
    let election = ElectionNet::start(
        me,
        own.election().to_string(),
        &election_bind,
        config
            .ensemble
            .members
            .iter()
            .map(|(id, member)| (*id, member.address().election())),
        dial_timeout,
        Arc::clone(&sink),
    )
    .await
    .map_err(|source| NodeError::Listen {
        what: "the election port",
        address: election_bind.to_string(),
        source,
    })?;
    let quorum_bind = bind(own.quorum());
    let listener = listen(&quorum_bind)
        .await
        .map_err(|source| NodeError::Listen {
            what: "the quorum port",
            address: quorum_bind.to_string(),
            source,
        })?;
    info!(election = %election_bind, quorum = %quorum_bind, "listening for members");
    Ok(Peers {
        election,
        learners: LearnerNet::start(listener, patience, data_max, Arc::clone(&sink)),
        quorum_addresses: config
            .ensemble
            .members
            .iter()
            .map(|(id, member)| (*id, member.address().quorum()))
            .collect::<BTreeMap<_, _>>(),
        link_settings: LinkSettings {
            dial_timeout,
            patience,
            data_max,
            extended_types: config.container.extended_types_enabled,
        },
        sink,
        runtime: tokio::runtime::Handle::current(),
        epochs,
    })
}

fn zab_settings(config: &ServerConfig, me: ServerId) -> ZabSettings {
    let ensemble: &Ensemble = &config.ensemble;
    let membership = Membership::new(
        ensemble.voters().map(|member| member.id),
        ensemble.observers().map(|member| member.id),
    );
    let groups = ensemble
        .groups
        .values()
        .map(|ids| {
            ids.iter()
                .map(|id| (*id, ensemble.weights.get(id).copied().unwrap_or(1)))
                .collect()
        })
        .collect();
    ZabSettings {
        me,
        membership: membership.with_groups(groups),
        config_text: ensemble.to_string(),
        tick_ms: u64::try_from(config.tick_time_ms).unwrap_or(1).max(1),
        init_limit: u64::try_from(config.quorum.init_limit_ticks).unwrap_or(1),
        sync_limit: u64::try_from(config.quorum.sync_limit_ticks).unwrap_or(1),
        recent_max: config.storage.commit_log_count,
    }
}

fn prepare_settings(config: &ServerConfig) -> PrepareSettings {
    PrepareSettings {
        skip_acl: config.auth.skip_acl,
        enforce_quota: config.client.enforce_quota,
        extended_types: config.container.extended_types_enabled,
        digest: config.storage.digest_enabled,
        ..PrepareSettings::default()
    }
}

fn service_settings(config: &ServerConfig, me: ServerId) -> ServiceSettings {
    let client = &config.client;
    ServiceSettings {
        server_id: me,
        tick_time_ms: config.tick_time_ms,
        min_session_timeout_ms: client.min_session_timeout_ms,
        max_session_timeout_ms: client.max_session_timeout_ms,
        max_client_cnxns: client.max_client_cnxns,
        max_cnxns: client.max_cnxns,
        global_outstanding_limit: client.global_outstanding_limit,
        jute_max_buffer: client.jute_buffer_bytes_max,
        super_digest: config.auth.super_digest.clone(),
        skip_acl: config.auth.skip_acl,
        listen_backlog: client.listen_backlog,
        four_letter_words: crate::service::Whitelist::parse(&client.four_letter_words.join(",")),
        configuration: configuration_lines(config, me),
        ..ServiceSettings::default()
    }
}

/// What `conf` prints. Source: `ZooKeeperServer.java` dumpConf.
fn configuration_lines(config: &ServerConfig, me: ServerId) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |key: &str, value: String| lines.push((key.to_owned(), value));
    let port = config
        .client
        .address
        .as_ref()
        .map_or(-1, |address| i32::from(address.port));
    line("clientPort", port.to_string());
    line(
        "dataDir",
        config.data_dir.join("version-2").display().to_string(),
    );
    line(
        "dataLogDir",
        config.data_log_dir.join("version-2").display().to_string(),
    );
    line("tickTime", config.tick_time_ms.to_string());
    line("maxClientCnxns", config.client.max_client_cnxns.to_string());
    line(
        "minSessionTimeout",
        config.client.min_session_timeout_ms.to_string(),
    );
    line(
        "maxSessionTimeout",
        config.client.max_session_timeout_ms.to_string(),
    );
    line(
        "clientPortListenBacklog",
        config.client.listen_backlog.to_string(),
    );
    line("serverId", me.to_string());
    if config.is_distributed() {
        line("initLimit", config.quorum.init_limit_ticks.to_string());
        line("syncLimit", config.quorum.sync_limit_ticks.to_string());
        line("electionAlg", "3".into());
        if let Some(own) = config.ensemble.members.get(&me) {
            line("electionPort", own.address().election_port.to_string());
            line("quorumPort", own.address().quorum_port.to_string());
        }
        let observer = config.role() == crate::config::Role::Observer;
        line("peerType", i32::from(observer).to_string());
        line("membership: ", String::new());
        for member in config.ensemble.to_string().lines() {
            if let Some((key, value)) = member.split_once('=') {
                line(key, value.to_owned());
            }
        }
    }
    lines
}
