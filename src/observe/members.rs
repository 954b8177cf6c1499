//! The members' own word: `GET /member` of each.

use crate::crd::names::PORT_ADMIN;
use crate::plan::observed::{MemberReport, Silence};
use crate::valid::{Member, ServerId, ValidCluster};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a member may take to answer.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest `/member` that is read.
const MEMBER_BODY_BYTES_MAX: usize = 64 * 1024;

/// Asks a member for its report. Tests put an ensemble of their own behind it.
pub trait ReadMembers: Send + Sync {
    /// `GET /member` of the member at this address.
    fn read<'a>(
        &'a self,
        member: &'a Member,
        ip: &'a str,
    ) -> BoxFuture<'a, Result<MemberReport, Silence>>;
}

/// The members' AdminServers, over HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpMembers;

impl ReadMembers for HttpMembers {
    fn read<'a>(
        &'a self,
        _: &'a Member,
        ip: &'a str,
    ) -> BoxFuture<'a, Result<MemberReport, Silence>> {
        async move {
            let report = tokio::time::timeout(MEMBER_TIMEOUT, get_member(ip));
            report.await.unwrap_or_else(|_| {
                Err(Silence::Unreachable(format!(
                    "no answer within {} s",
                    MEMBER_TIMEOUT.as_secs()
                )))
            })
        }
        .boxed()
    }
}

async fn get_member(ip: &str) -> Result<MemberReport, Silence> {
    let failed = |error: &dyn std::fmt::Display| Silence::Unreachable(error.to_string());
    let ip: IpAddr = ip
        .parse()
        .map_err(|_| failed(&format!("'{ip}' is no address")))?;
    let stream = TcpStream::connect(SocketAddr::new(ip, PORT_ADMIN))
        .await
        .map_err(|e| failed(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failed(&e))?;
    let exchange = async {
        let request = http::Request::get("/member")
            .header("host", "member")
            .body(Empty::<hyper::body::Bytes>::new())
            .map_err(|e| failed(&e))?;
        let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
        if !response.status().is_success() {
            return Err(failed(&format!("HTTP {}", response.status())));
        }
        let body = Limited::new(response.into_body(), MEMBER_BODY_BYTES_MAX);
        let bytes = body.collect().await.map_err(|e| failed(&e))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|e| failed(&format!("not a member's report: {e}")))
    };
    // The connection moves the bytes; it ends with the exchange or with the peer.
    futures::pin_mut!(exchange, connection);
    match futures::future::select(exchange, connection).await {
        futures::future::Either::Left((report, _)) => report,
        futures::future::Either::Right((end, exchange)) => match exchange.now_or_never() {
            Some(report) => report,
            None => Err(failed(
                &end.err()
                    .map_or_else(|| "connection closed".to_owned(), |e| e.to_string()),
            )),
        },
    }
}

/// A report is worth nothing unless it is this member's: addresses find new owners.
pub(super) fn identified(
    cluster: &ValidCluster,
    member: &Member,
    report: MemberReport,
) -> Result<MemberReport, Silence> {
    if ServerId(report.server_id) != member.id {
        return Err(Silence::Impostor(format!(
            "{} answers as server {}, but is to be {}",
            member.pod, report.server_id, member.id
        )));
    }
    match &report.cluster_id {
        Some(id) if *id != cluster.cluster_id => Err(Silence::Impostor(format!(
            "the disk of {} belongs to cluster {id}, not to {}",
            member.pod, cluster.cluster_id
        ))),
        _ => Ok(report),
    }
}
