//! Snapshots taken and restored over HTTP, by those who may do everything to the root node.
//! Source: `Commands.java` SnapshotCommand, RestoreCommand, handleAuthentication and
//! handleAuthorization, `RateLimiter.java`.

use super::http::{Admin, error, not_serving, page};
use crate::proto::{Id, Perms};
use crate::service::{Maintenance, RestoreError, Service, identities};
use crate::tree::acl::allows;
use axum::body::{Body, HttpBody};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use serde_json::Map;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tracing::{info, warn};

/// How often each of the two may be done.
pub(super) struct Limits {
    snapshot: RateLimiter,
    restore: RateLimiter,
}

impl Limits {
    pub(super) fn new(interval: Duration) -> Self {
        Limits {
            // Java 3.9.5 takes the number for microseconds here, and whoever fetches a snapshot
            // every minute relies on it.
            snapshot: RateLimiter::new(interval / 1_000),
            restore: RateLimiter::new(interval),
        }
    }
}

/// One at once, and then one an interval.
struct RateLimiter {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl RateLimiter {
    fn new(interval: Duration) -> Self {
        RateLimiter {
            interval,
            last: Mutex::new(None),
        }
    }

    fn allows(&self, now: Instant) -> bool {
        let mut last = self.last.lock();
        if last.is_some_and(|last| now.duration_since(last) <= self.interval) {
            return false;
        }
        *last = Some(now);
        true
    }
}

/// Why a command is not carried out, with the code for it.
pub(super) struct Refusal(StatusCode, &'static str);

/// What `Authorization: scheme [proof]` proves.
pub(super) fn authenticated(
    service: &Service,
    headers: &HeaderMap,
    from: IpAddr,
) -> Result<Vec<Id>, Refusal> {
    const NOT_PROVEN: Refusal = Refusal(StatusCode::UNAUTHORIZED, "Not authenticated");
    let Some(header) = headers.get(AUTHORIZATION) else {
        let text = "Auth info is missing for the command";
        return Err(Refusal(StatusCode::UNAUTHORIZED, text));
    };
    let header = String::from_utf8_lossy(header.as_bytes());
    let words: Vec<&str> = header.split(' ').collect();
    let (scheme, proof) = match words.as_slice() {
        [scheme] => (*scheme, None),
        [scheme, proof] => (*scheme, Some(*proof)),
        _ => return Err(NOT_PROVEN),
    };
    let proof = match (scheme, proof) {
        // The address is its own proof.
        ("ip", _) => "",
        (_, Some(proof)) => proof,
        (_, None) => return Err(NOT_PROVEN),
    };
    identities(&service.settings.auth, scheme, proof.as_bytes(), from).ok_or(NOT_PROVEN)
}

/// Whether these identities may do everything to the root node: each permission by itself.
pub(super) fn authorized(service: &Service, ids: &[Id]) -> Result<(), Refusal> {
    if service.settings.skip_acl {
        return Ok(());
    }
    let database = service.database.read();
    let Some(root) = database.tree.get("/") else {
        let text = "Error occurred during auth";
        return Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, text));
    };
    let all = [
        Perms::READ,
        Perms::WRITE,
        Perms::CREATE,
        Perms::DELETE,
        Perms::ADMIN,
    ];
    if all.iter().all(|perm| allows(root.acl(), *perm, ids)) {
        Ok(())
    } else {
        Err(Refusal(StatusCode::FORBIDDEN, "Not authorized"))
    }
}

/// Checks in Java's order, and returns who does the work.
fn admitted(
    admin: &Admin,
    headers: &HeaderMap,
    from: SocketAddr,
    enabled: bool,
    limit: &RateLimiter,
) -> Result<Arc<dyn Maintenance>, Refusal> {
    let ids = authenticated(&admin.service, headers, from.ip())?;
    authorized(&admin.service, &ids)?;
    if !enabled {
        let text = "the command is disabled";
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    if !admin.settings.says_position {
        let text = "the command needs serializeLastProcessedZxid.enabled=true";
        return Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    if !limit.allows(Instant::now()) {
        let text = "asked again too soon, see admin.rateLimiterIntervalInMS";
        return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, text));
    }
    let text = "nobody looks after the disk here";
    let refusal = Refusal(StatusCode::INTERNAL_SERVER_ERROR, text);
    admin.service.maintenance().ok_or(refusal)
}

pub(super) fn refused(asked: &str, from: SocketAddr, Refusal(code, text): Refusal) -> Response {
    warn!(command = asked, %from, reason = text, "an admin command was refused");
    page(code, asked, error(text))
}

