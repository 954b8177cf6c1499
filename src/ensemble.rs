//! Asks the ensemble to change: a `reconfig` over the client protocol, and a
//! leader's hand-over at its AdminServer. Both as the superuser.

use crate::admin_server::{Answer, address, ask};
use crate::crd::names::PORT_CLIENT;
use crate::objects::Password;
use crate::plan::scale::Change;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::Empty;
use std::future::Future;
use std::time::Duration;
use zookeeper_client::{Client, EnsembleUpdate, Error};

/// How long the ensemble may take to change its membership.
const RECONFIG_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a leader may take to hand over.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(8);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What the ensemble did not do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The membership changed since the decision: another one is due.
    #[error("the membership has changed in the meantime")]
    Outdated,
    /// Nobody knows whether it was done; the next look tells.
    #[error("{0}")]
    Unanswered(String),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// A change of the membership, as it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MembershipChange {
    /// The member's id.
    pub id: u8,
    /// Its address behind `server.N=`, where it joins.
    pub address: String,
    /// What becomes of it.
    pub change: Change,
    /// The version it was decided on.
    pub from_version: i64,
}

/// Changes an ensemble. Tests put an ensemble of their own behind it.
pub trait ChangeEnsemble: Send + Sync {
    /// Asks the leader at this address to change the membership.
    fn reconfigure<'a>(
        &'a self,
        leader_ip: &'a str,
        password: &'a Password,
        change: &'a MembershipChange,
    ) -> BoxFuture<'a, Result<(), Refused>>;

    /// Asks the leader at this address to hand over.
    fn hand_over<'a>(
        &'a self,
        leader_ip: &'a str,
        password: &'a Password,
    ) -> BoxFuture<'a, Result<(), Refused>>;
}

/// The ensemble over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network;

impl ChangeEnsemble for Network {
    fn reconfigure<'a>(
        &'a self,
        leader_ip: &'a str,
        password: &'a Password,
        change: &'a MembershipChange,
    ) -> BoxFuture<'a, Result<(), Refused>> {
        bounded(RECONFIG_TIMEOUT, reconfigure(leader_ip, password, change))
    }

    fn hand_over<'a>(
        &'a self,
        leader_ip: &'a str,
        password: &'a Password,
    ) -> BoxFuture<'a, Result<(), Refused>> {
        bounded(HAND_OVER_TIMEOUT, hand_over(leader_ip, password))
    }
}

fn bounded<'a>(
    limit: Duration,
    work: impl Future<Output = Result<(), Refused>> + Send + 'a,
) -> BoxFuture<'a, Result<(), Refused>> {
    async move {
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            Err(Refused::Unanswered(format!("no answer within {seconds} s")))
        })
    }
    .boxed()
}

async fn reconfigure(
    leader_ip: &str,
    password: &Password,
    change: &MembershipChange,
) -> Result<(), Refused> {
    let port = u16::try_from(PORT_CLIENT).expect("a port");
    let leader = address(leader_ip, port).map_err(Refused::Unanswered)?;
    let failed = |error: Error| refused(&error);
    let client = Client::connector()
        .with_connection_timeout(Duration::from_secs(5))
        .with_auth("digest", format!("super:{}", password.0).as_bytes())
        .connect(&leader.to_string())
        .await
        .map_err(failed)?;
    let line = format!("server.{}={}", change.id, change.address);
    let leaving = change.id.to_string();
    let (joining, leaving): (Vec<&str>, Vec<&str>) = match change.change {
        Change::Join(_) => (vec![&line], vec![]),
        Change::Leave => (vec![], vec![&leaving]),
    };
    let update = EnsembleUpdate::Incremental {
        joinings: joining.into_iter(),
        leavings: leaving.into_iter(),
    };
    client
        .update_ensemble(update, Some(change.from_version))
        .await
        .map(drop)
        .map_err(failed)
}

fn refused(error: &Error) -> Refused {
    match error {
        Error::BadVersion => Refused::Outdated,
        Error::NoAuth | Error::AuthFailed => Refused::Refused(
            "the members do not take the superuser's password; a new one reaches them within about \
             a minute"
                .to_owned(),
        ),
        Error::ConnectionLoss | Error::Timeout | Error::SessionExpired | Error::NoHosts => {
            Refused::Unanswered(error.to_string())
        }
        // Source: `KeeperException.java` Code.
        Error::UnexpectedErrorCode(-13) => Refused::Refused(
            "the leader sees no quorum of the new membership in sync".to_owned(),
        ),
        Error::UnexpectedErrorCode(-14) => {
            Refused::Unanswered("another change of the membership is under way".to_owned())
        }
        other => Refused::Refused(other.to_string()),
    }
}

async fn hand_over(leader_ip: &str, password: &Password) -> Result<(), Refused> {
    // Source: `AdminServer` commands that need rights, `Commands.java` authenticate.
    let request = http::Request::post("/commands/hand_over")
        .header("host", "member")
        .header("authorization", format!("digest super:{}", password.0))
        .header("content-length", "0")
        .body(Empty::new());
    let answer = ask(leader_ip, request, ANSWER_BYTES_MAX).await;
    let Answer { status, body } = answer.map_err(Refused::Unanswered)?;
    let bytes = body.map_err(Refused::Unanswered)?;
    let page: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    // An unknown command is answered with 200 as well, as in Java.
    if status.is_success() && page["leader"].is_number() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&bytes);
    Err(Refused::Refused(format!("HTTP {status}: {}", text.trim())))
}
