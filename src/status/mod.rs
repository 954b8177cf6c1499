//! `status`, derived afresh on every pass: pure, and on errors too.
//!
//! Nothing is carried over from the last status but what must outlive the
//! process (the latched identity) and the times at which conditions changed.
//! What is being done stands in `progress`, what needs a person in `trouble`.

mod progress;
mod trouble;

pub use trouble::COMING_BACK;

use crate::crd::status::{Binding, BlockedBy, MemberStatus, ZooKeeperClusterStatus};
use crate::objects::Kind;
use crate::plan::observed::Observed;
use crate::plan::{Action, Plan, has_foreign_discovery, is_ready};
use crate::reasons::Reason;
use crate::valid::{InvalidSpec, Member, Role, ServerId, ValidCluster};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use progress::progress;
use trouble::{silent, trouble};

/// How a pass ended.
pub enum Outcome<'a> {
    /// The spec cannot be carried out.
    Invalid(&'a InvalidSpec),
    /// Something failed on the way; the sentence says what.
    Failed(&'a str),
    /// The next step was decided.
    Planned(&'a ValidCluster, &'a Observed, &'a Plan),
    /// The next step was decided after one that failed, and may fail like it: until it is carried
    /// out, the failure stands.
    Retried(&'a ValidCluster, &'a Observed, &'a Plan),
}

/// The new status.
pub fn status(
    previous: Option<&ZooKeeperClusterStatus>,
    generation: Option<i64>,
    now: Timestamp,
    outcome: &Outcome<'_>,
) -> ZooKeeperClusterStatus {
    let mut status = match outcome {
        Outcome::Planned(cluster, observed, plan) | Outcome::Retried(cluster, observed, plan) => {
            facts(cluster, observed, plan)
        }
        Outcome::Invalid(_) | Outcome::Failed(_) => previous.cloned().unwrap_or_default(),
    };
    // Once latched, always latched.
    status.cluster_id = previous
        .and_then(|status| status.cluster_id.clone())
        .or(status.cluster_id);
    let judged = match outcome {
        Outcome::Planned(cluster, observed, plan) => judge(cluster, observed, plan),
        Outcome::Retried(cluster, observed, plan) => {
            let mut judged = judge(cluster, observed, plan);
            judged.retain(|judgement| !matches!(judgement.type_, "Ready" | "Degraded"));
            judged
        }
        Outcome::Invalid(error) => {
            let sentence = error.to_string();
            vec![
                judgement("Ready", false, Reason::InvalidSpec, &sentence),
                judgement(
                    "Progressing",
                    false,
                    Reason::InvalidSpec,
                    "the ensemble is left as it is",
                ),
                judgement("Degraded", true, Reason::InvalidSpec, &sentence),
            ]
        }
        Outcome::Failed(sentence) => {
            vec![judgement(
                "Degraded",
                true,
                Reason::ReconcileFailed,
                *sentence,
            )]
        }
    };
    // A failed pass knows nothing of this generation: saying it did would let
    // `kubectl wait` believe an old Ready.
    status.observed_generation = match outcome {
        Outcome::Failed(_) | Outcome::Retried(..) => {
            previous.and_then(|status| status.observed_generation)
        }
        Outcome::Invalid(_) | Outcome::Planned(..) => generation,
    };
    status.conditions = Some(conditions(previous, judged, generation, now));
    status
}

/// Whether the last pass failed.
pub fn has_failed(status: Option<&ZooKeeperClusterStatus>) -> bool {
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        (condition.type_.as_str(), condition.reason.as_str())
            == ("Degraded", Reason::ReconcileFailed.name())
    })
}

/// Whether writing `new` over `old` would tell anyone anything: zxids alone move
/// with every transaction, and would make status a stream.
pub fn is_news(old: Option<&ZooKeeperClusterStatus>, new: &ZooKeeperClusterStatus) -> bool {
    let still = |status: &ZooKeeperClusterStatus| {
        let mut status = status.clone();
        for member in status.members.iter_mut().flatten() {
            member.zxid = None;
        }
        status
    };
    old.map(still) != Some(still(new))
}

struct Judgement {
    type_: &'static str,
    status: bool,
    reason: Reason,
    message: String,
}

fn judgement(
    type_: &'static str,
    status: bool,
    reason: Reason,
    message: impl Into<String>,
) -> Judgement {
    Judgement {
        type_,
        status,
        reason,
        message: message.into(),
    }
}

fn facts(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> ZooKeeperClusterStatus {
    let name_of = |id: ServerId| cluster.member_with_id(id).map(|member| member.pod);
    let leader_report = plan
        .ensemble
        .leader
        .and_then(|id| observed.members.get(&id)?.as_ref().ok());
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let (ready, wanted) = serving(cluster, observed, plan);
    let voters = &plan.ensemble.voters;
    let ready_voters = voters
        .iter()
        .filter(|id| serves(cluster, observed, plan, **id));
    ZooKeeperClusterStatus {
        ready: Some(format!("{ready}/{wanted}")),
        ready_replicas: Some(count(ready_voters.count())),
        replicas: Some(if plan.ensemble.membership.is_some() {
            count(voters.len())
        } else {
            count(observed.pods.len().min(usize::from(cluster.voters)))
        }),
        selector: Some(cluster.selector()),
        leader: plan.ensemble.leader.and_then(name_of),
        version: oldest_version(observed),
        members: Some(
            everyone(cluster, plan)
                .iter()
                .map(|member| describe(observed, plan, member))
                .collect(),
        ),
        client_endpoint: Some(cluster.client_endpoint()),
        binding: observed
            .objects
            .contains_key(&Kind::BindingSecret)
            .then(|| Binding {
                name: Kind::BindingSecret.name(&cluster.name),
            }),
        config_version: leader_report.map(|report| report.config_version.clone()),
        cluster_id: plan
            .ensemble
            .has_quorum()
            .then(|| cluster.cluster_id.clone()),
        warnings: warnings(cluster, observed),
        blocked_by: (!plan.refusals.is_empty()).then(|| {
            plan.refusals
                .iter()
                .map(|refusal| BlockedBy {
                    predicate: refusal.predicate.name().to_owned(),
                    message: refusal.message.clone(),
                })
                .collect()
        }),
        ..ZooKeeperClusterStatus::default()
    }
}

/// What is allowed, and still unwise.
fn warnings(cluster: &ValidCluster, observed: &Observed) -> Option<Vec<String>> {
    let mut warnings = Vec::new();
    let voters = cluster.voters;
    if voters.is_multiple_of(2) {
        warnings.push(format!(
            "{voters} voters survive the loss of {}, as {} do: use an odd number of replicas",
            (voters - 1) / 2,
            voters - 1
        ));
    }
    if cluster.ephemeral {
        warnings.push(
            "storage.ephemeral keeps the data in the pods: the loss of a majority of them loses all of it"
                .to_owned(),
        );
    }
    if has_foreign_discovery(cluster, observed) {
        warnings.push(format!(
            "the ConfigMap {} is somebody else's and stays as it is: applications find the ensemble by \
             the Secret {}, or once that ConfigMap is gone",
            Kind::DiscoveryConfigMap.name(&cluster.name),
            Kind::BindingSecret.name(&cluster.name)
        ));
    }
    (!warnings.is_empty()).then_some(warnings)
}

/// Those that the spec asks for, and those that are still on their way out.
fn everyone(cluster: &ValidCluster, plan: &Plan) -> Vec<Member> {
    let mut all = cluster.members.clone();
    let more = plan.roster.members.iter();
    all.extend(
        more.filter(|m| usize::from(m.ordinal) >= cluster.members.len())
            .cloned(),
    );
    all
}

fn serves(cluster: &ValidCluster, observed: &Observed, plan: &Plan, id: ServerId) -> bool {
    plan.ensemble.followers.contains(&id)
        && cluster
            .member_with_id(id)
            .is_some_and(|member| is_ready(observed, &member.pod))
}

/// How many of the members that the spec asks for serve, and how many those are.
fn serving(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> (usize, usize) {
    let members = &cluster.members;
    let ready = members
        .iter()
        .filter(|member| serves(cluster, observed, plan, member.id));
    (ready.count(), members.len())
}

/// Who of them does not serve, in parentheses: whatever is being done meanwhile may be about others.
fn absent(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> String {
    let members = cluster.members.iter();
    let absent: Vec<&str> = members
        .filter(|member| !serves(cluster, observed, plan, member.id))
        .map(|member| member.pod.as_str())
        .collect();
    match absent.as_slice() {
        [] => String::new(),
        [one] => format!(" ({one} does not)"),
        more => format!(" ({} do not)", more.join(", ")),
    }
}

fn describe(observed: &Observed, plan: &Plan, member: &Member) -> MemberStatus {
    let report = observed
        .members
        .get(&member.id)
        .and_then(|report| report.as_ref().ok());
    let role = match &plan.ensemble.membership {
        Some(membership) => membership.roles.get(&member.id).copied(),
        None => Some(report.map_or(member.role, |report| report.role)),
    };
    MemberStatus {
        pod: member.pod.clone(),
        id: i32::from(member.id.0),
        role: role.map_or("joining", Role::as_str).to_owned(),
        mode: report
            .map_or("unknown", |report| report.state.as_str())
            .to_owned(),
        zxid: report.map(|report| report.last_zxid.clone()),
        version: report.map(|report| report.version.clone()),
        client_address: plan.client_addresses.get(&member.ordinal).cloned(),
    }
}

fn oldest_version(observed: &Observed) -> Option<String> {
    let numbers = |version: &str| -> Vec<u64> {
        version
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    observed
        .members
        .values()
        .filter_map(|report| report.as_ref().ok())
        .filter(|report| report.serving)
        .map(|report| report.version.clone())
        .min_by_key(|version| numbers(version))
}

fn judge(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> Vec<Judgement> {
    let (serving, wanted) = serving(cluster, observed, plan);
    let degraded = trouble(cluster, observed, plan);
    let (progressing, reason, message) = progress(plan);
    let steady = matches!(plan.action, Action::Nothing | Action::Paused);
    let ready = if steady && serving == wanted && degraded.is_none() {
        judgement(
            "Ready",
            true,
            Reason::AllMembersServing,
            format!("{serving} of {wanted} members serve"),
        )
    } else if let Some((reason, message)) = &degraded {
        judgement("Ready", false, *reason, message.clone())
    } else {
        judgement(
            "Ready",
            false,
            reason,
            format!(
                "{serving} of {wanted} members serve{}: {message}",
                absent(cluster, observed, plan)
            ),
        )
    };
    vec![
        ready,
        judgement("Progressing", progressing, reason, message),
        match degraded {
            Some((reason, message)) => judgement("Degraded", true, reason, message),
            None => judgement(
                "Degraded",
                false,
                Reason::AsExpected,
                "nothing needs a person",
            ),
        },
        quorum(cluster, observed, plan),
        if cluster.paused {
            judgement(
                "Paused",
                true,
                Reason::PausedBySpec,
                "spec.paused is set: nothing is written or restarted",
            )
        } else {
            judgement(
                "Paused",
                false,
                Reason::NotPaused,
                "changes are carried out",
            )
        },
    ]
}

fn quorum(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> Judgement {
    let ensemble = &plan.ensemble;
    let (synced, voters, majority) = (
        ensemble.synced.len(),
        ensemble.voters.len(),
        ensemble.majority(),
    );
    if ensemble.has_quorum() {
        let leader = ensemble
            .leader
            .and_then(|id| cluster.member_with_id(id))
            .map_or("the leader".to_owned(), |member| member.pod);
        return judgement(
            "QuorumAvailable",
            true,
            Reason::SyncedMajority,
            format!("{leader} leads, and at least {majority} of {voters} voters serve in sync"),
        );
    }
    let reason = match (ensemble.leader, &observed.cluster_id) {
        (Some(_), _) => Reason::NoSyncedMajority,
        (None, Some(_)) => Reason::NoLeader,
        (None, None) => Reason::FirstQuorumPending,
    };
    judgement(
        "QuorumAvailable",
        false,
        reason,
        format!(
            "{synced} of {voters} voters serve in sync, {majority} are needed. {}",
            silent(cluster, observed, plan).join("; ")
        ),
    )
}

/// Merges judgements into the previous conditions, keeping times where nothing changed.
fn conditions(
    previous: Option<&ZooKeeperClusterStatus>,
    judged: Vec<Judgement>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = previous
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    for judgement in judged {
        let status = if judgement.status { "True" } else { "False" };
        let old = conditions
            .iter()
            .position(|condition| condition.type_ == judgement.type_);
        let since = old
            .map(|index| &conditions[index])
            .filter(|condition| condition.status == status)
            .map_or(Time(whole_seconds(now)), |condition| {
                condition.last_transition_time.clone()
            });
        let new = Condition {
            type_: judgement.type_.to_owned(),
            status: status.to_owned(),
            reason: judgement.reason.name().to_owned(),
            message: judgement.message,
            observed_generation: generation,
            last_transition_time: since,
        };
        match old {
            Some(index) => conditions[index] = new,
            None => conditions.push(new),
        }
    }
    conditions
}

/// The API server keeps whole seconds; comparing with more would never be equal.
fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
