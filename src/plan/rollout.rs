//! Which member may be restarted: named predicates, the failed ones reported.
//!
//! Pods that cannot run at all are replaced whatever the quorum: they give it
//! nothing. Pods that run without serving come next. A serving member goes down
//! only while the others are a quorum, every one of them is back from its own
//! restart, and, if it leads, nobody else is left to restart.

use super::membership::Roster;
use super::observed::{ContainerView, Observed, PodView};
use super::quorum::Ensemble;
use super::stale::Why;
use crate::crd::names::{ANNOTATION_HAND_OVER, ANNOTATION_RESTARTING};
use crate::objects::Kind;
use crate::reasons::words;
use crate::valid::{Member, ServerId};
use k8s_openapi::jiff::SignedDuration;

/// How long a member must have been without service, with no leader anywhere,
/// before restarting it is taken to cost nothing: an election or the reading of
/// a snapshot must not be cut short.
pub const IDLE_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long an announced restart keeps that of every other member waiting: it covers the
/// moment between the announcement and the deletion, by whichever operator.
pub const ANNOUNCEMENT: SignedDuration = SignedDuration::from_secs(15);

/// How long a leader that was asked to hand over is given for it.
pub const HANDING_OVER: SignedDuration = SignedDuration::from_secs(10);
/// How long the asking counts: a leader of the same pod is asked anew after that.
const HAND_OVER_COUNTS: SignedDuration = SignedDuration::from_mins(5);

/// One pod to delete, exactly as it was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restart {
    /// The pod's name.
    pub pod: String,
    /// The member's id.
    pub id: ServerId,
    /// The pod's UID: a namesake is left alone.
    pub uid: String,
    /// The pod's resourceVersion: a pod that changed since is left alone.
    pub resource_version: String,
    /// The StatefulSet's resourceVersion: if anyone restarted anything since, this restart is off.
    pub stateful_set_version: String,
    /// leader, follower, or what else it was.
    pub role: &'static str,
    /// The cause.
    pub why: Why,
    /// What makes it safe now, in words.
    pub because: &'static str,
}

/// A leader to ask to hand over, exactly as it was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandOver {
    /// The leader.
    pub member: Member,
    /// Its pod's UID.
    pub uid: String,
    /// Its pod's address.
    pub address: String,
    /// The StatefulSet's resourceVersion: of two who would ask, one does.
    pub stateful_set_version: String,
}

/// What to do about a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// It is restarted.
    Restart(Restart),
    /// It leads, and is asked to hand over first.
    HandOver(HandOver),
}

/// The reason of a pod that no node takes: nothing of its template was tried. Source: Kubernetes' `PodReasonUnschedulable`.
const UNSCHEDULABLE: &str = "Unschedulable";

words! {
    /// A condition for restarting a member, or for changing who they are.
    Predicate {
        /// Every pod exists and stays.
        EveryPodIsThere,
        /// Every restarted member serves again.
        RestartedMembersAreBack,
        /// The other voters, each in sync with the leader, are a quorum.
        OthersAreQuorum,
        /// Without any leader, only a member that has long been idle is restarted.
        IdleForLong,
        /// No other restart was announced a moment ago.
        NoRestartUnderWay,
        /// The leader had its time to hand over.
        LeaderHandsOver,
        /// Those who vote after a change of the membership are a quorum of themselves.
        NewVotersAreQuorum,
        /// The volume that a new member would take over is not on its way out.
        VolumeIsSettled,
    }
}

/// A predicate that failed, and what it found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Which one.
    pub predicate: Predicate,
    /// What it found.
    pub message: String,
}

/// Whether the StatefulSet controller has seen the newest StatefulSet.
pub fn stateful_set_is_observed(observed: &Observed) -> bool {
    observed.objects.get(&Kind::StatefulSet).is_some_and(|set| {
        let generation = set["metadata"]["generation"].as_i64();
        generation.is_some() && set["status"]["observedGeneration"].as_i64() >= generation
    })
}

struct Candidate<'a> {
    member: &'a Member,
    pod: &'a PodView,
    why: Why,
}

