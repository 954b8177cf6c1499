//! What to do next: [`plan`] looks at one observation and names one action.
//!
//! It is pure and remembers nothing, so a process killed at any step goes on
//! from what it sees. The order of concerns is the order of danger: objects are
//! written first, volumes grow next, and a member is restarted last, and only
//! while the others, each seen in sync with the leader, are a quorum without it.

pub mod bootstrap;
mod drift;
pub mod membership;
pub mod observed;
pub mod quorum;
pub mod rollout;
pub mod scale;
pub mod secrets;
#[cfg(test)]
mod simulation;
pub mod stale;
pub mod storage;
pub mod version;

pub use membership::Roster;
pub use observed::Observed;
pub use rollout::{HandOver, Predicate, Refusal, Restart};
pub use scale::Reconfig;
pub use stale::Why;
pub use storage::{Growth, Recreation};

use crate::crd::names::PORT_CLIENT;
use crate::crd::spec::ServiceType;
use crate::objects::{Context, Desired, Kind, desired, is_own, of_member};
use crate::valid::{Member, ValidCluster};
use bootstrap::Recovery;
use observed::Superuser;
use quorum::Ensemble;
use secrets::Lacking;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One step, with its reason inside.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Everything is as it should be.
    Nothing,
    /// Nothing may be done: spec.paused is set.
    Paused,
    /// Draw the superuser's password, and keep it in a Secret.
    DrawSuperuser,
    /// Write or delete these objects.
    Apply(Vec<Desired>),
    /// Let a volume grow.
    Grow(Growth),
    /// Take the StatefulSet away without its pods, so that it can be made again.
    Recreate(Recreation),
    /// Ask the leader to hand over, before it is taken down.
    HandOver(HandOver),
    /// Ask the ensemble to change its membership.
    Reconfig(Reconfig),
    /// Delete a member's pod, so that it starts again from the newest template.
    Restart(Restart),
    /// Something has to happen elsewhere first.
    Wait(Waiting),
}

impl Action {
    /// Whether carrying it out is asked of anyone, so that it may fail.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Paused | Self::Wait(_))
    }
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
    /// The membership changes further as soon as these are in sync, or the failed predicates pass.
    Membership(Vec<String>),
    /// These Secrets that the spec names.
    Secrets(Vec<Lacking>),
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
    /// Who is to have a pod.
    pub roster: Roster,
    /// What the membership still lacks, in order.
    pub changes: Vec<(Member, scale::Change)>,
    /// The image that was asked for and is not brought in.
    pub unsupported: Option<version::Unsupported>,
    /// A volume that is too small and cannot grow.
    pub fixed: Option<storage::Fixed>,
    /// Secrets that the spec names and that lack what they are named for.
    pub lacking: Vec<Lacking>,
    /// The recovery of a lost quorum that is under way or was made.
    pub recovery: Option<Recovery>,
    /// Where clients outside of Kubernetes reach each ordinal's member.
    pub client_addresses: BTreeMap<u8, String>,
}

/// Decides the next step.
pub fn plan(asked: &ValidCluster, observed: &Observed) -> Plan {
    let unsupported = version::unsupported(asked, observed);
    let cluster = match &unsupported {
        Some(unsupported) => Cow::Owned(ValidCluster {
            image: unsupported.image.clone(),
            ..asked.clone()
        }),
        None => Cow::Borrowed(asked),
    };
    let cluster = cluster.as_ref();
    let ensemble = Ensemble::read(cluster, observed);
    let roster = Roster::read(cluster, observed, &ensemble, None);
    let recovery = bootstrap::recovery(cluster, observed, &ensemble);
    let changes = ensemble
        .membership
        .as_ref()
        .map(|committed| scale::differing(cluster, committed))
        .unwrap_or_default();
    let stale = stale::stale(&roster, observed, &ensemble, recovery.as_ref());
    let mut plan = Plan {
        action: Action::Nothing,
        refusals: Vec::new(),
        client_addresses: client_addresses(cluster, observed, &roster),
        fixed: storage::fixed(cluster, observed, &roster),
        lacking: secrets::lacking(cluster, observed),
        stale,
        ensemble,
        roster,
        changes,
        unsupported,
        recovery,
    };
    plan.action = decide(cluster, observed, &mut plan);
    plan
}

fn decide(cluster: &ValidCluster, observed: &Observed, plan: &mut Plan) -> Action {
    if cluster.paused {
        return Action::Paused;
    }
    if observed.secrets.superuser == Superuser::NotDrawn {
        return Action::DrawSuperuser;
    }
    let differing = to_write(cluster, observed, plan, &plan.roster);
    if !differing.is_empty() {
        return Action::Apply(differing);
    }
    if let Some(growth) = storage::growth(cluster, observed, &plan.roster) {
        return Action::Grow(growth);
    }
    if !rollout::stateful_set_is_observed(observed) {
        // Until then a deleted pod would come back from the old template.
        return Action::Wait(Waiting::StatefulSetNotObserved);
    }
    if let Some(recreation) = storage::recreation(cluster, observed, &plan.roster) {
        return Action::Recreate(recreation);
    }
    let next = rollout::next(
        observed,
        &plan.ensemble,
        &plan.roster,
        &plan.stale,
        &mut plan.refusals,
    );
    match next {
        Some(rollout::Next::Restart(restart)) => return Action::Restart(restart),
        Some(rollout::Next::HandOver(asking)) => return Action::HandOver(asking),
        None => {}
    }
    let rolling = !plan.stale.is_empty();
    let step = scale::next(
        cluster,
        observed,
        &plan.ensemble,
        &plan.roster,
        rolling,
        &mut plan.refusals,
    );
    match step {
        Some(scale::Step::Start(member)) => {
            let grown = Roster::read(cluster, observed, &plan.ensemble, Some(&member));
            return Action::Apply(to_write(cluster, observed, plan, &grown));
        }
        Some(scale::Step::Reconfig(reconfig)) => return Action::Reconfig(reconfig),
        Some(scale::Step::HandOver(asking)) => return Action::HandOver(asking),
        Some(scale::Step::Wait(pods)) => return Action::Wait(Waiting::Membership(pods)),
        Some(scale::Step::Blocked) => return Action::Wait(Waiting::Membership(Vec::new())),
        None => {}
    }
    let missing: Vec<String> = plan
        .roster
        .members
        .iter()
        .filter(|member| {
            !plan.ensemble.followers.contains(&member.id) || !is_ready(observed, &member.pod)
        })
        .map(|member| member.pod.clone())
        .collect();
    if !missing.is_empty() {
        Action::Wait(Waiting::Members(missing))
    } else if rolling {
        Action::Wait(Waiting::Rollout)
    } else if !plan.lacking.is_empty() {
        Action::Wait(Waiting::Secrets(plan.lacking.clone()))
    } else {
        Action::Nothing
    }
}

