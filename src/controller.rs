//! The loop: observe, plan, apply, report; and when to look again.

use crate::apply::{ApplyError, Done, Writer};
use crate::crd::names::{LABEL_CLUSTER, OPERATOR};
use crate::crd::{ZooKeeperCluster, ZooKeeperClusterStatus};
use crate::ensemble::ChangeEnsemble;
use crate::metrics::Metrics;
use crate::observe::{Clock, ObserveError, ReadMembers, observe, read_secrets};
use crate::plan::observed::{MemberReport, Secrets};
use crate::plan::quorum::Ensemble;
use crate::plan::{Action, Observed, Plan, Waiting, plan};
use crate::reasons::Told;
use crate::status::{Outcome, has_failed, is_news, status};
use crate::valid::{Member, Settings, ValidCluster};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::Api;
use kube::runtime::controller::{self, Controller};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// While something is in progress. Watches tell most of it sooner; what members
/// say about themselves, only asking tells.
const SOON: Duration = Duration::from_secs(1);
/// While something in progress needs a person, or much time.
const LATER: Duration = Duration::from_secs(5);
/// While everything is as it should be.
const STEADY: Duration = Duration::from_secs(30);
/// How long a steady cluster's objects go unread unless a watch tells of a change. What no watch
/// tells of (a watch that lost something) is found then; Secrets that the spec names are read at
/// every look.
const UNREAD_MAX: Duration = Duration::from_secs(600);
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

impl ReconcileError {
    fn namespace_is_ending(&self) -> bool {
        match self {
            Self::Observe(_) => false,
            Self::Apply(error) => error.namespace_is_ending(),
        }
    }
}

/// What every pass needs.
pub struct Operator {
    client: Client,
    settings: Settings,
    members: Arc<dyn ReadMembers>,
    writer: Writer,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// How many passes in a row failed, for the pause after the next failure.
    failures: Mutex<HashMap<ObjectRef<ZooKeeperCluster>, u32>>,
    /// Clusters with nothing to do, as they were then. It spares reading, and decides nothing.
    steady: Mutex<HashMap<ObjectRef<ZooKeeperCluster>, Steady>>,
    /// Clusters whose objects changed since they were last read.
    touched: Mutex<HashSet<ObjectRef<ZooKeeperCluster>>>,
    /// Clusters whose namespace is being deleted.
    ending: Mutex<HashMap<ObjectRef<ZooKeeperCluster>, Ending>>,
}

/// A cluster that goes with its namespace.
struct Ending {
    /// The resource's UID: one of the same name may come after it.
    uid: Option<String>,
    /// When the namespace was last seen to be deleted.
    seen: Timestamp,
}

/// A cluster with nothing to do.
struct Steady {
    /// The resource that was looked at.
    resource_version: Option<String>,
    /// When everything was last read.
    read: Instant,
    /// Who led, its address and its word. It knows who follows it in sync, and whether a follower
    /// itself says so shows in its pod's readiness, of which a watch tells. None where there are no
    /// pods to ask.
    leader: Option<(Member, String, MemberReport)>,
    /// What all of them said together.
    ensemble: Ensemble,
    /// The passwords. No watch tells of Secrets, which the operator may not list.
    secrets: Secrets,
}