/// The member to restart now. What forbids a restart is added to `refusals`.
pub fn next(
    observed: &Observed,
    ensemble: &Ensemble,
    roster: &Roster,
    stale: &[(String, Why)],
    refusals: &mut Vec<Refusal>,
) -> Option<Next> {
    let set = observed.objects.get(&Kind::StatefulSet)?;
    let version = set["metadata"]["resourceVersion"].as_str()?;
    let candidates: Vec<Candidate<'_>> = stale
        .iter()
        .filter_map(|(name, why)| {
            let member = roster.members.iter().find(|member| &member.pod == name)?;
            let pod = observed.pods.get(name).filter(|pod| !pod.terminating)?;
            Some(Candidate {
                member,
                pod,
                why: *why,
            })
        })
        .collect();
    if candidates.is_empty() {
        if !stale.is_empty() {
            // Those that are left are on their way out already: one on a dead node stays so.
            refusals.extend(everyone_is_there(observed, ensemble, roster).err());
        }
        return None;
    }
    let restart = |candidate: &Candidate<'_>, because| {
        Some(Next::Restart(Restart {
            pod: candidate.member.pod.clone(),
            id: candidate.member.id,
            uid: candidate.pod.uid.clone(),
            resource_version: candidate.pod.resource_version.clone(),
            stateful_set_version: version.to_owned(),
            role: role(observed, ensemble, candidate.member.id),
            why: candidate.why,
            because,
        }))
    };
    if let Some(stuck) = candidates
        .iter()
        .find(|c| matches!(c.pod.container, ContainerView::Stuck { .. }))
    {
        return restart(stuck, "it does not run, so nothing is lost");
    }
    let idle = { candidates.iter() }.find(|c| !may_serve(observed, ensemble, c));
    // One that has no vote or is not in sync first, the leader last; among equals the highest ordinal.
    let first = candidates.iter().min_by_key(|candidate| {
        let id = candidate.member.id;
        (
            ensemble.leader == Some(id),
            ensemble.synced.contains(&id),
            std::cmp::Reverse(candidate.member.ordinal),
        )
    })?;
    if let Some(refusal) = another_restart_under_way(observed, set, idle.unwrap_or(first)) {
        refusals.push(refusal);
        return None;
    }
    if let Some(idle) = idle {
        return match idle_may_go(observed, ensemble, roster, idle) {
            Ok(because) => restart(idle, because),
            Err(refusal) => {
                refusals.push(refusal);
                None
            }
        };
    }
    let because = match serving_may_go(observed, ensemble, roster, stale, first.member) {
        Ok(because) => because,
        Err(found) => {
            refusals.extend(found);
            return None;
        }
    };
    if ensemble.leader == Some(first.member.id) {
        match hand_over(observed, ensemble, first.member) {
            None => {}
            Some(Some(asking)) => return Some(Next::HandOver(asking)),
            Some(None) => {
                refusals.push(Refusal {
                    predicate: Predicate::LeaderHandsOver,
                    message: format!(
                        "{} was asked to hand over and still leads",
                        first.member.pod
                    ),
                });
                return None;
            }
        }
    }
    restart(first, because)
}

/// Whether a leader is to hand over before it goes: None where it need not, or had its time;
/// `Some(None)` while it has its time.
pub fn hand_over(
    observed: &Observed,
    ensemble: &Ensemble,
    leader: &Member,
) -> Option<Option<HandOver>> {
    let pod = observed.pods.get(&leader.pod)?;
    // Without others there is nobody to take over, and without a password nobody may ask.
    if ensemble.synced.len() < 2 || observed.secrets.superuser.password().is_none() {
        return None;
    }
    let set = observed.objects.get(&Kind::StatefulSet)?;
    let asked = set["metadata"]["annotations"][ANNOTATION_HAND_OVER]
        .as_str()
        .and_then(|text| text.split_once(' '))
        .filter(|(uid, _)| *uid == pod.uid)
        .and_then(|(_, at)| at.parse::<k8s_openapi::jiff::Timestamp>().ok())
        .map(|at| observed.now.duration_since(at))
        .filter(|ago| *ago < HAND_OVER_COUNTS);
    match asked {
        Some(ago) if ago < HANDING_OVER => Some(None),
        Some(_) => None,
        None => Some(Some(HandOver {
            member: leader.clone(),
            uid: pod.uid.clone(),
            address: pod.ip.clone()?,
            stateful_set_version: set["metadata"]["resourceVersion"].as_str()?.to_owned(),
        })),
    }
}