/// The objects that are not as they are to be with this roster.
fn to_write(
    cluster: &ValidCluster,
    observed: &Observed,
    plan: &Plan,
    roster: &Roster,
) -> Vec<Desired> {
    let context = Context {
        initialize: bootstrap::initialize(cluster, observed, plan.recovery.as_ref()),
        recovery: plan.recovery.as_ref().map(Recovery::text),
        pods: roster.pods(),
        list: &roster.list,
        living_stateful_set: observed.objects.get(&Kind::StatefulSet),
        password: observed.secrets.superuser.password(),
        users: observed
            .secrets
            .users
            .iter()
            .filter_map(|(name, password)| Some((name.as_str(), password.known()?)))
            .collect(),
        living_auth: observed.objects.get(&Kind::AuthSecret),
        client_addresses: plan.client_addresses.clone(),
        living_member_services: observed
            .objects
            .keys()
            .filter_map(|kind| match kind {
                Kind::MemberService(ordinal) => Some(*ordinal),
                _ => None,
            })
            .collect(),
    };
    let mut desired = desired(cluster, &context);
    if has_foreign_discovery(cluster, observed) {
        desired.retain(|desired| desired.kind != Kind::DiscoveryConfigMap);
    }
    let config_map = desired.iter().find(|d| d.kind == Kind::ConfigMap).cloned();
    let mut differing = drift::differing(desired, &observed.objects);
    let has = |differing: &[Desired], kind| differing.iter().position(|d| d.kind == kind);
    // A StatefulSet that nobody saw is made only beside the ConfigMap that was seen: of two who make
    // it, the later one finds that one changed.
    if !observed.objects.contains_key(&Kind::StatefulSet)
        && has(&differing, Kind::ConfigMap).is_none()
        && let Some(index) = has(&differing, Kind::StatefulSet)
    {
        differing.splice(index..index, config_map);
    }
    for desired in &mut differing {
        // What pods start from, and how many there are: written only over what was seen. A late
        // writer would take a pod away, or let an empty disk vote.
        if matches!(desired.kind, Kind::ConfigMap | Kind::StatefulSet) {
            desired.resource_version = observed
                .objects
                .get(&desired.kind)
                .and_then(|living| living["metadata"]["resourceVersion"].as_str())
                .map(str::to_owned);
        }
        desired.new = match desired.kind {
            Kind::ConfigMap => desired.resource_version.is_none(),
            // Somebody else's that came meanwhile is not taken over.
            Kind::DiscoveryConfigMap => !observed.objects.contains_key(&desired.kind),
            _ => false,
        };
    }
    differing
}

/// Whether the name of the discovery ConfigMap, which is the cluster's own, is taken: an application's
/// may well have it, and is left as it is.
pub(crate) fn has_foreign_discovery(cluster: &ValidCluster, observed: &Observed) -> bool {
    let living = observed.objects.get(&Kind::DiscoveryConfigMap);
    living.is_some_and(|living| !is_own(cluster, living))
}

/// Where clients outside of Kubernetes reach each member: by the spec's word, else by what its
/// service was given.
fn client_addresses(
    cluster: &ValidCluster,
    observed: &Observed,
    roster: &Roster,
) -> BTreeMap<u8, String> {
    let Some(options) = &cluster.member_services else {
        return BTreeMap::new();
    };
    let address = |member: &Member| {
        let service = observed.objects.get(&Kind::MemberService(member.ordinal))?;
        let port = &service["spec"]["ports"][0];
        let given = &service["status"]["loadBalancer"]["ingress"][0];
        let (own_host, port) = match options.type_.unwrap_or_default() {
            ServiceType::ClusterIP => (service["spec"]["clusterIP"].as_str(), None),
            ServiceType::NodePort => (
                observed
                    .pods
                    .get(&member.pod)
                    .and_then(|pod| pod.node_ip.as_deref()),
                port["nodePort"].as_i64(),
            ),
            ServiceType::LoadBalancer => {
                (given["hostname"].as_str().or(given["ip"].as_str()), None)
            }
        };
        let host = match &options.host {
            Some(host) => of_member(host, member),
            None => own_host?.to_owned(),
        };
        let port = port.unwrap_or(i64::from(PORT_CLIENT));
        Some((member.ordinal, format!("{host}:{port}")))
    };
    roster.members.iter().filter_map(address).collect()
}

/// Whether the pod exists, stays, and passes its readiness probe.
pub(crate) fn is_ready(observed: &Observed, pod: &str) -> bool {
    observed.pods.get(pod).is_some_and(|pod| {
        !pod.terminating && pod.container == observed::ContainerView::Running { ready: true }
    })
}
