//! `POST /leave`, ours alone: a member that is about to be stopped asks whether its ensemble can
//! spare it. Whoever leads decides ([`crate::departures`]); the others pass the question on.
//!
//! It stops nobody and needs no rights: who asks without leaving makes others wait a moment longer.

use super::http::Admin;
use crate::departures::{Leaving, Present, Spared, Verdict};
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
use std::time::{Duration, Instant};
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
    /// Who else was asked to stop, and how many milliseconds ago; for the next leader.
    #[serde(default)]
    pub(crate) leaving: BTreeMap<i64, u64>,
}

impl Said {
    fn new(answer: Answer, because: impl fmt::Display) -> Self {
        Said {
            answer,
            because: because.to_string(),
            leaving: BTreeMap::new(),
        }
    }

    /// What to say where nobody knows.
    pub(crate) fn unknown(because: impl fmt::Display) -> Self {
        Said::new(Answer::Unknown, because)
    }
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Self {
        let answer = match &verdict {
            Verdict::Free(_) => Answer::Free,
            Verdict::Go => Answer::Go,
            Verdict::Hold(_) => Answer::Hold,
        };
        Said::new(answer, verdict)
    }
}

/// `/leave` for this member, `/leave?id=N&leaving=N:MS,N:MS` for one that follows it.
pub(super) async fn leave(
    State(admin): State<Arc<Admin>>,
    Query(arguments): Query<BTreeMap<String, String>>,
) -> Json<Said> {
    let other = arguments.get("id").map(|id| id.parse().map(ServerId));
    let said = match other {
        Some(Ok(id)) => decide(
            &admin,
            id,
            &leaving_of(arguments.get("leaving").map_or("", String::as_str)),
        ),
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
    let heard = admin.told_of_leaving.lock().leaving(Instant::now());
    let leader = {
        let status = admin.service.status.read();
        match status.state {
            MemberState::Standalone | MemberState::Starting => {
                return Said::new(Answer::Free, "it is part of no quorum");
            }
            MemberState::Looking => return Said::unknown("there is no leader to ask"),
            MemberState::Leading => None,
            // Whoever it learns from may not be the leader, and it has no vote.
            MemberState::Observing => return Verdict::Free(Spared::NoVote).into(),
            MemberState::Following => Some((status.server_id, leaders_page(&status, admin.port))),
        }
    };
    match leader {
        None => {
            let me = admin.service.status.read().server_id;
            decide(admin, me, &heard)
        }
        Some((_, None)) => Said::unknown("the leader's address is not known"),
        Some((me, Some(leader))) => match ask(&leader, &question(me, &heard)).await {
            Ok(said) => said,
            Err(error) => Said::unknown(format!("the leader does not answer: {error}")),
        },
    }
}

/// Where the leader's AdminServer is: on its host, where this one is on ours. Its name may be known
/// no longer, as when all of its ensemble is deleted; the connection to it still has its address.
fn leaders_page(status: &NodeStatus, port: u16) -> Option<HostPort> {
    if let Some(ip) = status.leader_ip {
        return Some(HostPort::new(ip.to_string(), port));
    }
    let ensemble = Ensemble::parse(&status.config_text).ok()?;
    let leader = ensemble.members.get(&status.leader_id?)?;
    Some(HostPort::new(leader.address().host.clone(), port))
}

/// Decides as the leader.
fn decide(admin: &Admin, who: ServerId, heard: &Leaving) -> Said {
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
    let verdict = status.departures.ask(now, who, &present, heard);
    let leaving = status.departures.leaving(now).into_iter();
    Said {
        leaving: leaving.map(|(id, ago)| (id.0, millis(ago))).collect(),
        ..verdict.into()
    }
}

/// Those that count now: the leader, and who follows it in sync.
fn serving(status: &NodeStatus) -> BTreeSet<ServerId> {
    { status.learners.iter() }
        .filter(|learner| learner.synced && learner.role == Role::Participant)
        .map(|learner| learner.id)
        .chain([status.server_id])
        .collect()
}

/// The question of one that was told of others by the leader before.
fn question(me: ServerId, heard: &Leaving) -> String {
    let leaving = heard.iter();
    let leaving = leaving.map(|(id, ago)| format!("{id}:{}", millis(*ago)));
    let leaving = leaving.collect::<Vec<_>>().join(",");
    format!("/leave?id={me}&leaving={leaving}")
}

/// What a question says of others; what makes no sense in it says nothing.
fn leaving_of(text: &str) -> Leaving {
    text.split(',')
        .filter_map(|word| {
            let (id, ago) = word.split_once(':')?;
            let ago = Duration::from_millis(ago.parse().ok()?);
            Some((ServerId(id.parse().ok()?), ago))
        })
        .collect()
}

fn millis(ago: Duration) -> u64 {
    u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)
}

/// Says in the log what became of the question, once for each answer, and keeps what it tells of
/// others.
fn tell(admin: &Admin, said: &Said) {
    let mut told = admin.told_of_leaving.lock();
    let is_news = (told.said.as_ref())
        .is_none_or(|before| (before.answer, &before.because) != (said.answer, &said.because));
    if is_news {
        let answer = match said.answer {
            Answer::Free | Answer::Go => "may stop",
            Answer::Hold => "holds on",
            Answer::Unknown => "may be held",
        };
        info!(
            because = said.because,
            "asked to stop: this member {answer}"
        );
    }
    // Who knows nothing says nothing of others, either.
    if said.answer != Answer::Unknown {
        told.leaving = Some((said.leaving.clone(), Instant::now()));
    }
    told.said = Some(said.clone());
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

/// What this member was told when it asked last.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The last answer, which the log has.
    said: Option<Said>,
    /// Who was leaving by the last leader's word, and when that was said.
    leaving: Option<(BTreeMap<i64, u64>, Instant)>,
}

impl Account {
    /// Who was leaving, and how long ago they asked.
    fn leaving(&self, now: Instant) -> Leaving {
        let Some((leaving, said)) = &self.leaving else {
            return Leaving::new();
        };
        let since = now.saturating_duration_since(*said);
        let leaving = leaving.iter();
        leaving
            .map(|(id, ago)| {
                (
                    ServerId(*id),
                    Duration::from_millis(*ago).saturating_add(since),
                )
            })
            .collect()
    }
}

/// The same, for all questions.
pub(super) type Told = parking_lot::Mutex<Account>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_question_says_of_others_is_read_back_and_bounded_by_sense() {
        let heard = Leaving::from([
            (ServerId(1), Duration::from_millis(0)),
            (ServerId(3), Duration::from_millis(12_345)),
        ]);
        let question = question(ServerId(2), &heard);
        assert_eq!(question, "/leave?id=2&leaving=1:0,3:12345");
        let (_, leaving) = question.split_once("leaving=").unwrap();
        assert_eq!(leaving_of(leaving), heard);
        assert_eq!(leaving_of("1:2,x:3,4,5:-1,,:"), leaving_of("1:2"));
    }

    #[test]
    fn what_the_last_leader_told_grows_older_with_time() {
        let begun = Instant::now();
        let account = Account {
            said: None,
            leaving: Some((BTreeMap::from([(1, 500)]), begun)),
        };
        let later = account.leaving(begun + Duration::from_secs(2));
        assert_eq!(
            later,
            Leaving::from([(ServerId(1), Duration::from_millis(2_500))])
        );
    }

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