fn role(observed: &Observed, ensemble: &Ensemble, id: ServerId) -> &'static str {
    if ensemble.leader == Some(id) {
        return "leader";
    }
    match observed.members.get(&id) {
        Some(Ok(_)) if ensemble.synced.contains(&id) => "follower",
        Some(Ok(_)) if ensemble.followers.contains(&id) => "observer",
        Some(Ok(report)) => report.state.as_str(),
        _ => "silent",
    }
}

/// Whether it may be serving anyone: in its own words, in the leader's, or in the kubelet's.
fn may_serve(observed: &Observed, ensemble: &Ensemble, candidate: &Candidate<'_>) -> bool {
    let own_word = observed
        .members
        .get(&candidate.member.id)
        .and_then(|report| report.as_ref().ok());
    ensemble.followers.contains(&candidate.member.id)
        || own_word.is_some_and(|report| report.serving)
        || candidate.pod.container == ContainerView::Running { ready: true }
}

/// Whether the restart of any other pod was announced a moment ago. That of this very pod keeps nobody
/// waiting: whoever announced it died before he deleted it, or still will, and a pod is deleted once.
fn another_restart_under_way(
    observed: &Observed,
    set: &serde_json::Value,
    candidate: &Candidate<'_>,
) -> Option<Refusal> {
    let (uid, at) = set["metadata"]["annotations"][ANNOTATION_RESTARTING]
        .as_str()?
        .split_once(' ')?;
    let at: k8s_openapi::jiff::Timestamp = at.parse().ok()?;
    let (name, _) = observed
        .pods
        .iter()
        .find(|(_, pod)| pod.uid == uid && !pod.terminating)
        .filter(|_| uid != candidate.pod.uid)?;
    (observed.now.duration_since(at) < ANNOUNCEMENT).then(|| Refusal {
        predicate: Predicate::NoRestartUnderWay,
        message: format!("the restart of {name} was announced at {at} and its pod is still there"),
    })
}

/// Whether a pod that runs without serving may be restarted.
fn idle_may_go(
    observed: &Observed,
    ensemble: &Ensemble,
    roster: &Roster,
    idle: &Candidate<'_>,
) -> Result<&'static str, Refusal> {
    if ensemble.leader.is_some() {
        return if ensemble.has_quorum_without(idle.member.id) {
            Ok("it does not serve, and the others are a quorum without it")
        } else {
            Err(others_are_no_quorum(ensemble, idle.member))
        };
    }
    if idle.why == Why::Recovery {
        return Ok("its disk is empty, so nothing is lost");
    }
    // No leader is seen. Whoever can still run must get the chance to elect one:
    // members of the new template that cannot run show that it would get no better.
    everyone_is_there(observed, ensemble, roster)?;
    let broken = roster.members.iter().find(|member| {
        observed
            .pods
            .get(&member.pod)
            .is_some_and(|pod| matches!(pod.container, ContainerView::Stuck { .. }))
    });
    if let Some(broken) = broken {
        return Err(Refusal {
            predicate: Predicate::RestartedMembersAreBack,
            message: format!("{} cannot run from the newest template", broken.pod),
        });
    }
    let idle_long = idle
        .pod
        .unready_since
        .is_some_and(|since| observed.now.duration_since(since) >= IDLE_GRACE);
    if !idle_long {
        return Err(Refusal {
            predicate: Predicate::IdleForLong,
            message: format!(
                "no leader is seen; {} is restarted once it has not served for {} s",
                idle.member.pod,
                IDLE_GRACE.as_secs()
            ),
        });
    }
    Ok("it has not served for a minute, and there is no leader")
}

