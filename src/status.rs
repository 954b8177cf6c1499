//! `status`, derived afresh on every pass: pure, and on errors too.
//!
//! Nothing is carried over from the last status but what must outlive the
//! process (the latched identity) and the times at which conditions changed.

use crate::crd::names::{ANNOTATION_BOOTSTRAP, ANNOTATION_RECOVER, RECOVERY_CONSENT};
use crate::crd::status::{Binding, BlockedBy, MemberStatus, ZooKeeperClusterStatus};
use crate::objects::Kind;
use crate::plan::bootstrap::{emptied, may_bootstrap, older_claims};
use crate::plan::observed::{ContainerView, Observed, Silence};
use crate::plan::{Action, Plan, Waiting, is_ready};
use crate::reasons::Reason;
use crate::valid::{InvalidSpec, Member, Role, ServerId, ValidCluster};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// How long a member may take to serve before a person is told.
pub const COMING_BACK: SignedDuration = SignedDuration::from_mins(5);
/// How long a pod may look for a node or a volume before a person is told.
const SCHEDULING: SignedDuration = SignedDuration::from_secs(60);
/// How long an election may take before a person is told that the quorum is lost.
const ELECTION: SignedDuration = SignedDuration::from_secs(30);

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
        warnings: warnings(cluster),
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
fn warnings(cluster: &ValidCluster) -> Option<Vec<String>> {
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

fn progress(plan: &Plan) -> (bool, Reason, String) {
    let restarting = !plan.stale.is_empty();
    let left = || {
        let pods: Vec<&str> = plan.stale.iter().map(|(pod, _)| pod.as_str()).collect();
        format!(
            "{} of {} members are still to be restarted: {}",
            pods.len(),
            plan.roster.members.len(),
            pods.join(", ")
        )
    };
    let changes_left = || {
        let pods: Vec<&str> = plan.changes.iter().map(|(m, _)| m.pod.as_str()).collect();
        format!("still to change: {}", pods.join(", "))
    };
    let blocked = || {
        let why: Vec<&str> = plan.refusals.iter().map(|r| r.message.as_str()).collect();
        why.join("; ")
    };
    match &plan.action {
        Action::Nothing => (
            false,
            Reason::UpToDate,
            "every member is what the spec asks for".to_owned(),
        ),
        Action::Paused => (false, Reason::Paused, "spec.paused is set".to_owned()),
        Action::Apply(objects) => {
            let names: Vec<String> = objects
                .iter()
                .map(|object| format!("{} {}", object.kind.resource().1, object.name))
                .collect();
            (
                true,
                Reason::ApplyingObjects,
                format!("writing {}", names.join(", ")),
            )
        }
        Action::DrawSuperuser => (
            true,
            Reason::DrawingSuperuser,
            "drawing the superuser's password".to_owned(),
        ),
        Action::Recreate(recreation) => (
            true,
            Reason::GrowingVolume,
            format!(
                "the StatefulSet is made again around its pods, with {} for {}",
                recreation.to, recreation.volume
            ),
        ),
        Action::HandOver(asking) => (
            true,
            Reason::HandingOver,
            format!(
                "{} leads, and is asked to hand over before it goes",
                asking.member.pod
            ),
        ),
        Action::Reconfig(reconfig) => (
            true,
            Reason::ChangingMembership,
            format!("{reconfig}; {}", changes_left()),
        ),
        Action::Wait(Waiting::Membership(pods)) => (
            true,
            Reason::ChangingMembership,
            match (pods.is_empty(), plan.refusals.is_empty()) {
                (true, _) => format!("{}; {}", changes_left(), blocked()),
                (false, true) => format!(
                    "waiting for {} to be in sync; {}",
                    pods.join(", "),
                    changes_left()
                ),
                (false, false) => format!(
                    "waiting for {}; {}; {}",
                    pods.join(", "),
                    changes_left(),
                    blocked()
                ),
            },
        ),
        Action::Wait(Waiting::Secrets(lacking)) => {
            let all: Vec<String> = lacking.iter().map(ToString::to_string).collect();
            (
                true,
                Reason::WaitingForSecret,
                format!("waiting for {}", all.join(", ")),
            )
        }
        Action::Grow(growth) => (
            true,
            Reason::GrowingVolume,
            format!(
                "volume {} grows from {} to {}",
                growth.claim, growth.from, growth.to
            ),
        ),
        Action::Restart(restart) => (
            true,
            Reason::RollingRestart,
            format!(
                "{} restarts because {}; {}",
                restart.pod,
                restart.why,
                left()
            ),
        ),
        Action::Wait(Waiting::StatefulSetNotObserved) => (
            true,
            Reason::WaitingForStatefulSet,
            "the StatefulSet controller has not seen the newest template".to_owned(),
        ),
        Action::Wait(Waiting::Members(_) | Waiting::Rollout) if restarting => (
            true,
            Reason::RollingRestart,
            format!("{}; {}", left(), blocked()),
        ),
        Action::Wait(Waiting::Members(pods)) => (
            true,
            Reason::WaitingForMembers,
            format!("waiting for {} to serve", pods.join(", ")),
        ),
        Action::Wait(Waiting::Rollout) => (true, Reason::RollingRestart, left()),
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

/// What each voter says that does not serve.
fn silent(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> Vec<String> {
    let voters = plan.ensemble.voters.iter();
    let members = voters.filter_map(|id| cluster.member_with_id(*id));
    members
        .filter_map(|member| match observed.members.get(&member.id) {
            Some(Ok(report)) if report.serving => None,
            Some(Ok(report)) if report.is_empty() && observed.cluster_id.is_some() => {
                let state = report.state.as_str();
                Some(format!("{} is {state} with an empty disk", member.pod))
            }
            Some(Ok(report)) => Some(match &report.fault {
                Some(fault) => format!("{}: {fault}", member.pod),
                None => format!("{} is {}", member.pod, report.state.as_str()),
            }),
            Some(Err(silence)) => Some(format!("{}: {silence}", member.pod)),
            None => Some(format!("{} has no pod", member.pod)),
        })
        .collect()
}

type Trouble = (Reason, String);

/// What needs a person, the worst first.
fn trouble(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> Option<Trouble> {
    quorum_lost(cluster, observed, plan)
        .or_else(|| cannot_run(observed, plan))
        .or_else(|| has_fault(cluster, observed))
        .or_else(|| older_volumes(cluster, observed, plan))
        .or_else(|| does_not_serve(observed, plan))
        .or_else(|| wrong_member(observed))
        .or_else(|| not_as_asked(plan))
}

/// Nobody serves, and no election is going to mend it by itself.
fn quorum_lost(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> Option<Trouble> {
    let ensemble = &plan.ensemble;
    if ensemble.has_quorum() || observed.cluster_id.is_none() {
        return None;
    }
    let (voters, majority) = (ensemble.voters.len(), ensemble.majority());
    let since = |id: &ServerId| {
        let member = cluster.member_with_id(*id)?;
        let pod = observed.pods.get(&member.pod);
        // A pod that is not there at all has been gone for as long as it takes.
        Some(pod.map_or(SignedDuration::MAX, |pod| {
            pod.unready_since.map_or(SignedDuration::ZERO, |since| {
                observed.now.duration_since(since)
            })
        }))
    };
    let long_gone = ensemble
        .voters
        .iter()
        .filter(|id| since(id).is_some_and(|gone| gone > ELECTION))
        .count();
    // Shorter ones are elections, and restarts.
    if voters - long_gone.min(voters) >= majority {
        return None;
    }
    let emptied = emptied(observed, ensemble);
    let found = silent(cluster, observed, plan).join("; ");
    if let Some(recovery) = plan.recovery.as_ref().filter(|r| !r.voting.is_empty()) {
        let ids: Vec<String> = recovery.voting.iter().map(ServerId::to_string).collect();
        return Some((
            Reason::QuorumLost,
            format!(
                "the quorum is being recovered: the empty disks of servers {} may vote beside those that \
                 have data. {found}",
                ids.join(", ")
            ),
        ));
    }
    let message = if emptied.len() > voters - majority {
        format!(
            "{} of {voters} voters have lost their data, so those that have it are no majority and nobody \
             serves. {found}. Bring back their volumes; or, if they are lost, annotate the resource \
             {ANNOTATION_RECOVER}={RECOVERY_CONSENT}: what only they had acknowledged is lost then",
            emptied.len()
        )
    } else {
        let serve = ensemble.synced.len();
        format!(
            "{majority} of {voters} voters are needed, {serve} serve in sync. {found}. Bring back as many as \
             are missing to the majority: nothing is lost, and nothing is written until then"
        )
    };
    Some((Reason::QuorumLost, message))
}

fn cannot_run(observed: &Observed, plan: &Plan) -> Option<Trouble> {
    plan.roster.members.iter().find_map(|member| {
        let pod = observed.pods.get(&member.pod)?;
        let ContainerView::Stuck { reason, message } = &pod.container else {
            return None;
        };
        // A pod on its way out ends its containers before it is gone: that is no trouble.
        if pod.terminating {
            return None;
        }
        if reason == "Unschedulable" && observed.now.duration_since(pod.created) < SCHEDULING {
            return None;
        }
        Some((
            Reason::MemberCannotRun,
            format!("{} cannot run: {reason}: {message}", member.pod),
        ))
    })
}

/// What a member itself says is wrong, such as a full disk.
fn has_fault(cluster: &ValidCluster, observed: &Observed) -> Option<Trouble> {
    observed.members.iter().find_map(|(id, report)| {
        let fault = report.as_ref().ok()?.fault.as_ref()?;
        let pod = cluster.member_with_id(*id)?.pod;
        Some((
            Reason::MemberFault,
            format!("{pod} does not serve: {fault}"),
        ))
    })
}

fn older_volumes(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> Option<Trouble> {
    if plan.ensemble.has_quorum()
        || observed.cluster_id.is_some()
        || may_bootstrap(cluster, observed)
    {
        return None;
    }
    let claims = older_claims(cluster, observed).join(", ");
    let waited = observed.pods.values().any(|pod| {
        pod.unready_since
            .is_some_and(|since| observed.now.duration_since(since) > SCHEDULING)
    });
    waited.then(|| {
        (
            Reason::OlderVolumes,
            format!(
                "volumes older than this resource exist ({claims}), so no empty disk may vote, and those \
                 with data are no majority. If there is nothing on them worth keeping, annotate the \
                 resource {ANNOTATION_BOOTSTRAP}=true"
            ),
        )
    })
}

fn does_not_serve(observed: &Observed, plan: &Plan) -> Option<Trouble> {
    plan.roster.members.iter().find_map(|member| {
        let pod = observed.pods.get(&member.pod)?;
        let since = pod.unready_since?;
        if observed.now.duration_since(since) <= COMING_BACK {
            return None;
        }
        let said = match observed.members.get(&member.id) {
            Some(Ok(report)) => format!("it says it is {}", report.state.as_str()),
            Some(Err(silence)) => silence.to_string(),
            None => "it was not asked".to_owned(),
        };
        let minutes = COMING_BACK.as_mins();
        Some((
            Reason::MemberDoesNotServe,
            format!(
                "{} has not served for over {minutes} minutes: {said}",
                member.pod
            ),
        ))
    })
}

fn wrong_member(observed: &Observed) -> Option<Trouble> {
    observed
        .members
        .iter()
        .find_map(|(id, report)| match report {
            Err(Silence::Impostor(found)) => {
                Some((Reason::WrongMember, format!("server {id}: {found}")))
            }
            _ => None,
        })
}

/// The ensemble is well, and still not what the spec asks for.
fn not_as_asked(plan: &Plan) -> Option<Trouble> {
    if let Some(unsupported) = &plan.unsupported {
        return Some((Reason::UnsupportedVersion, unsupported.to_string()));
    }
    if let Some(fixed) = &plan.fixed {
        let class = &fixed.storage_class;
        return Some((
            Reason::VolumeCannotGrow,
            format!(
                "{} has {} and is to have {}, but the storage class {class} does not let volumes grow \
                 (allowVolumeExpansion): allow it there, or set the size back",
                fixed.claim, fixed.from, fixed.to
            ),
        ));
    }
    secret_missing(plan)
}

/// Passwords that are not to be had. The first few are named: a condition is to be read.
fn secret_missing(plan: &Plan) -> Option<Trouble> {
    const NAMED: usize = 5;
    let mut found: Vec<String> = plan
        .lacking
        .iter()
        .take(NAMED)
        .map(|lacking| match (&lacking.user, lacking.unusable) {
            (None, _) => format!(
                "{lacking} is not there: members serve, and the membership cannot change. Create it, or \
                 remove spec.auth.superuser"
            ),
            (Some(user), None) => format!(
                "{lacking} is not there: {user} can log in by the last password that was, if any. Create \
                 it, or remove {user} from spec.auth.users"
            ),
            (Some(user), Some(why)) => format!(
                "{lacking} is no password, since {why}: {user} can log in by the last one that was, if \
                 any. Correct it"
            ),
        })
        .collect();
    let more = plan.lacking.len().saturating_sub(NAMED);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    (!found.is_empty()).then(|| (Reason::SecretMissing, found.join("; ")))
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
