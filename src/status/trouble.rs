//! What needs a person, and what would mend it.

use crate::crd::names::{ANNOTATION_BOOTSTRAP, ANNOTATION_RECOVER, RECOVERY_CONSENT};
use crate::plan::Plan;
use crate::plan::bootstrap::{emptied, may_bootstrap, older_claims};
use crate::plan::observed::{ContainerView, Observed, Silence};
use crate::reasons::Reason;
use crate::valid::{ServerId, ValidCluster};
use k8s_openapi::jiff::SignedDuration;

/// How long a member may take to serve before a person is told.
pub const COMING_BACK: SignedDuration = SignedDuration::from_mins(5);
/// How long a pod may look for a node or a volume before a person is told.
const SCHEDULING: SignedDuration = SignedDuration::from_secs(60);
/// How long an election may take before a person is told that the quorum is lost.
const ELECTION: SignedDuration = SignedDuration::from_secs(30);

type Trouble = (Reason, String);

/// What needs a person, the worst first.
pub(super) fn trouble(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> Option<Trouble> {
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

/// What each voter says that does not serve.
pub(super) fn silent(cluster: &ValidCluster, observed: &Observed, plan: &Plan) -> Vec<String> {
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
