//! `status`, derived afresh on every pass: pure, and on errors too.
//!
//! Nothing is carried over from the last status but what must outlive the
//! process (the latched identity) and the times at which conditions changed.

use crate::crd::status::{BlockedBy, MemberStatus, ZooKeeperClusterStatus};
use crate::plan::bootstrap::{may_bootstrap, older_claims};
use crate::plan::observed::{ContainerView, Observed, Role};
use crate::plan::{Action, Plan, Waiting, is_ready};
use crate::valid::{InvalidSpec, ServerId, ValidCluster};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// How long a member may take to serve before a person is told.
pub const COMING_BACK: SignedDuration = SignedDuration::from_mins(5);
/// How long a pod may look for a node or a volume before a person is told.
const SCHEDULING: SignedDuration = SignedDuration::from_secs(60);

/// How a pass ended.
pub enum Outcome<'a> {
    /// The spec cannot be carried out.
    Invalid(&'a InvalidSpec),
    /// Something failed on the way; the sentence says what.
    Failed(&'a str),
    /// The next step was decided.
    Planned(&'a ValidCluster, &'a Observed, &'a Plan),
}

/// The new status.
pub fn status(
    previous: Option<&ZooKeeperClusterStatus>,
    generation: Option<i64>,
    now: Timestamp,
    outcome: &Outcome<'_>,
) -> ZooKeeperClusterStatus {
    let mut status = match outcome {
        Outcome::Planned(cluster, observed, plan) => facts(cluster, observed, plan),
        Outcome::Invalid(_) | Outcome::Failed(_) => previous.cloned().unwrap_or_default(),
    };
    // Once latched, always latched.
    status.cluster_id = previous
        .and_then(|status| status.cluster_id.clone())
        .or(status.cluster_id);
    let judged = match outcome {
        Outcome::Planned(cluster, observed, plan) => judge(cluster, observed, plan),
        Outcome::Invalid(error) => {
            let sentence = error.to_string();
            vec![
                judgement("Ready", false, "InvalidSpec", &sentence),
                judgement(
                    "Progressing",
                    false,
                    "InvalidSpec",
                    "the ensemble is left as it is",
                ),
                judgement("Degraded", true, "InvalidSpec", &sentence),
            ]
        }
        Outcome::Failed(sentence) => {
            vec![judgement("Degraded", true, "ReconcileFailed", *sentence)]
        }
    };
    // A failed pass knows nothing of this generation: saying it did would let
    // `kubectl wait` believe an old Ready.
    if !matches!(outcome, Outcome::Failed(_)) {
        status.observed_generation = generation;
    }
    status.conditions = Some(conditions(previous, judged, generation, now));
    status
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
    reason: String,
    message: String,
}

fn judgement(
    type_: &'static str,
    status: bool,
    reason: &str,
    message: impl Into<String>,
) -> Judgement {
    Judgement {
        type_,
        status,
        reason: reason.to_owned(),
        message: message.into(),
    }
}

fn facts(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> ZooKeeperClusterStatus {
    let serving = serving(cluster, observed, plan);
    let name_of = |id: ServerId| {
        cluster
            .members
            .iter()
            .find(|member| member.id == id)
            .map(|m| m.pod.clone())
    };
    let leader_report = plan
        .ensemble
        .leader
        .and_then(|id| observed.members.get(&id)?.as_ref().ok());
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    ZooKeeperClusterStatus {
        ready: Some(format!("{serving}/{}", cluster.members.len())),
        ready_replicas: Some(count(serving)),
        replicas: Some(count(observed.pods.len())),
        selector: Some(cluster.selector()),
        leader: plan.ensemble.leader.and_then(name_of),
        version: oldest_version(observed),
        members: Some(
            cluster
                .members
                .iter()
                .map(|member| describe(observed, member))
                .collect(),
        ),
        client_endpoint: Some(cluster.client_endpoint()),
        config_version: leader_report.map(|report| report.config_version.clone()),
        cluster_id: plan
            .ensemble
            .has_quorum()
            .then(|| cluster.cluster_id.clone()),
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

fn serving(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> usize {
    cluster
        .members
        .iter()
        .filter(|member| {
            plan.ensemble.synced.contains(&member.id) && is_ready(observed, &member.pod)
        })
        .count()
}

fn describe(observed: &Observed, member: &crate::valid::Member) -> MemberStatus {
    let report = observed
        .members
        .get(&member.id)
        .and_then(|report| report.as_ref().ok());
    MemberStatus {
        pod: member.pod.clone(),
        id: i32::from(member.id.0),
        role: match report.map(|report| report.role) {
            Some(Role::Observer) => "observer",
            Some(Role::Participant) | None => "participant",
        }
        .to_owned(),
        mode: report
            .map_or("unknown", |report| report.state.as_str())
            .to_owned(),
        zxid: report.map(|report| report.last_zxid.clone()),
        version: report.map(|report| report.version.clone()),
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
    let serving = serving(cluster, observed, plan);
    let wanted = cluster.members.len();
    let degraded = trouble(cluster, observed, plan);
    let (progressing, reason, message) = progress(cluster, plan);
    let steady = matches!(plan.action, Action::Nothing | Action::Paused);
    let ready = if steady && serving == wanted {
        judgement(
            "Ready",
            true,
            "AllMembersServing",
            format!("{serving} of {wanted} members serve"),
        )
    } else if let Some((reason, message)) = &degraded {
        judgement("Ready", false, reason, message.clone())
    } else {
        judgement(
            "Ready",
            false,
            reason,
            format!("{serving} of {wanted} members serve: {message}"),
        )
    };
    vec![
        ready,
        judgement("Progressing", progressing, reason, message),
        match degraded {
            Some((reason, message)) => judgement("Degraded", true, reason, message),
            None => judgement("Degraded", false, "AsExpected", "nothing needs a person"),
        },
        quorum(cluster, observed, plan),
        if cluster.paused {
            judgement(
                "Paused",
                true,
                "PausedBySpec",
                "spec.paused is set: nothing is written or restarted",
            )
        } else {
            judgement("Paused", false, "NotPaused", "changes are carried out")
        },
    ]
}

fn progress(cluster: &ValidCluster, plan: &Plan) -> (bool, &'static str, String) {
    let restarting = !plan.stale.is_empty();
    let left = || {
        let pods: Vec<&str> = plan.stale.iter().map(|(pod, _)| pod.as_str()).collect();
        format!(
            "{} of {} members are still to be restarted: {}",
            pods.len(),
            cluster.members.len(),
            pods.join(", ")
        )
    };
    match &plan.action {
        Action::Nothing => (
            false,
            "UpToDate",
            "every member is what the spec asks for".to_owned(),
        ),
        Action::Paused => (false, "Paused", "spec.paused is set".to_owned()),
        Action::Apply(objects) => {
            let names: Vec<String> = objects
                .iter()
                .map(|object| format!("{} {}", object.kind.resource().1, object.name))
                .collect();
            (
                true,
                "ApplyingObjects",
                format!("writing {}", names.join(", ")),
            )
        }
        Action::Grow(growth) => (
            true,
            "GrowingVolume",
            format!(
                "volume {} grows from {} to {}",
                growth.claim, growth.from, growth.to
            ),
        ),
        Action::Restart(restart) => (
            true,
            "RollingRestart",
            format!(
                "{} restarts because {}; {}",
                restart.pod,
                restart.why,
                left()
            ),
        ),
        Action::Wait(Waiting::StatefulSetNotObserved) => (
            true,
            "WaitingForStatefulSet",
            "the StatefulSet controller has not seen the newest template".to_owned(),
        ),
        Action::Wait(Waiting::Members(_) | Waiting::Rollout) if restarting => {
            let why: Vec<&str> = plan
                .refusals
                .iter()
                .map(|refusal| refusal.message.as_str())
                .collect();
            (
                true,
                "RollingRestart",
                format!("{}; {}", left(), why.join("; ")),
            )
        }
        Action::Wait(Waiting::Members(pods)) => (
            true,
            "WaitingForMembers",
            format!("waiting for {} to serve", pods.join(", ")),
        ),
        Action::Wait(Waiting::Rollout) => (true, "RollingRestart", left()),
    }
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
            .and_then(|id| cluster.members.iter().find(|member| member.id == id))
            .map_or("the leader", |member| member.pod.as_str());
        return judgement(
            "QuorumAvailable",
            true,
            "SyncedMajority",
            format!("{leader} leads, and at least {majority} of {voters} voters serve in sync"),
        );
    }
    let silent: Vec<String> = cluster
        .members
        .iter()
        .filter_map(|member| match observed.members.get(&member.id) {
            Some(Ok(report)) if report.serving => None,
            Some(Ok(report)) => Some(format!("{} is {}", member.pod, report.state.as_str())),
            Some(Err(silence)) => Some(format!("{}: {silence}", member.pod)),
            None => Some(format!("{} was not asked", member.pod)),
        })
        .collect();
    let reason = match (ensemble.leader, &observed.cluster_id) {
        (Some(_), _) => "NoSyncedMajority",
        (None, Some(_)) => "NoLeader",
        (None, None) => "FirstQuorumPending",
    };
    judgement(
        "QuorumAvailable",
        false,
        reason,
        format!(
            "{synced} of {voters} voters serve in sync, {majority} are needed. {}",
            silent.join("; ")
        ),
    )
}

/// What needs a person, the worst first.
fn trouble(
    cluster: &ValidCluster,
    observed: &Observed,
    plan: &Plan,
) -> Option<(&'static str, String)> {
    for member in &cluster.members {
        let Some(pod) = observed.pods.get(&member.pod) else {
            continue;
        };
        let ContainerView::Stuck { reason, message } = &pod.container else {
            continue;
        };
        // A pod on its way out ends its containers before it is gone: that is no trouble.
        if pod.terminating {
            continue;
        }
        if reason == "Unschedulable" && observed.now.duration_since(pod.created) < SCHEDULING {
            continue;
        }
        return Some((
            "MemberCannotRun",
            format!("{} cannot run: {reason}: {message}", member.pod),
        ));
    }
    if !plan.ensemble.has_quorum()
        && observed.cluster_id.is_none()
        && !may_bootstrap(cluster, observed)
    {
        let claims = older_claims(cluster, observed).join(", ");
        let waited = observed.pods.values().any(|pod| {
            pod.unready_since
                .is_some_and(|since| observed.now.duration_since(since) > SCHEDULING)
        });
        if waited {
            return Some((
                "OlderVolumes",
                format!(
                    "volumes older than this resource exist ({claims}), so no empty disk may vote, and those \
                     with data are no majority. If there is nothing on them worth keeping, annotate the \
                     resource {}=true",
                    crate::crd::names::ANNOTATION_BOOTSTRAP
                ),
            ));
        }
    }
    for member in &cluster.members {
        let Some(pod) = observed.pods.get(&member.pod) else {
            continue;
        };
        let late = pod
            .unready_since
            .is_some_and(|since| observed.now.duration_since(since) > COMING_BACK);
        if late {
            let said = match observed.members.get(&member.id) {
                Some(Ok(report)) => format!("it says it is {}", report.state.as_str()),
                Some(Err(silence)) => silence.to_string(),
                None => "it was not asked".to_owned(),
            };
            let minutes = COMING_BACK.as_mins();
            return Some((
                "MemberDoesNotServe",
                format!(
                    "{} has not served for over {minutes} minutes: {said}",
                    member.pod
                ),
            ));
        }
    }
    if let Some((id, Err(crate::plan::observed::Silence::Impostor(found)))) = observed
        .members
        .iter()
        .find(|(_, report)| matches!(report, Err(crate::plan::observed::Silence::Impostor(_))))
    {
        return Some(("WrongMember", format!("server {id}: {found}")));
    }
    None
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
            reason: judgement.reason,
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