/// Whether a member that may be serving may be restarted.
fn serving_may_go(
    observed: &Observed,
    ensemble: &Ensemble,
    roster: &Roster,
    stale: &[(String, Why)],
    member: &Member,
) -> Result<&'static str, Vec<Refusal>> {
    let mut refusals = Vec::new();
    refusals.extend(everyone_is_there(observed, ensemble, roster).err());
    let absent: Vec<&str> = roster
        .members
        .iter()
        .filter(|other| belongs(ensemble, other))
        .filter(|other| {
            let restarted = !stale.iter().any(|(pod, _)| pod == &other.pod);
            restarted
                && !(ensemble.followers.contains(&other.id)
                    && super::is_ready(observed, &other.pod))
        })
        .map(|other| other.pod.as_str())
        .collect();
    if !absent.is_empty() {
        refusals.push(Refusal {
            predicate: Predicate::RestartedMembersAreBack,
            message: format!(
                "waiting for {} to serve again before the next restart",
                absent.join(", ")
            ),
        });
    }
    refusals.extend(newcomers_can_run(observed, ensemble, roster).err());
    // One or two voters can spare nobody: their service is interrupted, but only from full health.
    let unavoidable = ensemble.spares_nobody() && ensemble.synced.len() == ensemble.voters.len();
    if !unavoidable && !ensemble.has_quorum_without(member.id) {
        refusals.push(others_are_no_quorum(ensemble, member));
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(if unavoidable {
        "so few voters can spare nobody: service is interrupted while it restarts"
    } else {
        "the others are a quorum without it"
    })
}

/// Whether it is part of the ensemble: one that only joins must not hold up those who are.
fn belongs(ensemble: &Ensemble, member: &Member) -> bool {
    ensemble
        .membership
        .as_ref()
        .is_none_or(|membership| membership.roles.contains_key(&member.id))
}

fn everyone_is_there(
    observed: &Observed,
    ensemble: &Ensemble,
    roster: &Roster,
) -> Result<(), Refusal> {
    let absent: Vec<&str> = roster
        .members
        .iter()
        .filter(|member| belongs(ensemble, member))
        .map(|member| member.pod.as_str())
        .filter(|pod| observed.pods.get(*pod).is_none_or(|pod| pod.terminating))
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        predicate: Predicate::EveryPodIsThere,
        message: format!("{} is missing or being deleted", absent.join(", ")),
    })
}

/// One that only joins holds nobody up, but where it may show that the newest template runs nowhere: for a
/// minute while it starts, and where it can't. That no node takes it shows nothing.
fn newcomers_can_run(
    observed: &Observed,
    ensemble: &Ensemble,
    roster: &Roster,
) -> Result<(), Refusal> {
    let may_run = |member: &&Member| {
        let Some(pod) = observed.pods.get(&member.pod) else {
            return false;
        };
        match &pod.container {
            _ if pod.terminating => false,
            ContainerView::Running { ready: true } => true,
            ContainerView::Running { .. } | ContainerView::Starting => {
                observed.now.duration_since(pod.created) >= IDLE_GRACE
            }
            ContainerView::Stuck { reason, .. } => reason == UNSCHEDULABLE,
        }
    };
    let mut newcomers = roster.members.iter().filter(|m| !belongs(ensemble, m));
    match newcomers.find(|member| !may_run(member)) {
        None => Ok(()),
        Some(member) => Err(Refusal {
            predicate: Predicate::RestartedMembersAreBack,
            message: format!(
                "{} joins, and has not run from the newest template yet",
                member.pod
            ),
        }),
    }
}

fn others_are_no_quorum(ensemble: &Ensemble, member: &Member) -> Refusal {
    let others = ensemble
        .synced
        .iter()
        .filter(|id| **id != member.id)
        .count();
    Refusal {
        predicate: Predicate::OthersAreQuorum,
        message: format!(
            "without {}, {others} of {} voters are seen in sync with the leader; {} are a quorum",
            member.pod,
            ensemble.voters.len(),
            ensemble.majority()
        ),
    }
}
