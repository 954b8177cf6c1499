//! `POST /leave`, ours alone: a member that is about to be stopped asks whether its ensemble can
//! spare it. Whoever leads decides ([`crate::departures`]); the others pass the question on.
//!
//! It stops nobody and needs no rights: who asks without leaving makes others wait a moment longer.

use super::http::Admin;
use crate::departures::{Present, Verdict};
use crate::ensemble::{Ensemble, HostPort};
use crate::ids::ServerId;
use crate::service::{MemberState, NodeStatus, Role};
use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::info;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most of an answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// Whether a member may stop, as far as anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// It may, whatever comes.
    Free,
    /// It may as long as it is told so.
    Go,
    /// The quorum needs it.
    Hold,
    /// Nobody who could decide was found.
    Unknown,
}

/// What `/leave` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) answer: Answer,
    /// Why, as a sentence for people.
    pub(crate) because: String,
}

impl Said {
    fn unknown(because: impl fmt::Display) -> Self {
        Said {
            answer: Answer::Unknown,
            because: because.to_string(),
        }
    }
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Self {
        let answer = match &verdict {
            Verdict::Free(_) => Answer::Free,
            Verdict::Go => Answer::Go,
            Verdict::Hold(_) => Answer::Hold,
        };
        let because = verdict.to_string();
        Said { answer, because }
    }
}

/// `/leave` for this member, `/leave?id=N` for one that follows it.
pub(super) async fn leave(
    State(admin): State<Arc<Admin>>,
    Query(arguments): Query<BTreeMap<String, String>>,
) -> Json<Said> {
    let other = arguments.get("id").map(|id| id.parse().map(ServerId));
    let said = match other {
        Some(Ok(id)) => decide(&admin, id),
        Some(Err(_)) => Said::unknown("`id` is a member's number"),
        None => {
            let said = for_this_member(&admin).await;
            tell(&admin, &said);
            said
        }
    };
    Json(said)
}

async fn for_this_member(admin: &Admin) -> Said {
    let leader = {
        let status = admin.service.status.read();
        match status.state {
            MemberState::Standalone | MemberState::Starting => {
                return Said {
                    answer: Answer::Free,
                    because: "it is part of no quorum".to_owned(),
                };
            }
            MemberState::Looking => return Said::unknown("there is no leader to ask"),
            MemberState::Leading => None,
            MemberState::Following | MemberState::Observing => {
                Some((status.server_id, leaders_page(&status, admin.port)))
            }
        }
    };
    match leader {
        None => {
            let me = admin.service.status.read().server_id;
            decide(admin, me)
        }
        Some((_, None)) => Said::unknown("the leader's address is not known"),
        Some((me, Some(leader))) => match ask(&leader, &format!("/leave?id={me}")).await {
            Ok(said) => said,
            Err(error) => Said::unknown(format!("the leader does not answer: {error}")),
        },
    }
}

/// Where the leader's AdminServer is: on its host, where this one is on ours.
fn leaders_page(status: &NodeStatus, port: u16) -> Option<HostPort> {
    let ensemble = Ensemble::parse(&status.config_text).ok()?;
    let leader = ensemble.members.get(&status.leader_id?)?;
    Some(HostPort::new(leader.address().host.clone(), port))
}

/// Decides as the leader.
fn decide(admin: &Admin, who: ServerId) -> Said {
    let now = admin.started.elapsed();
    if admin.service.serving().is_none() {
        return Said::unknown("the leader does not serve yet");
    }
    let mut status = admin.service.status.write();
    if status.state != MemberState::Leading {
        return Said::unknown("the member that was asked does not lead");
    }
    let Ok(ensemble) = Ensemble::parse(&status.config_text) else {
        return Said::unknown("the configuration makes no sense");
    };
    let membership = ensemble.membership();
    let serving = serving(&status);
    let present = Present {
        membership: &membership,
        serving: &serving,
    };
    status.departures.ask(now, who, &present).into()
}

/// Those that count now: the leader, and who follows it in sync.
fn serving(status: &NodeStatus) -> BTreeSet<ServerId> {
    { status.learners.iter() }
        .filter(|learner| learner.synced && learner.role == Role::Participant)
        .map(|learner| learner.id)
        .chain([status.server_id])
        .collect()
}

/// Says in the log what became of the question, once for each answer.
fn tell(admin: &Admin, said: &Said) {
    let mut told = admin.told_of_leaving.lock();
    if told.as_ref() != Some(said) {
        let answer = match said.answer {
            Answer::Free | Answer::Go => "may stop",
            Answer::Hold => "holds on",
            Answer::Unknown => "may be held",
        };
        info!(
            because = said.because,
            "asked to stop: this member {answer}"
        );
        *told = Some(said.clone());
    }
}

/// Asks an AdminServer, within [`PATIENCE`].
pub(crate) async fn ask(at: &HostPort, path: &str) -> io::Result<Said> {
    let exchange = async {
        let mut stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
        let request = format!("POST {path} HTTP/1.0\r\nHost: {at}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await?;
        understand(&answer)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(said) => said,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// An HTTP answer's JSON.
fn understand(answer: &[u8]) -> io::Result<Said> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let text = std::str::from_utf8(answer).map_err(|_| odd("an answer that is no text"))?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| odd("an answer without an end"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(odd(&format!("HTTP {status}")));
    }
    serde_json::from_str(body).map_err(io::Error::from)
}

/// The last answer that the log has.
pub(super) type Told = parking_lot::Mutex<Option<Said>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_understood_and_anything_else_is_an_error() {
        let good =
            b"HTTP/1.0 200 OK\r\ncontent-type: x\r\n\r\n{\"answer\":\"hold\",\"because\":\"b\"}";
        let said = understand(good).unwrap();
        assert_eq!((said.answer, said.because.as_str()), (Answer::Hold, "b"));
        for bad in [
            &b""[..],
            b"HTTP/1.0 404 Not Found\r\n\r\n{}",
            b"HTTP/1.0 200 OK\r\n\r\n{\"answer\":\"perhaps\"}",
            b"\xff\xfe",
        ] {
            assert!(understand(bad).is_err());
        }
    }
}
