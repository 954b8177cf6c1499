//! The AdminServer: probes, the member's page that the operator reads, and Java's commands.
//! Source for the commands: `Commands.java`, `JettyAdminServer.java`.

use super::{VERSION, commands};
use crate::service::{LearnerStatus, MemberState, Role, Service, Serving};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Names and short names, as Java lists them.
const COMMANDS: [&str; 19] = [
    "configuration",
    "connection_stat_reset",
    "connections",
    "dirs",
    "environment",
    "hash",
    "is_read_only",
    "leader",
    "monitor",
    "observers",
    "ruok",
    "server_stats",
    "stat_reset",
    "stats",
    "voting_view",
    "watch_summary",
    "watches",
    "watches_by_path",
    "zabstate",
];

/// How the admin port behaves.
#[derive(Clone, Copy, Debug)]
pub struct AdminSettings {
    /// How old the node's heartbeat may be before `/live` fails.
    pub heartbeat_max: Duration,
}

impl Default for AdminSettings {
    fn default() -> Self {
        AdminSettings {
            heartbeat_max: Duration::from_secs(15),
        }
    }
}

#[derive(Clone)]
struct Admin {
    service: Arc<Service>,
    settings: AdminSettings,
}

/// The admin port.
#[derive(Debug)]
pub struct AdminServer {
    socket: TcpListener,
}

impl AdminServer {
    /// Takes the port.
    ///
    /// # Errors
    /// What the system says, as when the port is taken.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        commands::note_start();
        Ok(AdminServer {
            socket: TcpListener::bind(address).await?,
        })
    }

    /// The address taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers until dropped.
    ///
    /// # Errors
    /// What the system says of the listening socket.
    pub async fn run(self, service: Arc<Service>, settings: AdminSettings) -> io::Result<()> {
        let app = Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/member", get(member))
            .route("/commands", get(list))
            .route("/commands/", get(list))
            .route("/commands/{name}", get(command))
            .with_state(Admin { service, settings });
        axum::serve(self.socket, app).await
    }
}