/// Whether a leader's word is what it was `before`: but for the last transaction, which moves with
/// every write and every session, and for the order in which it names its learners.
fn says_the_same(before: &MemberReport, mut word: MemberReport) -> bool {
    let mut before = before.clone();
    for report in [&mut before, &mut word] {
        report.last_zxid.clear();
        report.learners.sort_by_key(|learner| learner.id);
    }
    before == word
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Operator {
    /// An operator that works through `client` and asks `members` for their reports.
    pub fn new(
        client: Client,
        settings: Settings,
        members: Arc<dyn ReadMembers>,
        ensemble: Arc<dyn ChangeEnsemble>,
        metrics: Arc<Metrics>,
        instance: Option<String>,
        clock: Clock,
    ) -> Self {
        let reporter = Reporter {
            controller: OPERATOR.to_owned(),
            instance,
        };
        let writer = Writer::new(
            client.clone(),
            Recorder::new(client.clone(), reporter),
            ensemble,
            clock.clone(),
        );
        Self {
            client,
            settings,
            members,
            writer,
            metrics,
            clock,
            failures: Mutex::default(),
            steady: Mutex::default(),
            touched: Mutex::default(),
            ending: Mutex::default(),
        }
    }

    /// Notes that something of this cluster changed, so that the next pass reads all of it.
    fn touch(&self, cluster: ObjectRef<ZooKeeperCluster>) {
        locked(&self.touched).insert(cluster);
    }

    /// One pass over one cluster. Returns when to look again.
    pub async fn reconcile(&self, resource: &ZooKeeperCluster) -> Result<Duration, ReconcileError> {
        if resource.metadata.deletion_timestamp.is_some() {
            // What the cluster owns goes with it; there is no finalizer to wait for.
            return Ok(STEADY);
        }
        let key = ObjectRef::from_obj(resource);
        if self.is_ending(resource, &key) {
            return Ok(STEADY);
        }
        let cluster = match ValidCluster::parse(resource, &self.settings) {
            Ok(cluster) => cluster,
            Err(error) => {
                let mut told = resource.status.clone();
                self.report(resource, &mut told, &Outcome::Invalid(&error))
                    .await?;
                return Ok(STEADY);
            }
        };
        let touched = locked(&self.touched).remove(&key);
        if !touched && self.is_still_steady(resource, &cluster, &key).await {
            return Ok(STEADY);
        }
        let mut told = resource.status.clone();
        match self.pass(resource, &cluster, &mut told).await {
            Ok(pause) => {
                locked(&self.ending).remove(&key);
                Ok(pause)
            }
            Err(error) if error.namespace_is_ending() => {
                self.leave(resource, key);
                Ok(STEADY)
            }
            Err(error) => {
                // The first error is the one to report; that its report failed too adds nothing.
                if let Err(second) = self
                    .report(resource, &mut told, &Outcome::Failed(&error.to_string()))
                    .await
                {
                    tracing::debug!(%second, "a failure could not be written into status");
                }
                Err(error)
            }
        }
    }

    /// Whether the cluster's namespace was seen being deleted a moment ago: all that goes with it
    /// would be made again, and refused, at each of the many changes that a watch tells of.
    fn is_ending(&self, resource: &ZooKeeperCluster, key: &ObjectRef<ZooKeeperCluster>) -> bool {
        let pause = SignedDuration::try_from(STEADY).unwrap_or(SignedDuration::MAX);
        locked(&self.ending).get(key).is_some_and(|ending| {
            ending.uid == resource.uid() && (self.clock)().duration_since(ending.seen) < pause
        })
    }

    /// Leaves a cluster alone that goes with its namespace. There is nothing to report, and nobody
    /// to report it to.
    fn leave(&self, resource: &ZooKeeperCluster, key: ObjectRef<ZooKeeperCluster>) {
        let now = Ending {
            uid: resource.uid(),
            seen: (self.clock)(),
        };
        let before = locked(&self.ending).insert(key, now);
        if before.is_none_or(|before| before.uid != resource.uid()) {
            tracing::info!(
                namespace = resource.namespace(),
                name = resource.name_any(),
                "the namespace is being deleted, so the cluster is left alone"
            );
        }
    }

    /// Whether nothing can have changed since nothing was to be done: no watch told of anything, and
    /// the leader says the same of itself and of those who follow it.
    async fn is_still_steady(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        key: &ObjectRef<ZooKeeperCluster>,
    ) -> bool {
        let (leader, before, secrets) = {
            let steady = locked(&self.steady);
            let Some(steady) = steady.get(key) else {
                return false;
            };
            // Spread, so that a thousand clusters that came together are not read together.
            let spread = Duration::from_secs(RandomState::new().hash_one(key) % 120);
            if steady.resource_version != resource.metadata.resource_version
                || steady.read.elapsed() + spread > UNREAD_MAX
            {
                return false;
            }
            let secrets = cluster.names_secrets().then(|| steady.secrets.clone());
            (steady.leader.clone(), steady.ensemble.clone(), secrets)
        };
        if let Some(secrets) = secrets
            && read_secrets(&self.client, cluster).await.ok() != Some(secrets)
        {
            return false;
        }
        if let Some((leader, address, before_word)) = leader {
            let word = self.members.read(&leader, &address).await;
            if !word.is_ok_and(|word| says_the_same(&before_word, word)) {
                return false;
            }
        }
        self.seen(cluster, &before, before.followers.len());
        true
    }

    fn seen(&self, cluster: &ValidCluster, ensemble: &Ensemble, serving: usize) {
        self.metrics.seen(
            &cluster.namespace,
            &cluster.name,
            ensemble.has_quorum(),
            i64::try_from(serving).unwrap_or(i64::MAX),
            i64::try_from(cluster.members.len()).unwrap_or(i64::MAX),
        );
    }

    async fn pass(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        told: &mut Option<ZooKeeperClusterStatus>,
    ) -> Result<Duration, ReconcileError> {
        let latched = resource
            .status
            .as_ref()
            .and_then(|status| status.cluster_id.clone());
        let observed = observe(
            &self.client,
            cluster,
            latched,
            self.members.as_ref(),
            &self.clock,
        )
        .await?;
        let plan = plan(cluster, &observed);
        // Status first: the identity is latched before anything rests on it, and
        // what is about to happen is told even if it fails.
        let planned = Outcome::Planned(cluster, &observed, &plan);
        // A failure that is taken back and said again at each try would be a stream of writes, and
        // each of them is a reason to look again at once.
        let retries = has_failed(told.as_ref()) && plan.action.writes();
        let degraded = if retries {
            let retried = Outcome::Retried(cluster, &observed, &plan);
            self.report(resource, told, &retried).await?
        } else {
            self.report(resource, told, &planned).await?
        };
        self.seen(cluster, &plan.ensemble, plan.ensemble.followers.len());
        self.note_steady(resource, &observed, &plan, degraded);
        let done = self
            .writer
            .carry_out(resource, cluster, &observed.secrets.superuser, &plan.action)
            .await?;
        if retries {
            self.report(resource, told, &planned).await?;
        }
        let (namespace, name) = (&cluster.namespace, &cluster.name);
        match plan.action {
            Action::Restart(_) if done == Done::Written => self.metrics.restarted(namespace, name),
            Action::Reconfig(_) if done == Done::Written => {
                self.metrics.membership_changed(namespace, name);
            }
            _ => {}
        }
        Ok(pause(&plan, degraded))
    }

    fn note_steady(
        &self,
        resource: &ZooKeeperCluster,
        observed: &Observed,
        plan: &Plan,
        degraded: bool,
    ) {
        let key = ObjectRef::from_obj(resource);
        if degraded || !matches!(plan.action, Action::Nothing | Action::Paused) {
            locked(&self.steady).remove(&key);
            return;
        }
        let leader = plan.ensemble.leader.and_then(|id| {
            let member = plan.roster.members.iter().find(|member| member.id == id)?;
            let address = observed.pods.get(&member.pod)?.ip.clone()?;
            let word = observed.members.get(&id)?.as_ref().ok()?;
            Some((member.clone(), address, word.clone()))
        });
        if leader.is_none() && !observed.pods.is_empty() {
            // Nobody speaks for all of them.
            locked(&self.steady).remove(&key);
            return;
        }
        let steady = Steady {
            resource_version: resource.metadata.resource_version.clone(),
            read: Instant::now(),
            leader,
            ensemble: plan.ensemble.clone(),
            secrets: observed.secrets.clone(),
        };
        locked(&self.steady).insert(key, steady);
    }

    /// Writes status where it is news to what was `told` last, and an Event where trouble begins.
    /// Returns whether there is trouble.
    async fn report(
        &self,
        resource: &ZooKeeperCluster,
        told: &mut Option<ZooKeeperClusterStatus>,
        outcome: &Outcome<'_>,
    ) -> Result<bool, ApplyError> {
        let old = told.clone();
        let old = old.as_ref();
        let new = status(old, resource.metadata.generation, (self.clock)(), outcome);
        let trouble = |status: Option<&ZooKeeperClusterStatus>| {
            let conditions = status.and_then(|status| status.conditions.as_ref())?;
            let degraded = conditions
                .iter()
                .find(|c| c.type_ == "Degraded" && c.status == "True")?;
            Some((degraded.reason.clone(), degraded.message.clone()))
        };
        let (before, after) = (trouble(old), trouble(Some(&new)));
        self.metrics.degraded(
            &resource.namespace().unwrap_or_default(),
            &resource.name_any(),
            after.is_some(),
        );
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
        let known = old.and_then(|status| status.warnings.clone());
        for warning in new.warnings.iter().flatten() {
            if !known.iter().flatten().any(|known| known == warning) {
                self.writer
                    .tell(
                        resource,
                        EventType::Warning,
                        Told::Unwise.name(),
                        "Reconcile",
                        warning.clone(),
                        None,
                    )
                    .await;
            }
        }
        let trouble = after.is_some();
        *told = Some(new);
        Ok(trouble)
    }

    fn failed(&self, resource: &ZooKeeperCluster, error: &ReconcileError) -> Duration {
        let key = ObjectRef::from_obj(resource);
        let mut failures = locked(&self.failures);
        let count = failures.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        let pause = backoff(*count);
        tracing::warn!(namespace = resource.namespace(), name = resource.name_any(), %error, ?pause, "pass failed");
        pause
    }

    /// A cluster that is gone leaves nothing behind.
    fn forget(&self, namespace: &str, name: &str) {
        let key = ObjectRef::new(name).within(namespace);
        locked(&self.failures).remove(&key);
        locked(&self.steady).remove(&key);
        locked(&self.touched).remove(&key);
        locked(&self.ending).remove(&key);
        self.metrics.gone(namespace, name);
    }

    fn succeeded(&self, resource: &ZooKeeperCluster) {
        let key = ObjectRef::from_obj(resource);
        locked(&self.failures).remove(&key);
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
        Action::Wait(Waiting::StatefulSetNotObserved) => SOON,
        Action::Wait(_) if degraded => LATER,
        // One more write comes before anybody can start.
        Action::DrawSuperuser => Duration::ZERO,
        Action::Apply(_)
        | Action::Grow(_)
        | Action::Recreate(_)
        | Action::HandOver(_)
        | Action::Reconfig(_)
        | Action::Restart(_)
        | Action::Wait(_) => SOON,
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
    // Everything that a cluster owns carries its name; whatever happens to it, all of it is read.
    let touching = |operator: &Arc<Operator>| {
        let operator = operator.clone();
        move |labels: &BTreeMap<String, String>, namespace: Option<String>| {
            let cluster = ObjectRef::new(labels.get(LABEL_CLUSTER)?).within(&namespace?);
            operator.touch(cluster.clone());
            Some(cluster)
        }
    };
    macro_rules! watch {
        ($controller:expr, $($kind:ty),+) => {{
            $controller$(.watches(within::<$kind>(client, namespace), ours.clone(), {
                let touch = touching(&operator);
                move |object: $kind| touch(object.labels(), object.namespace())
            }))+
        }};
    }
    let controller = Controller::new(
        within::<ZooKeeperCluster>(client, namespace),
        watcher::Config::default(),
    )
    .with_config(controller::Config::default().concurrency(CONCURRENCY));
    watch!(
        controller,
        StatefulSet,
        ConfigMap,
        Service,
        ServiceAccount,
        PersistentVolumeClaim,
        PodDisruptionBudget,
        NetworkPolicy,
        Pod
    )
    .graceful_shutdown_on(stop)
    .run(
        reconcile,
        |resource, error, operator| controller::Action::requeue(operator.failed(&resource, error)),
        operator.clone(),
    )
    .for_each(|result| {
        if let Err(controller::Error::ObjectNotFound(object)) = &result {
            operator.forget(object.namespace.as_deref().unwrap_or(""), &object.name);
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
