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
/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
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

    /// Renews for as long as it can, and ends when it cannot any longer: at [`GIVE_UP`] after the last
    /// renewal at the latest, whether or not the API server says anything until then.
    pub async fn hold(&mut self) -> LeaseLost {
        let (mut renewed, mut pause) = (Instant::now(), RENEW);
        loop {
            let give_up = renewed + GIVE_UP;
            let begun = (Instant::now() + pause).min(give_up);
            tokio::time::sleep_until(begun).await;
            let attempt =
                tokio::time::timeout_at((begun + RENEW).min(give_up), self.attempt()).await;
            let trouble = match attempt {
                Ok(Ok(Attempt::Held)) => {
                    // Others count from when they see it, which is later.
                    (renewed, pause) = (begun, RENEW);
                    continue;
                }
                Ok(Ok(Attempt::Others(holder))) => return LeaseLost(format!("{holder} holds it")),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the API server does not answer".to_owned(),
            };
            if Instant::now() >= give_up {
                return LeaseLost(trouble);
            }
            tracing::warn!(trouble, "the lease could not be renewed; trying again");
            pause = AGAIN;
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use kube::client::Body;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// An API server that has every lease as it was last written, until it falls silent.
    fn election(silent: Arc<AtomicBool>) -> Election {
        let kept = Arc::new(tokio::sync::Mutex::new(None));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (kept, silent) = (kept.clone(), silent.clone());
            async move {
                if silent.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                let reads = request.method() == http::Method::GET;
                let body = request.into_body().collect_bytes().await?;
                let mut kept = kept.lock().await;
                if !reads {
                    *kept = Some(body);
                }
                let not_found =
                    br#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404}"#;
                let (code, body) = match &*kept {
                    Some(lease) => (200, lease.to_vec()),
                    None => (404, not_found.to_vec()),
                };
                let response = Response::builder().status(code).body(Body::from(body))?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(response)
            }
        });
        Election::new(Client::new(service, "n"), "n", "me".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_gets_no_answer_stops_before_another_may_start() {
        let silent = Arc::new(AtomicBool::new(false));
        let mut election = election(silent.clone());
        election.acquire().await;
        let falls_silent = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            silent.store(true, Ordering::Relaxed);
            std::future::pending::<LeaseLost>().await
        };
        let begun = Instant::now();
        let lost = tokio::select! {
            lost = election.hold() => lost,
            lost = falls_silent => lost,
        };
        // It renewed after 4 and 8 s, and others may start 15 s after that.
        let held = begun.elapsed();
        let renewed = 2 * RENEW;
        assert!(held >= renewed + GIVE_UP, "it stopped after {held:?}");
        assert!(
            held < renewed + Duration::from_secs(u64::from(DURATION_SECONDS.unsigned_abs())),
            "it went on for {held:?}"
        );
        assert!(lost.to_string().contains("does not answer"), "{lost}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_answers_again_gives_the_lease() {
        let silent = Arc::new(AtomicBool::new(true));
        let mut election = election(silent.clone());
        let answers_again = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            silent.store(false, Ordering::Relaxed);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = election.acquire() => {}
            () = answers_again => {}
        }
    }
}
