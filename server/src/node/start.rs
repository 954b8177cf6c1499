//! From a configuration to a running member.

use super::alone::Alone;
use super::containers::Containers;
use super::disk::{Disk, OpenDisk, durable};
use super::engine::{Engine, Order, Peers};
use super::error::NodeError;
use super::full_disk::FullDisk;
use super::keeper::Keeper;
use super::local_sessions::LocalSessions;
use super::log_thread::LogThread;
use super::masters::Masters;
use super::read_only::ReadOnly;
use super::requests::{Sessions, wall_now};
use super::snapshots::Snapshots;
use super::{NodeEvent, Submitter};
use super::{autopurge, membership, settings};
use crate::admin::{AdminServer, AdminSettings};
use crate::config::{AdminConfig, HostPort, ServerConfig};
use crate::ids::ServerId;
use crate::net::client::{Listener, Security, resolve, run_moving};
use crate::net::peer::{ElectionNet, LearnerNet, LinkSettings, PeerSink, listen};
use crate::net::tls::TlsServer;
use crate::service::Service;
use crate::storage::{DynamicConfigFiles, EpochFiles, Recovered, SnapshotDir, read_cluster_id};
use crate::txn::Preparer;
use crate::zab::{NowMs, Zab};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// Bytes of data in one packet between members, whatever `jute.maxbuffer` says: what was accepted
/// once must never be refused later (ZOOKEEPER-4306).
const PACKET_BYTES_MIN: usize = 64 << 20;

/// Runs a member until SIGTERM or SIGINT. Call it on a tokio runtime with several threads.
///
/// # Errors
/// [`NodeError`], which names what failed and what to do about it.
pub async fn run(config: ServerConfig) -> Result<(), NodeError> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    // Before anything else is touched: a wrong store should leave no trace.
    let tls = client_tls(&config)?;
    let (events, received) = mpsc::channel();
    let parts = prepare(&config, &events).await?;
    let service = Arc::clone(&parts.service);
    service.set_consensus(Arc::new(Submitter(events.clone())));
    service.set_maintenance(Arc::new(Keeper::new(
        &service,
        parts.snapshot_dir.clone(),
        config.container.extended_types_enabled,
        events.clone(),
    )));

    let mut listeners = vec![start_client_port(&config, &parts, tls.as_ref()).await?];
    if let (Some(address), Some(tls)) = (&config.client.secure_address, tls) {
        let (listener, bound) = bind_client(address, config.client.listen_backlog).await?;
        info!(address = %bound, "listening for clients with TLS");
        let listener = listener.with(Security::Tls(tls));
        listeners.push(tokio::spawn(listener.run(Arc::clone(&service))));
    }
    if config.admin.enabled {
        let settings = settings::for_admin(&config);
        listeners.extend(start_admin(config.admin.clone(), settings, &service).await);
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

/// Starts the AdminServer. As in Java, a member serves on without one: several on a machine share
/// the default port.
async fn start_admin(
    config: AdminConfig,
    settings: AdminSettings,
    service: &Arc<Service>,
) -> Option<JoinHandle<()>> {
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
        if let Err(error) = server.run(service, settings).await {
            warn!(%error, "the AdminServer has ended");
        }
    }))
}

/// TLS of the ports of clients, where one of them has it.
fn client_tls(config: &ServerConfig) -> Result<Option<Arc<TlsServer>>, NodeError> {
    if config.client.secure_address.is_none() && !config.tls.client_port_unification {
        return Ok(None);
    }
    let tls = TlsServer::new(config.tls.client.clone())?;
    Ok(Some(Arc::new(tls)))
}

