//! Figures that several commands show. Source: `Commands.java`, `ServerMetrics.java`.

use crate::admin::VERSION;
use crate::ids::{ConnId, SessionId};
use crate::service::{LearnerStatus, Role, Service, Serving};
use crate::tree::Database;
use hashbrown::HashMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Notes when the process began, for `uptime`.
pub(super) fn note_start() {
    LazyLock::force(&STARTED);
}

/// Milliseconds since the process began.
pub(super) fn uptime_ms() -> u64 {
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Nodes as Java counts them: its tree has the root twice, as "" and "/".
pub(super) fn java_node_count(db: &Database) -> usize {
    db.tree.node_count() + 1
}

/// An address as `InetSocketAddress.toString` has it, without the slash.
pub(super) fn java_address(peer: SocketAddr) -> String {
    let ip = peer.ip().to_canonical();
    match ip {
        std::net::IpAddr::V4(ip) => format!("{ip}:{}", peer.port()),
        std::net::IpAddr::V6(ip) => {
            let parts: Vec<String> = ip
                .segments()
                .iter()
                .map(|part| format!("{part:x}"))
                .collect();
            format!("[{}]:{}", parts.join(":"), peer.port())
        }
    }
}

/// A figure of `mntr` and `/commands/monitor`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Figure {
    /// A count.
    Whole(i64),
    /// A mean.
    Mean(f64),
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Figure::Whole(value) => write!(f, "{value}"),
            // Java prints doubles with at least one decimal.
            Figure::Mean(value) => write!(f, "{value:?}"),
        }
    }
}

fn whole(value: impl TryInto<i64>) -> Figure {
    Figure::Whole(value.try_into().unwrap_or(i64::MAX))
}

/// The figures under Java's names, without its `zk_`.
pub(super) fn metrics(service: &Service) -> Vec<(&'static str, Figure)> {
    let stats = &service.stats;
    let latency = stats.latency();
    let mut all = vec![
        ("avg_latency", Figure::Mean(latency.average_ms())),
        ("min_latency", whole(latency.min_ms)),
        ("max_latency", whole(latency.max_ms)),
        ("packets_received", whole(stats.packets_received())),
        ("packets_sent", whole(stats.packets_sent())),
        ("num_alive_connections", whole(service.connection_count())),
        ("outstanding_requests", whole(stats.outstanding())),
    ];
    {
        let db = service.database.read();
        all.extend([
            ("znode_count", whole(java_node_count(&db))),
            ("ephemerals_count", whole(db.tree.ephemerals_count())),
            (
                "approximate_data_size",
                whole(db.tree.approximate_data_size()),
            ),
            ("global_sessions", whole(db.sessions().len())),
            ("local_sessions", whole(service.local_session_count())),
            ("digest_mismatches_count", whole(db.digest_mismatches())),
        ]);
    }
    all.push(("watch_count", whole(service.watches.lock().len())));
    all.push(("uptime", whole(uptime_ms())));
    if let Some((open, max)) = file_descriptors() {
        all.push(("open_file_descriptor_count", whole(open)));
        all.push(("max_file_descriptor_count", whole(max)));
    }
    let status = service.status.read();
    let synced = |role: Role| {
        let counts = |learner: &&LearnerStatus| learner.synced && learner.role == role;
        status.learners.iter().filter(counts).count()
    };
    if service.serving() == Some(Serving::Follower) && !status.learners.is_empty() {
        all.push(("synced_observers", whole(synced(Role::Observer))));
    }
    if service.serving() == Some(Serving::Leader) {
        let (last, min, max) = status.proposal_bytes;
        all.extend([
            ("learners", whole(status.learners.len())),
            ("synced_followers", whole(synced(Role::Participant))),
            ("synced_observers", whole(synced(Role::Observer))),
            ("synced_non_voting_followers", Figure::Whole(0)),
            ("last_proposal_size", Figure::Whole(last)),
            ("min_proposal_size", Figure::Whole(min)),
            ("max_proposal_size", Figure::Whole(max)),
        ]);
    }
    if !status.voters.is_empty() {
        all.push(("quorum_size", whole(status.voters.len())));
    }
    all
}

/// Descriptors open and allowed.
fn file_descriptors() -> Option<(usize, u64)> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Some((open, limits.current.unwrap_or(u64::MAX)))
}

/// What the process runs on.
pub(super) fn environment() -> Vec<(&'static str, String)> {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let directory = std::env::current_dir().unwrap_or_default();
    vec![
        ("zookeeper.version", super::FULL_VERSION.to_owned()),
        ("host.name", text(uname.nodename())),
        ("os.name", text(uname.sysname())),
        ("os.arch", text(uname.machine())),
        ("os.version", text(uname.release())),
        ("user.dir", directory.display().to_string()),
        ("server.version", VERSION.to_owned()),
    ]
}

/// Which session stands behind which connection.
pub(super) fn sessions_by_connection(service: &Service) -> HashMap<ConnId, SessionId> {
    let mut sessions = HashMap::new();
    service.each_connection(|connection| {
        sessions.insert(connection.id, connection.state.lock().session);
    });
    sessions
}
