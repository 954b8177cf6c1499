//! Which of several operators works: a Lease, held and renewed.
//!
//! A lease fences nothing: its holder may be slow to notice that it lost it.
//! Nothing dangerous rests on it; every destructive write names what it was
//! decided on. The lease only keeps two operators from doing everything twice.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, PostParams};
use std::time::Duration;
use tokio::time::Instant;

/// The name of the Lease.
pub const LEASE: &str = "zookeeper-operator";
/// How long a lease lasts unless renewed.
const DURATION_SECONDS: i32 = 15;
/// How often it is renewed, and how often others look whether it is free.
const RENEW: Duration = Duration::from_secs(4);
/// A holder that could not renew for this long stops, before another may start.
const GIVE_UP: Duration = Duration::from_secs(11);

/// The lease was lost.
#[derive(Debug, thiserror::Error)]
#[error("the lease {LEASE} was lost: {0}. Another operator may be at work, so this one stops")]
pub struct LeaseLost(String);

/// A lease in a namespace, wanted by one operator.
pub struct Election {
    leases: Api<Lease>,
    namespace: String,
    identity: String,
    /// What was last seen of another's lease, and when by our own clock: clocks
    /// of different machines are never compared.
    seen: Option<(Option<MicroTime>, Option<String>, Instant)>,
}

enum Attempt {
    Held,
    Others(String),
}

impl Election {
    /// Takes part under the name `identity`.
    pub fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            identity,
            seen: None,
        }
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&mut self) {
        loop {
            // An API server that is cut off answers nothing at all.
            match tokio::time::timeout(RENEW, self.attempt()).await {
                Ok(Ok(Attempt::Held)) => {
                    return tracing::info!(identity = self.identity, "holding the lease");
                }
                Ok(Ok(Attempt::Others(holder))) => {
                    tracing::debug!(holder, "the lease is held by another operator")
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease could not be taken; trying again")
                }
                Err(_) => tracing::warn!("the API server does not answer; trying again"),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Renews for as long as it can, and ends when it cannot any longer.
    pub async fn hold(&mut self) -> LeaseLost {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEW).await;
            let attempt = tokio::time::timeout(RENEW, self.attempt()).await;
            let trouble = match attempt {
                Ok(Ok(Attempt::Held)) => {
                    renewed = Instant::now();
                    continue;
                }
                Ok(Ok(Attempt::Others(holder))) => return LeaseLost(format!("{holder} holds it")),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the API server does not answer".to_owned(),
            };
            if renewed.elapsed() >= GIVE_UP {
                return LeaseLost(trouble);
            }
            tracing::warn!(trouble, "the lease could not be renewed; trying again");
        }
    }

    /// Gives the lease back, so that the next operator need not wait.
    pub async fn release(&self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(LEASE).await else {
            return;
        };
        let Some(spec) = lease
            .spec
            .as_mut()
            .filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        else {
            return;
        };
        spec.holder_identity = Some(String::new());
        if let Err(error) = self
            .leases
            .replace(LEASE, &PostParams::default(), &lease)
            .await
        {
            tracing::warn!(%error, "the lease could not be released; it will expire");
        }
    }

    async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.leases.get_opt(LEASE).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(LEASE.to_owned()),
                    namespace: Some(self.namespace.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(LeaseSpec {
                    holder_identity: Some(self.identity.clone()),
                    lease_duration_seconds: Some(DURATION_SECONDS),
                    acquire_time: Some(now.clone()),
                    renew_time: Some(now),
                    ..LeaseSpec::default()
                }),
            };
            return self.settled(self.leases.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.get_or_insert_default();
        let holder = spec
            .holder_identity
            .clone()
            .filter(|holder| !holder.is_empty());
        if holder.as_ref() != Some(&self.identity) {
            if let Some(holder) = holder
                && !self.expired(spec)
            {
                return Ok(Attempt::Others(holder));
            }
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(DURATION_SECONDS);
        spec.renew_time = Some(now);
        // The resourceVersion inside makes this fail where anyone else was faster.
        self.settled(
            self.leases
                .replace(LEASE, &PostParams::default(), &lease)
                .await,
        )
    }

    fn settled(&self, result: Result<Lease, kube::Error>) -> Result<Attempt, kube::Error> {
        match result {
            Ok(_) => Ok(Attempt::Held),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Ok(Attempt::Others("another".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the holder has not renewed for the lease's whole length while we watched.
    fn expired(&mut self, spec: &LeaseSpec) -> bool {
        let current = (spec.renew_time.clone(), spec.holder_identity.clone());
        let seconds = spec.lease_duration_seconds.unwrap_or(DURATION_SECONDS);
        let length = SignedDuration::from_secs(i64::from(seconds)).unsigned_abs();
        match &self.seen {
            Some((time, holder, since)) if (time, holder) == (&current.0, &current.1) => {
                since.elapsed() > length
            }
            _ => {
                self.seen = Some((current.0, current.1, Instant::now()));
                false
            }
        }
    }
}
