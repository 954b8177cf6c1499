//! The loop: observe, plan, apply, report; and when to look again.

mod steady;
mod watch;

pub use watch::run;

use crate::apply::{ApplyError, Done, Writer};
use crate::crd::names::OPERATOR;
use crate::crd::{ZooKeeperCluster, ZooKeeperClusterStatus};
use crate::ensemble::ChangeEnsemble;
use crate::metrics::Metrics;
use crate::observe::{Clock, ObserveError, ReadMembers, observe};
use crate::plan::{Action, Plan, Waiting, plan};
use crate::reasons::Told;
use crate::status::{Outcome, has_failed, is_news, status};
use crate::valid::{Settings, ValidCluster};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steady::{STEADY, Steady, asks_the_same};

/// While something is in progress. Watches tell most of it sooner; what members
/// say about themselves, only asking tells.
const SOON: Duration = Duration::from_secs(1);
/// While something in progress needs a person, or much time.
const LATER: Duration = Duration::from_secs(5);
/// The longest pause after errors.
const ERROR_PAUSE_MAX: Duration = Duration::from_secs(60);

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
    steady: Mutex<HashMap<ObjectRef<ZooKeeperCluster>, Arc<Steady>>>,
    /// Clusters whose objects changed since they were last read.
    touched: Mutex<HashSet<ObjectRef<ZooKeeperCluster>>>,
    /// Clusters whose namespace is being deleted.
    ending: Mutex<HashMap<ObjectRef<ZooKeeperCluster>, Ending>>,
}

/// What was last said of a cluster.
struct Reported {
    status: Option<ZooKeeperClusterStatus>,
    /// The resource's version, that status included. None: somebody else changed it, too.
    resource_version: Option<String>,
}

impl Reported {
    /// What the resource says.
    fn last(resource: &ZooKeeperCluster) -> Self {
        Self {
            status: resource.status.clone(),
            resource_version: resource.resource_version(),
        }
    }
}

/// A cluster that goes with its namespace.
struct Ending {
    /// The resource's UID: one of the same name may come after it.
    uid: Option<String>,
    /// When the namespace was last seen to be deleted.
    seen: Timestamp,
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
        let touched = locked(&self.touched).remove(&key);
        if !touched && self.is_still_steady(resource, &key).await {
            return Ok(self.pace().look);
        }
        // What a pass that fails did not see is looked for by the next one.
        locked(&self.steady).remove(&key);
        let mut told = Reported::last(resource);
        let cluster = match ValidCluster::parse(resource, &self.settings) {
            Ok(cluster) => cluster,
            Err(error) => {
                self.report(resource, &mut told, &Outcome::Invalid(&error))
                    .await?;
                return Ok(STEADY);
            }
        };
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

    async fn pass(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        told: &mut Reported,
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
        let retries = has_failed(told.status.as_ref()) && plan.action.writes();
        let degraded = if retries {
            let retried = Outcome::Retried(cluster, &observed, &plan);
            self.report(resource, told, &retried).await?
        } else {
            self.report(resource, told, &planned).await?
        };
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.seen(
            &cluster.namespace,
            &cluster.name,
            plan.ensemble.has_quorum(),
            count(plan.ensemble.followers.len()),
            count(cluster.members.len()),
        );
        let version = told.resource_version.clone();
        self.note_steady(resource, version, (cluster, &observed, &plan), degraded);
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
        Ok(pause(&plan, degraded).unwrap_or(self.pace().look))
    }

    /// Writes status where it is news to what was `told` last, and an Event where trouble begins.
    /// Returns whether there is trouble.
    async fn report(
        &self,
        resource: &ZooKeeperCluster,
        told: &mut Reported,
        outcome: &Outcome<'_>,
    ) -> Result<bool, ApplyError> {
        let old = told.status.take();
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
            let written = match self.writer.write_status(resource, &new).await {
                Ok(written) => written,
                Err(error) => {
                    told.status = old.cloned();
                    return Err(error);
                }
            };
            // What the operator itself said is no reason to look again, but for the identity that it
            // latched, on which the next steps rest; nor where somebody asked for something else in
            // the meantime.
            let latched = |status: Option<&ZooKeeperClusterStatus>| status?.cluster_id.clone();
            let goes_on = latched(old) != latched(Some(&new));
            told.resource_version = written
                .filter(|written| !goes_on && asks_the_same(resource, written))
                .and_then(|written| written.resource_version());
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
        told.status = Some(new);
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

/// When to look again while something is in progress; None: nothing is.
fn pause(plan: &Plan, degraded: bool) -> Option<Duration> {
    let pause = match &plan.action {
        Action::Nothing | Action::Paused => return None,
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
    };
    Some(pause)
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
