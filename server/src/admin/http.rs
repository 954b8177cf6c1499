//! The AdminServer: probes, the member's page that the operator reads, and Java's commands.
//! Source for the commands: `Commands.java`, `JettyAdminServer.java`.

use super::backup::{Limits, restore, snapshot};
use super::hand_over::hand_over;
use super::leave::{self, leave};
use super::pages::{self, Asked, NOT_SERVING};
use super::{VERSION, commands};
use crate::service::{LearnerStatus, MemberState, Service, Serving};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How the admin port behaves.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// How old the node's heartbeat may be before `/live` fails.
    pub heartbeat_max: Duration,
    /// admin.commandURL.
    pub command_url: String,
    /// admin.rateLimiterIntervalInMS.
    pub rate_limit: Duration,
    /// admin.snapshot.enabled.
    pub snapshot: bool,
    /// admin.restore.enabled.
    pub restore: bool,
    /// serializeLastProcessedZxid.enabled: without it a snapshot does not say its position.
    pub says_position: bool,
}

impl Default for AdminSettings {
    fn default() -> Self {
        AdminSettings {
            heartbeat_max: Duration::from_secs(15),
            command_url: "/commands".into(),
            rate_limit: Duration::from_secs(300),
            snapshot: true,
            restore: true,
            says_position: true,
        }
    }
}

/// What every page is answered from.
pub(super) struct Admin {
    pub(super) service: Arc<Service>,
    pub(super) settings: AdminSettings,
    pub(super) limits: Limits,
    /// Set and read by people alone: it steers Java's log.
    pub(super) trace_mask: AtomicI64,
    /// Since when it answers.
    pub(super) started: Instant,
    /// Where it answers, and the AdminServers of the other members.
    pub(super) port: u16,
    /// What was last told of a member that was asked to stop.
    pub(super) told_of_leaving: leave::Told,
}

type Shared = State<Arc<Admin>>;

/// Source: `ZooTrace.java` traceMask: client requests, sessions, server packets and warnings.
const TRACE_MASK: i64 = 306;

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
        // As it may be written: `/commands`, `commands` or `/commands/`.
        let url = format!("/{}", settings.command_url.trim_matches('/'));
        let commands = format!("{}/{{name}}", url.trim_end_matches('/'));
        let admin = Arc::new(Admin {
            service,
            limits: Limits::new(settings.rate_limit),
            settings,
            trace_mask: AtomicI64::new(TRACE_MASK),
            started: Instant::now(),
            port: self.local_address()?.port(),
            told_of_leaving: leave::Told::default(),
        });
        let mut app = Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/member", get(member))
            .route("/leave", post(leave))
            .route(&commands, get(command).post(post_command));
        app = app.route(&url, get(list));
        if url != "/" {
            app = app.route(&format!("{url}/"), get(list));
        }
        let app = app
            .with_state(admin)
            .into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.socket, app).await
    }
}

/// Whether the process turns over: a node whose loop hangs never comes round to its heartbeat.
async fn live(State(admin): Shared) -> Response {
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
async fn ready(State(admin): Shared) -> Response {
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
async fn member(State(admin): Shared) -> Json<Value> {
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
        "config": status.config_text,
        "clusterId": status.cluster_id,
        "voters": status.voters.iter().map(|id| id.0).collect::<Vec<_>>(),
        "learners": status.learners.iter().map(learner).collect::<Vec<_>>(),
        "connections": connections,
        "fault": status.fault,
    })
}

async fn list(State(admin): Shared) -> Html<String> {
    let url = admin.settings.command_url.trim_matches('/');
    let links: Vec<String> = pages::COMMANDS
        .iter()
        .map(|(name, _)| format!("<a href=\"/{url}/{name}\">{name}</a>\n<br/>"))
        .collect();
    Html(links.join("\n"))
}

/// Source: `Commands.java` runCommand, whose codes these are.
async fn command(
    State(admin): Shared,
    Path(asked): Path<String>,
    Query(arguments): Query<HashMap<String, String>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let Some(name) = pages::full_name(&asked) else {
        return unknown(&asked);
    };
    match name {
        "snapshot" => snapshot(&admin, &asked, &arguments, &headers, from).await,
        "restore" => {
            let text = "restore takes a snapshot by POST";
            page(StatusCode::METHOD_NOT_ALLOWED, name, error(text))
        }
        name => {
            let service = Arc::clone(&admin.service);
            let asked = Asked {
                name,
                trace_mask: arguments.get("traceMask").cloned(),
            };
            let answered = tokio::task::spawn_blocking(move || {
                pages::answer(&service, &admin.trace_mask, &asked)
            });
            match answered.await {
                Ok(body) => page(StatusCode::OK, name, body),
                Err(problem) => {
                    let body = error(&problem.to_string());
                    page(StatusCode::INTERNAL_SERVER_ERROR, name, body)
                }
            }
        }
    }
}

async fn post_command(
    State(admin): Shared,
    Path(asked): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match pages::full_name(&asked) {
        None if asked == "hand_over" => hand_over(&admin, &headers, from).await,
        None => unknown(&asked),
        Some("restore") => restore(&admin, &asked, &headers, from, body).await,
        Some(name) => {
            let text = format!("{name} is asked by GET");
            page(StatusCode::METHOD_NOT_ALLOWED, name, error(&text))
        }
    }
}

fn unknown(asked: &str) -> Response {
    let text = format!("Unknown command: {asked}");
    page(StatusCode::OK, asked, error(&text))
}

/// What is said of a member that serves nobody. As in Java the code is that of success.
pub(super) fn not_serving(asked: &str) -> Response {
    page(StatusCode::OK, asked, error(NOT_SERVING))
}

/// A page that says only what went wrong.
pub(super) fn error(text: &str) -> Map<String, Value> {
    Map::from_iter([("error".to_owned(), Value::from(text))])
}

/// A page as all have it, with the command's name and an error or null.
pub(super) fn page(code: StatusCode, name: &str, mut body: Map<String, Value>) -> Response {
    body.insert("command".to_owned(), Value::from(name));
    body.entry("error").or_insert(Value::Null);
    (code, Json(Value::Object(body))).into_response()
}
