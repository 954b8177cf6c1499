//! The loop: observe, plan, apply, report; and when to look again.

use crate::apply::{ApplyError, Done, Writer};
use crate::crd::ZooKeeperCluster;
use crate::crd::names::{LABEL_CLUSTER, OPERATOR};
use crate::metrics::Metrics;
use crate::observe::{ObserveError, ReadMembers, observe};
use crate::plan::{Action, Plan, Waiting, plan};
use crate::status::{Outcome, is_news, status};
use crate::valid::{Settings, ValidCluster};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::jiff::Timestamp;
use kube::api::Api;
use kube::runtime::controller::{self, Controller};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// While something is in progress. Watches tell most of it sooner; what members
/// say about themselves, only asking tells.
const SOON: Duration = Duration::from_secs(1);
/// While something in progress needs a person, or much time.
const LATER: Duration = Duration::from_secs(5);
/// While everything is as it should be.
const STEADY: Duration = Duration::from_secs(30);
/// The longest pause after errors.
const ERROR_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How many clusters are worked on at once.
const CONCURRENCY: u16 = 16;

/// A pass that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Something could not be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Something could not be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// What every pass needs.
pub struct Operator {
    client: Client,
    settings: Settings,
    members: Arc<dyn ReadMembers>,
    writer: Writer,
    metrics: Arc<Metrics>,
    /// How many passes in a row failed, for the pause after the next failure.
    failures: Mutex<HashMap<ObjectRef<ZooKeeperCluster>, u32>>,
}

impl Operator {
    /// An operator that works through `client` and asks `members` for their reports.
    pub fn new(
        client: Client,
        settings: Settings,
        members: Arc<dyn ReadMembers>,
        metrics: Arc<Metrics>,
        instance: Option<String>,
    ) -> Self {
        let reporter = Reporter {
            controller: OPERATOR.to_owned(),
            instance,
        };
        let writer = Writer::new(client.clone(), Recorder::new(client.clone(), reporter));
        Self {
            client,
            settings,
            members,
            writer,
            metrics,
            failures: Mutex::default(),
        }
    }

    /// One pass over one cluster. Returns when to look again.
    pub async fn reconcile(&self, resource: &ZooKeeperCluster) -> Result<Duration, ReconcileError> {
        if resource.metadata.deletion_timestamp.is_some() {
            // What the cluster owns goes with it; there is no finalizer to wait for.
            return Ok(STEADY);
        }
        let cluster = match ValidCluster::parse(resource, &self.settings) {
            Ok(cluster) => cluster,
            Err(error) => {
                self.report(resource, &Outcome::Invalid(&error)).await?;
                return Ok(STEADY);
            }
        };
        match self.pass(resource, &cluster).await {
            Ok(pause) => Ok(pause),
            Err(error) => {
                // The first error is the one to report; that its report failed too adds nothing.
                if let Err(second) = self
                    .report(resource, &Outcome::Failed(&error.to_string()))
                    .await
                {
                    tracing::debug!(%second, "a failure could not be written into status");
                }
                Err(error)
            }
        }
    }

    async fn pass(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
    ) -> Result<Duration, ReconcileError> {
        let latched = resource
            .status
            .as_ref()
            .and_then(|status| status.cluster_id.clone());
        let observed = observe(&self.client, cluster, latched, self.members.as_ref()).await?;
        let plan = plan(cluster, &observed);
        // Status first: the identity is latched before anything rests on it, and
        // what is about to happen is told even if it fails.
        let degraded = self
            .report(resource, &Outcome::Planned(cluster, &observed, &plan))
            .await?;
        let serving = plan.ensemble.synced.len();
        self.metrics.seen(
            &cluster.namespace,
            &cluster.name,
            plan.ensemble.has_quorum(),
            i64::try_from(serving).unwrap_or(i64::MAX),
            i64::try_from(cluster.members.len()).unwrap_or(i64::MAX),
        );
        let done = self
            .writer
            .carry_out(resource, cluster, &plan.action)
            .await?;
        if matches!(plan.action, Action::Restart(_)) && done == Done::Written {
            self.metrics.restarted(&cluster.namespace, &cluster.name);
        }
        Ok(pause(&plan, degraded))
    }