/// The port of clients, which goes where the ensemble's configuration puts it.
async fn start_client_port(
    config: &ServerConfig,
    parts: &Parts,
    tls: Option<&Arc<TlsServer>>,
) -> Result<JoinHandle<()>, NodeError> {
    let security = match tls {
        Some(tls) if config.tls.client_port_unification => Security::Either(Arc::clone(tls)),
        _ => Security::Plain,
    };
    let mut first = None;
    if let Some(address) = &config.client.address {
        let (listener, bound) = bind_client(address, config.client.listen_backlog).await?;
        info!(address = %bound, "listening for clients");
        first = Some(listener);
    }
    let (service, place) = (Arc::clone(&parts.service), parts.client_place.clone());
    Ok(tokio::spawn(run_moving(first, service, security, place)))
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
pub(super) struct Parts {
    pub(super) service: Arc<Service>,
    snapshot_dir: SnapshotDir,
    client_place: watch::Receiver<Option<HostPort>>,
    pub(super) make: Box<dyn FnOnce() -> Engine + Send>,
}

impl Parts {
    fn run(self, received: &mpsc::Receiver<NodeEvent>) -> Result<(), NodeError> {
        (self.make)().run(received)
    }
}

/// The disk, once there is room for the little that a start writes: a process that ends for want of
/// it is only started again.
async fn open_disk(config: &ServerConfig) -> Result<(Disk, OpenDisk), NodeError> {
    const PAUSE: Duration = Duration::from_secs(2);
    loop {
        let opened = Disk::new(config).and_then(|disk| {
            let open = disk.open()?;
            Ok((disk, open))
        });
        match opened {
            Err(problem) if problem.is_disk_full() => {
                warn!(%problem, "the disk is full: waiting for room to start");
                tokio::time::sleep(PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
}

pub(super) async fn prepare(
    config: &ServerConfig,
    events: &mpsc::Sender<NodeEvent>,
) -> Result<Parts, NodeError> {
    let storage = &config.storage;
    let begun = Instant::now();
    let (disk, OpenDisk { log, recovered }) = open_disk(config).await?;
    let cluster_id = read_cluster_id(disk.directories().data_dir())?;
    let Recovered {
        database,
        last_logged,
        recent,
        initialized,
    } = recovered;
    info!(
        zxid = %last_logged,
        nodes = database.tree.node_count(),
        initialized,
        ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "database loaded"
    );

    let me = config.server_id.unwrap_or(ServerId(0));
    let service = Service::new(settings::for_service(config, me), database, wall_now().0);
    {
        let mut status = service.status.write();
        status.cluster_id = cluster_id;
        status.config_version = config.ensemble.version;
        status.config_text = config.ensemble.to_string();
    }
    let log = LogThread::start(log, events.clone(), 0).map_err(|source| NodeError::System {
        intention: "start the log's thread",
        source,
    })?;
    let snapshot_dir = disk.snapshots();
    let snapshots = Snapshots::new(
        snapshot_dir.clone(),
        u64::from(storage.snap_count),
        storage.snap_size_limit_bytes,
        me.0.unsigned_abs() ^ last_logged.0.unsigned_abs(),
        events.clone(),
    );
    let started = Instant::now();
    let peers = if config.is_distributed() {
        let epochs = disk.epochs(last_logged)?;
        Some(connect_peers(config, me, epochs, events).await?)
    } else {
        None
    };
    let zab_settings = settings::for_zab(config, me);
    let preparer = Preparer::new(settings::for_preparer(config));
    let local = LocalSessions::new(config);
    let sessions = Sessions::new(config.tick_time_ms, local, started);
    let containers = Containers::new(&config.container, started);
    let read_only = ReadOnly::new(config);
    let events = events.clone();
    let (client_place, wanted_place) = watch::channel(config.client.address.clone());
    let shared = Arc::clone(&service);
    let make = move || {
        let mut outputs = Vec::new();
        let order = match &peers {
            None => Order::Alone(Alone::new(last_logged)),
            Some(peers) => {
                let durable = durable(&peers.epochs, initialized, last_logged, recent);
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
            containers,
            read_only,
            disk,
            full_disk: FullDisk::new(),
            client_place,
            events,
            started,
            link: None,
            links_made: 0,
            incoming: None,
            counts_as_empty: false,
            proposed: VecDeque::new(),
            deliveries: Vec::new(),
            to_log: Vec::new(),
            outputs,
            serving: false,
            leaving: false,
            status_is_stale: true,
        }
    };
    Ok(Parts {
        service,
        snapshot_dir,
        client_place: wanted_place,
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
        .own
        .as_ref()
        .ok_or_else(|| NodeError::Unsupported(format!("server.{me} is not in the configuration")))?
        .address()
        .clone();
    let events = events.clone();
    let sink: PeerSink = Arc::new(move |event| {
        let _engine_gone = events.send(NodeEvent::Peer(event));
    });
    let bind = |address| membership::bind(config.quorum.listen_on_all_ips, address);
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
        [],
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
    let mut peers = Peers {
        election,
        learners: LearnerNet::start(listener, patience, data_max, Arc::clone(&sink)),
        quorum_addresses: BTreeMap::new(),
        masters: Masters::new(&config.quorum),
        active: config.ensemble.clone(),
        seen: config.ensemble_next.clone(),
        heard: None,
        files: DynamicConfigFiles::new(config.dynamic.clone(), config.file.clone()),
        standalone_enabled: config.standalone_enabled,
        own,
        listen_on_all_ips: config.quorum.listen_on_all_ips,
        link_settings: LinkSettings {
            dial_timeout,
            patience,
            data_max,
            extended_types: config.container.extended_types_enabled,
        },
        sink,
        runtime: tokio::runtime::Handle::current(),
        epochs,
    };
    // A configuration that was proposed before it died may be what it needs somebody of.
    peers.meet();
    Ok(peers)
}
