//! What to do next: [`plan`] looks at one observation and names one action.
//!
//! It is pure and remembers nothing, so a process killed at any step goes on
//! from what it sees. The order of concerns is the order of danger: objects are
//! written first, volumes grow next, and a member is restarted last, and only
//! while the others, each seen in sync with the leader, are a quorum without it.

pub mod bootstrap;
mod drift;
pub mod observed;
pub mod quorum;
pub mod rollout;
#[cfg(test)]
mod simulation;
mod storage;

pub use observed::Observed;
pub use rollout::{Predicate, Refusal, Restart, Why};
pub use storage::Growth;

use crate::objects::{Context, Desired, Kind, desired};
use crate::valid::ValidCluster;
use quorum::Ensemble;

/// One step, with its reason inside.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Everything is as it should be.
    Nothing,
    /// Nothing may be done: spec.paused is set.
    Paused,
    /// Write or delete these objects.
    Apply(Vec<Desired>),
    /// Let a volume grow.
    Grow(Growth),
    /// Delete a member's pod, so that it starts again from the newest template.
    Restart(Restart),
    /// Something has to happen elsewhere first.
    Wait(Waiting),
}

/// What is being waited for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Waiting {
    /// The StatefulSet controller has not seen the newest StatefulSet yet.
    StatefulSetNotObserved,
    /// These pods do not serve yet.
    Members(Vec<String>),
    /// A roll goes on as soon as the failed predicates pass.
    Rollout,
}

/// The action, and all that explains it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do.
    pub action: Action,
    /// Why no (other) member may be restarted now.
    pub refusals: Vec<Refusal>,
    /// The pods that are to be restarted sooner or later, each with the cause.
    pub stale: Vec<(String, Why)>,
    /// The ensemble, as the members described it.
    pub ensemble: Ensemble,
}

/// Decides the next step.
pub fn plan(cluster: &ValidCluster, observed: &Observed) -> Plan {
    let ensemble = Ensemble::read(cluster, observed);
    let context = Context {
        bootstrap: bootstrap::may_bootstrap(cluster, observed),
        living_stateful_set: observed.objects.get(&Kind::StatefulSet),
    };
    let differing = drift::differing(desired(cluster, &context), &observed.objects);
    let stale = rollout::stale(cluster, observed);
    let mut refusals = Vec::new();
    let action = if cluster.paused {
        Action::Paused
    } else if !differing.is_empty() {
        Action::Apply(differing)
    } else if let Some(growth) = storage::growth(cluster, observed) {
        Action::Grow(growth)
    } else if !rollout::stateful_set_is_observed(observed) {
        // Until then a deleted pod would come back from the old template.
        Action::Wait(Waiting::StatefulSetNotObserved)
    } else if let Some(restart) = rollout::next(cluster, observed, &ensemble, &stale, &mut refusals)
    {
        Action::Restart(restart)
    } else {
        let missing: Vec<String> = cluster
            .members
            .iter()
            .filter(|member| {
                !ensemble.synced.contains(&member.id) || !is_ready(observed, &member.pod)
            })
            .map(|member| member.pod.clone())
            .collect();
        if !missing.is_empty() {
            Action::Wait(Waiting::Members(missing))
        } else if !stale.is_empty() {
            Action::Wait(Waiting::Rollout)
        } else {
            Action::Nothing
        }
    };
    Plan {
        action,
        refusals,
        stale,
        ensemble,
    }
}

/// Whether the pod exists, stays, and passes its readiness probe.
pub(crate) fn is_ready(observed: &Observed, pod: &str) -> bool {
    observed.pods.get(pod).is_some_and(|pod| {
        !pod.terminating && pod.container == observed::ContainerView::Running { ready: true }
    })
}
