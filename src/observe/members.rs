//! The members' own word: `GET /member` of each.

use crate::admin_server::{Answer, ask};
use crate::plan::observed::{MemberReport, Silence};
use crate::valid::{Member, ServerId, ValidCluster};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::Empty;
use std::time::Duration;

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
    let request = http::Request::get("/member")
        .header("host", "member")
        .body(Empty::new());
    let answer = ask(ip, request, MEMBER_BODY_BYTES_MAX).await;
    let Answer { status, body } = answer.map_err(Silence::Unreachable)?;
    if !status.is_success() {
        return Err(Silence::Unreachable(format!("HTTP {status}")));
    }
    let bytes = body.map_err(Silence::Unreachable)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Silence::Unreachable(format!("not a member's report: {error}")))
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