/// Takes a snapshot and, unless `streaming=false` is asked for, sends it.
pub(super) async fn snapshot(
    admin: &Admin,
    asked: &str,
    arguments: &HashMap<String, String>,
    headers: &HeaderMap,
    from: SocketAddr,
) -> Response {
    if admin.service.serving().is_none() {
        return not_serving(asked);
    }
    let (enabled, limit) = (admin.settings.snapshot, &admin.limits.snapshot);
    let maintenance = match admitted(admin, headers, from, enabled, limit) {
        Ok(maintenance) => maintenance,
        Err(refusal) => return refused(asked, from, refusal),
    };
    let taken = tokio::task::spawn_blocking(move || maintenance.take_snapshot()).await;
    let problem = match taken {
        Ok(Ok(taken)) => {
            let streaming = arguments
                .get("streaming")
                .is_none_or(|text| text.eq_ignore_ascii_case("true"));
            let mut response = if streaming {
                let file = tokio::fs::File::from_std(taken.file);
                let mut response = Body::from_stream(ReaderStream::new(file)).into_response();
                let headers = response.headers_mut();
                let octets = HeaderValue::from_static("application/octet-stream");
                headers.insert(CONTENT_TYPE, octets);
                headers.insert(CONTENT_LENGTH, HeaderValue::from(taken.bytes));
                response
            } else {
                page(StatusCode::OK, "snapshot", Map::new())
            };
            let headers = response.headers_mut();
            if let Ok(zxid) = HeaderValue::try_from(taken.zxid.to_string()) {
                headers.insert(HeaderName::from_static("last_zxid"), zxid);
            }
            let size = HeaderValue::from(taken.bytes);
            headers.insert(HeaderName::from_static("snapshot_size"), size);
            return response;
        }
        Ok(Err(problem)) => problem.to_string(),
        Err(problem) => problem.to_string(),
    };
    warn!(problem, "no snapshot was taken");
    page(
        StatusCode::INTERNAL_SERVER_ERROR,
        "snapshot",
        error(&problem),
    )
}

/// Reads a snapshot from the request and has it restored.
pub(super) async fn restore(
    admin: &Admin,
    asked: &str,
    headers: &HeaderMap,
    from: SocketAddr,
    body: Body,
) -> Response {
    if admin.service.serving().is_none() {
        return not_serving(asked);
    }
    let (enabled, limit) = (admin.settings.restore, &admin.limits.restore);
    let maintenance = match admitted(admin, headers, from, enabled, limit) {
        Ok(maintenance) => maintenance,
        Err(refusal) => return refused(asked, from, refusal),
    };
    info!(%from, "a snapshot to restore is coming in");
    // A few pieces under way: what has come is read, and nothing more is asked for before.
    const PIECES_MAX: usize = 4;
    let (pieces, received) = mpsc::channel(PIECES_MAX);
    let restored = tokio::task::spawn_blocking(move || {
        let mut sent = Sent {
            pieces: received,
            piece: Bytes::new(),
        };
        maintenance.restore(&mut sent)
    });
    forward(body, pieces).await;
    let (code, problem) = match restored.await {
        Ok(Ok(zxid)) => {
            let mut answer = Map::new();
            answer.insert("last_zxid".to_owned(), zxid.0.into());
            return page(StatusCode::OK, "restore", answer);
        }
        Ok(Err(problem @ RestoreError::InEnsemble)) => (StatusCode::CONFLICT, problem.to_string()),
        Ok(Err(problem)) => (StatusCode::INTERNAL_SERVER_ERROR, problem.to_string()),
        Err(problem) => (StatusCode::INTERNAL_SERVER_ERROR, problem.to_string()),
    };
    warn!(problem, "no snapshot was restored");
    page(code, "restore", error(&problem))
}

/// Hands a body on piece by piece, to its end or until nobody wants more.
async fn forward(mut body: Body, pieces: mpsc::Sender<io::Result<Bytes>>) {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let piece = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => Ok(data),
                // Trailers.
                Err(_) => continue,
            },
            Err(error) => Err(io::Error::other(error)),
        };
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

/// A body as it comes in, for a thread that waits for it.
struct Sent {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Sent {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let len = out.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut out[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_at_once_and_one_an_interval() {
        let limiter = RateLimiter::new(Duration::from_secs(300));
        let start = Instant::now();
        assert!(limiter.allows(start));
        assert!(!limiter.allows(start + Duration::from_secs(299)));
        assert!(limiter.allows(start + Duration::from_secs(301)));
        assert!(!limiter.allows(start + Duration::from_secs(302)));
    }
}