    /// Writes status where it is news, and an Event where trouble begins. Returns
    /// whether there is trouble.
    async fn report(
        &self,
        resource: &ZooKeeperCluster,
        outcome: &Outcome<'_>,
    ) -> Result<bool, ApplyError> {
        let old = resource.status.as_ref();
        let new = status(old, resource.metadata.generation, Timestamp::now(), outcome);
        let trouble = |status: Option<&crate::crd::ZooKeeperClusterStatus>| {
            let conditions = status.and_then(|status| status.conditions.as_ref())?;
            let degraded = conditions
                .iter()
                .find(|c| c.type_ == "Degraded" && c.status == "True")?;
            Some((degraded.reason.clone(), degraded.message.clone()))
        };
        let (before, after) = (trouble(old), trouble(Some(&new)));
        if is_news(old, &new) {
            self.writer.write_status(resource, &new).await?;
        }
        if let Some((reason, message)) = &after
            && before.as_ref().map(|(reason, _)| reason) != Some(reason)
        {
            self.writer
                .tell(
                    resource,
                    EventType::Warning,
                    reason,
                    "Reconcile",
                    message.clone(),
                    None,
                )
                .await;
        }
        Ok(after.is_some())
    }

    fn failed(&self, resource: &ZooKeeperCluster, error: &ReconcileError) -> Duration {
        let key = ObjectRef::from_obj(resource);
        let mut failures = self
            .failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = failures.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        let pause = backoff(*count);
        tracing::warn!(namespace = resource.namespace(), name = resource.name_any(), %error, ?pause, "pass failed");
        pause
    }

    fn succeeded(&self, resource: &ZooKeeperCluster) {
        let key = ObjectRef::from_obj(resource);
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(&key);
    }
}

/// 1 s, 2 s, 4 s and so on up to a minute, each shortened by up to a half, so
/// that a thousand clusters that failed together do not come back together.
fn backoff(failures: u32) -> Duration {
    let full = Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(ERROR_PAUSE_MAX);
    let random = RandomState::new().hash_one(failures) % 512;
    full.mul_f64(1.0 - f64::from(u32::try_from(random).unwrap_or(0)) / 1024.0)
}

fn pause(plan: &Plan, degraded: bool) -> Duration {
    match &plan.action {
        Action::Nothing | Action::Paused => STEADY,
        Action::Wait(Waiting::Members(_) | Waiting::Rollout) if degraded => LATER,
        Action::Apply(_) | Action::Grow(_) | Action::Restart(_) | Action::Wait(_) => SOON,
    }
}

/// Runs until `stop` ends; passes under way are finished first.
pub async fn run(
    operator: Arc<Operator>,
    namespace: Option<&str>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    fn within<K>(client: &Client, namespace: Option<&str>) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
    let client = &operator.client;
    let ours = watcher::Config::default().labels(LABEL_CLUSTER);
    Controller::new(
        within::<ZooKeeperCluster>(client, namespace),
        watcher::Config::default(),
    )
    .with_config(controller::Config::default().concurrency(CONCURRENCY))
    .owns(within::<StatefulSet>(client, namespace), ours.clone())
    .owns(within::<ConfigMap>(client, namespace), ours.clone())
    .owns(within::<Service>(client, namespace), ours.clone())
    .owns(
        within::<PodDisruptionBudget>(client, namespace),
        ours.clone(),
    )
    .watches(within::<Pod>(client, namespace), ours, |pod| {
        let name = pod.labels().get(LABEL_CLUSTER)?;
        Some(ObjectRef::new(name).within(&pod.namespace()?))
    })
    .graceful_shutdown_on(stop)
    .run(
        reconcile,
        |resource, error, operator| controller::Action::requeue(operator.failed(&resource, error)),
        operator.clone(),
    )
    .for_each(|result| {
        if let Err(controller::Error::ObjectNotFound(object)) = &result {
            operator
                .metrics
                .gone(object.namespace.as_deref().unwrap_or(""), &object.name);
        } else if let Err(error @ controller::Error::QueueError(_)) = &result {
            tracing::warn!(%error, "a watch failed; it is tried again");
        }
        std::future::ready(())
    })
    .await;
}

async fn reconcile(
    resource: Arc<ZooKeeperCluster>,
    operator: Arc<Operator>,
) -> Result<controller::Action, ReconcileError> {
    let begun = Instant::now();
    let result = operator.reconcile(&resource).await;
    operator.metrics.pass(result.is_ok(), begun.elapsed());
    let pause = result?;
    operator.succeeded(&resource);
    Ok(controller::Action::requeue(pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_errors_grow_to_a_minute_and_never_vanish() {
        for failures in [1, 2, 5, 7, 100, u32::MAX] {
            let pause = backoff(failures);
            assert!(
                pause >= Duration::from_millis(500) && pause <= ERROR_PAUSE_MAX,
                "{failures}: {pause:?}"
            );
        }
        assert!(backoff(7) >= Duration::from_secs(30));
    }
}