/// Whether the process turns over: a node whose loop hangs never comes round to its heartbeat.
async fn live(State(admin): State<Admin>) -> Response {
    let age = admin.service.status.read().heartbeat.elapsed();
    if age > admin.settings.heartbeat_max {
        let text = format!(
            "the node's loop has not come round for {} s\n",
            age.as_secs()
        );
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    (StatusCode::OK, "live\n").into_response()
}

/// Whether clients are served now.
async fn ready(State(admin): State<Admin>) -> Response {
    match admin.service.serving() {
        Some(Serving::ReadOnly) => {
            let text = "read-only: this member sees no quorum\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Some(serving) => {
            let text = format!("serving as {}\n", serving.as_str());
            (StatusCode::OK, text).into_response()
        }
        None => {
            let status = admin.service.status.read();
            let text = match (&status.fault, status.state) {
                (Some(fault), _) => format!("{fault}\n"),
                (None, MemberState::Starting) => "starting: reading its disk\n".into(),
                (None, MemberState::Looking) => "looking for a leader\n".into(),
                (None, _) => "not serving: synchronising with its ensemble\n".into(),
            };
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// The page that the operator reads.
async fn member(State(admin): State<Admin>) -> Json<Value> {
    Json(member_page(&admin.service))
}

fn member_page(service: &Service) -> Value {
    let serving = service.serving();
    let connections = service.connection_count();
    let last_zxid = service.database.read().last_processed();
    let status = service.status.read();
    let learner = |learner: &LearnerStatus| {
        json!({
            "id": learner.id.0,
            "role": learner.role,
            "synced": learner.synced,
            "zxid": learner.zxid.to_string(),
        })
    };
    json!({
        "serverId": status.server_id.0,
        "state": status.state,
        "role": status.role,
        "serving": serving.is_some_and(|serving| serving != Serving::ReadOnly),
        "leaderId": status.leader_id.map(|id| id.0),
        "version": VERSION,
        "lastZxid": last_zxid.to_string(),
        "currentEpoch": status.current_epoch.0,
        "acceptedEpoch": status.accepted_epoch.0,
        "configVersion": format!("{:#x}", status.config_version),
        "clusterId": status.cluster_id,
        "voters": status.voters.iter().map(|id| id.0).collect::<Vec<_>>(),
        "learners": status.learners.iter().map(learner).collect::<Vec<_>>(),
        "connections": connections,
        "fault": status.fault,
    })
}

async fn list() -> Html<String> {
    let links: Vec<String> = COMMANDS
        .iter()
        .map(|name| format!("<a href=\"/commands/{name}\">{name}</a><br/>"))
        .collect();
    Html(links.join("\n"))
}

async fn command(State(admin): State<Admin>, Path(name): Path<String>) -> Response {
    let service = &*admin.service;
    let (name, answer) = match name.as_str() {
        "ruok" => ("ruok", Ok(Map::new())),
        "stat" | "stats" => ("stats", stats(service, true)),
        "srvr" | "server_stats" => ("server_stats", stats(service, false)),
        "mntr" | "monitor" => ("monitor", monitor(service)),
        "cons" | "connections" => ("connections", connections(service)),
        "conf" | "config" | "configuration" => ("configuration", Ok(configuration(service))),
        "lead" | "leader" => ("leader", Ok(leader(service))),
        "isro" | "is_read_only" => {
            let read_only = service.serving() == Some(Serving::ReadOnly);
            ("is_read_only", Ok(object(json!({"read_only": read_only}))))
        }
        "hash" => ("hash", Ok(hash(service))),
        "dirs" => ("dirs", Ok(dirs(service))),
        "env" | "envi" | "environment" => {
            let all = commands::environment().into_iter();
            let all = all.map(|(key, value)| (key.to_owned(), Value::from(value)));
            ("environment", Ok(all.collect()))
        }
        "wchs" | "watch_summary" => ("watch_summary", Ok(watch_summary(service))),
        "wchc" | "watches" => ("watches", Ok(watches(service))),
        "wchp" | "watches_by_path" => ("watches_by_path", Ok(watches_by_path(service))),
        "srst" | "stat_reset" => {
            service.stats.reset();
            ("stat_reset", Ok(Map::new()))
        }
        "crst" | "connection_stat_reset" => {
            service.each_connection(|connection| {
                connection.state.lock().info = Default::default();
            });
            ("connection_stat_reset", Ok(Map::new()))
        }
        "observers" => ("observers", Ok(observers(service))),
        "voting_view" => ("voting_view", Ok(voting_view(service))),
        "zabstate" => ("zabstate", Ok(zabstate(service))),
        _ => {
            let page = json!({"command": name, "error": "Unknown command"});
            return (StatusCode::NOT_FOUND, Json(page)).into_response();
        }
    };
    let (code, body, error) = match answer {
        Ok(body) => (StatusCode::OK, body, Value::Null),
        Err(error) => {
            let code = StatusCode::SERVICE_UNAVAILABLE;
            (code, Map::new(), Value::from(error))
        }
    };
    let mut page = body;
    page.insert("command".to_owned(), Value::from(name));
    page.insert("error".to_owned(), error);
    (code, Json(Value::Object(page))).into_response()
}

type Answer = Result<Map<String, Value>, &'static str>;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn stats(service: &Service, clients: bool) -> Answer {
    let serving = service.serving().ok_or(NOT_SERVING)?;
    let latency = service.stats.latency();
    let (zxid, nodes) = {
        let db = service.database.read();
        (db.last_processed(), commands::java_node_count(&db))
    };
    let mut page = object(json!({
        "version": super::FULL_VERSION,
        "read_only": serving == Serving::ReadOnly,
        "server_stats": {
            "packets_sent": service.stats.packets_sent(),
            "packets_received": service.stats.packets_received(),
            "max_latency": latency.max_ms,
            "avg_latency": latency.average_ms(),
            "min_latency": latency.min_ms,
            "outstanding_requests": service.stats.outstanding(),
            "server_state": serving.as_str(),
            "num_alive_client_connections": service.connection_count(),
            "last_processed_zxid": zxid.0,
        },
        "node_count": nodes,
    }));
    if clients {
        page.insert("connections".to_owned(), connection_list(service));
    }
    Ok(page)
}

fn monitor(service: &Service) -> Answer {
    let serving = service.serving().ok_or(NOT_SERVING)?;
    let mut page = object(json!({
        "version": super::FULL_VERSION,
        "server_state": serving.as_str(),
    }));
    for (name, figure) in commands::metrics(service) {
        page.insert(name.to_owned(), json!(figure));
    }
    Ok(page)
}

fn connections(service: &Service) -> Answer {
    service.serving().ok_or(NOT_SERVING)?;
    Ok(object(json!({
        "connections": connection_list(service),
        "secure_connections": [],
    })))
}

fn connection_list(service: &Service) -> Value {
    let mut list = Vec::new();
    service.each_connection(|connection| {
        let state = connection.state.lock();
        let info = &state.info;
        list.push(json!({
            "remote_socket_address": commands::java_address(connection.peer),
            "outstanding_requests": state.outstanding(),
            "packets_received": info.received,
            "packets_sent": info.sent,
            "session_id": state.session.0,
            "last_operation": info.last_op,
            "session_timeout": state.timeout_ms,
            "last_cxid": info.last_cxid,
            "last_zxid": info.last_zxid.0,
            "last_latency": info.last_latency_ms,
            "min_latency": info.latency.min_ms,
            "avg_latency": info.latency.total_ms.checked_div(info.latency.count).unwrap_or(0),
            "max_latency": info.latency.max_ms,
        }));
    });
    Value::Array(list)
}

fn configuration(service: &Service) -> Map<String, Value> {
    let pairs = service.settings.configuration.iter();
    let mut page: Map<String, Value> = pairs
        .map(|(key, value)| {
            let number = value.parse::<i64>().map(Value::from);
            (
                key.clone(),
                number.unwrap_or_else(|_| Value::from(value.as_str())),
            )
        })
        .collect();
    let text = service.status.read().config_text.clone();
    page.insert("membership".to_owned(), Value::from(text));
    page
}

fn leader(service: &Service) -> Map<String, Value> {
    let status = service.status.read();
    object(json!({
        "is_leader": service.serving() == Some(Serving::Leader),
        "leader_id": status.leader_id.map(|id| id.0),
    }))
}

fn hash(service: &Service) -> Map<String, Value> {
    let db = service.database.read();
    object(json!({
        "digests": [{
            "zxid": db.last_processed().0,
            "digest": format!("{:x}", db.digest()),
            "digestVersion": crate::tree::DIGEST_VERSION,
        }],
    }))
}

fn dirs(service: &Service) -> Map<String, Value> {
    let status = service.status.read();
    object(json!({
        "datadir_size": status.data_dir_bytes,
        "logdir_size": status.log_dir_bytes,
    }))
}

fn watch_summary(service: &Service) -> Map<String, Value> {
    let (connections, paths, total) = service.watches.lock().data_summary();
    object(json!({
        "num_connections": connections,
        "num_paths": paths,
        "num_total_watches": total,
    }))
}

fn watches(service: &Service) -> Map<String, Value> {
    let sessions = commands::sessions_by_connection(service);
    let watches = service.watches.lock();
    let mut map = Map::new();
    for (conn, paths) in watches.data_by_conn() {
        if let Some(session) = sessions.get(&conn) {
            let paths: Vec<&str> = paths.collect();
            map.insert(session.to_string(), json!(paths));
        }
    }
    map
}

fn watches_by_path(service: &Service) -> Map<String, Value> {
    let sessions = commands::sessions_by_connection(service);
    let watches = service.watches.lock();
    let mut map = Map::new();
    for (path, conns) in watches.data_by_path() {
        let known = conns.filter_map(|conn| sessions.get(&conn));
        let known: Vec<String> = known.map(ToString::to_string).collect();
        map.insert(path.to_owned(), json!(known));
    }
    map
}

fn observers(service: &Service) -> Map<String, Value> {
    let status = service.status.read();
    let synced = status.learners.iter();
    let synced = synced.filter(|learner| learner.role == Role::Observer && learner.synced);
    object(json!({"synced_observers": synced.count()}))
}

fn voting_view(service: &Service) -> Map<String, Value> {
    let status = service.status.read();
    let voters: Vec<i64> = status.voters.iter().map(|id| id.0).collect();
    object(json!({"current_config": voters}))
}

fn zabstate(service: &Service) -> Map<String, Value> {
    let last_zxid = service.database.read().last_processed().to_string();
    let status = service.status.read();
    let state = match status.state {
        MemberState::Leading => "LEADING",
        MemberState::Following => "FOLLOWING",
        MemberState::Observing => "OBSERVING",
        MemberState::Looking => "ELECTION",
        MemberState::Standalone => "STANDALONE",
        MemberState::Starting => "STARTING",
    };
    object(json!({
        "zabstate": state,
        "voting": status.role == Role::Participant,
        "last_zxid": last_zxid,
    }))
}
