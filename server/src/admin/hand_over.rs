//! `POST /commands/hand_over`, ours alone: has a leader lead no longer while another member can at
//! once, as before its restart.

use super::backup::{authenticated, authorized, refused};
use super::http::{Admin, error, page};
use crate::ids::ServerId;
use crate::service::MemberState;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tracing::info;

/// How long a new leader may take before the answer says that there is none yet.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
const NAME: &str = "hand_over";

/// Answers once another member leads. 409 where this one does not lead, or where the others that
/// have caught up are no quorum: nothing happens then.
pub(super) async fn hand_over(admin: &Admin, headers: &HeaderMap, from: SocketAddr) -> Response {
    let allowed = authenticated(&admin.service, headers, from.ip())
        .and_then(|ids| authorized(&admin.service, &ids));
    if let Err(refusal) = allowed {
        return refused(NAME, from, refusal);
    }
    let (leads, successor) = {
        let status = admin.service.status.read();
        (status.state == MemberState::Leading, status.successor)
    };
    if !leads || successor.is_none() {
        let text = if leads {
            "no other member could lead: too few have caught up"
        } else {
            "this member does not lead"
        };
        return page(StatusCode::CONFLICT, NAME, error(text));
    }
    info!(%from, "asked to hand over");
    if let Some(consensus) = admin.service.consensus() {
        consensus.hand_over();
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(leader) = next_leader(admin) {
            let answer = Map::from_iter([("leader".to_owned(), Value::from(leader.0))]);
            return page(StatusCode::OK, NAME, answer);
        }
        if Instant::now() >= deadline {
            let text = "another member has not begun to lead yet";
            return page(StatusCode::GATEWAY_TIMEOUT, NAME, error(text));
        }
        sleep(PAUSE).await;
    }
}

/// Whom this member follows and serves by.
fn next_leader(admin: &Admin) -> Option<ServerId> {
    let status = admin.service.status.read();
    let follows = status
        .leader_id
        .filter(|leader| *leader != status.server_id);
    follows.filter(|_| admin.service.serving().is_some())
}
