//! Changes of the membership, one at a time, each only while the quorum is safe.
//!
//! Up: a pod joins without a vote, catches up, and then gets its vote. Down: the
//! member leaves the ensemble, the members confirm it, and then its pod goes.
//! Voters come in before others go out, so that the ensemble is never weaker on
//! the way than at its ends.

use super::membership::{Membership, Roster};
use super::observed::Observed;
use super::quorum::{Ensemble, majority};
use super::rollout::{HandOver, Predicate, Refusal, hand_over};
use crate::objects::{DATA_VOLUME, LOG_VOLUME, claim_name};
use crate::valid::{Member, Role, ServerId, ValidCluster};
use std::fmt;

/// A change of one member's part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// It becomes a member with this role, or changes to it.
    Join(Role),
    /// It leaves.
    Leave,
}

/// A `reconfig` to ask the ensemble for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reconfig {
    /// Whom it is about.
    pub member: Member,
    /// What becomes of it.
    pub change: Change,
    /// The version it was decided on: the ensemble refuses it on any other.
    pub from_version: i64,
    /// Whom to ask: the leader, and its address.
    pub leader: (Member, String),
}

impl fmt::Display for Reconfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Member { pod, id, .. } = &self.member;
        match self.change {
            Change::Join(Role::Participant) => {
                write!(formatter, "{pod} (server {id}) becomes a voter")
            }
            Change::Join(Role::Observer) => {
                write!(formatter, "{pod} (server {id}) becomes an observer")
            }
            Change::Leave => write!(formatter, "{pod} (server {id}) leaves the ensemble"),
        }
    }
}

/// The next step towards the membership that the spec asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// This member gets a pod, to join with.
    Start(Member),
    /// The ensemble changes its membership.
    Reconfig(Reconfig),
    /// The leader, which is to lose its vote, hands over first.
    HandOver(HandOver),
    /// These are not in sync yet.
    Wait(Vec<String>),
    /// A predicate failed.
    Blocked,
}

/// What is still to change: everyone whose part differs from what the spec says.
pub fn differing(cluster: &ValidCluster, committed: &Membership) -> Vec<(Member, Change)> {
    let wanted = |id: ServerId| cluster.members.iter().find(|member| member.id == id);
    let comes = |role: Role| {
        cluster
            .members
            .iter()
            .filter(move |m| m.role == role && committed.roles.get(&m.id) != Some(&role))
            .map(move |member| (member.clone(), Change::Join(role)))
    };
    let goes = |role: Role| {
        committed
            .roles
            .iter()
            .rev()
            .filter(move |(_, has)| **has == role)
            .filter_map(move |(id, _)| Some((cluster.member_with_id(*id)?, wanted(*id))))
            .filter_map(move |(member, wanted)| match wanted {
                None => Some((member, Change::Leave)),
                // One that gets a vote comes.
                Some(wanted) if wanted.role == Role::Observer && role == Role::Participant => {
                    Some((member, Change::Join(Role::Observer)))
                }
                Some(_) => None,
            })
    };
    let mut all: Vec<(Member, Change)> = comes(Role::Participant)
        .chain(goes(Role::Participant))
        .collect();
    for (member, change) in comes(Role::Observer).chain(goes(Role::Observer)) {
        if !all.iter().any(|(other, _)| other.id == member.id) {
            all.push((member, change));
        }
    }
    all
}

/// The next step; None where the membership is what the spec asks for, or nobody can say.
pub fn next(
    cluster: &ValidCluster,
    observed: &Observed,
    ensemble: &Ensemble,
    roster: &Roster,
    rolling: bool,
    refusals: &mut Vec<Refusal>,
) -> Option<Step> {
    let committed = ensemble.membership.as_ref()?;
    let differing = differing(cluster, committed);
    // While members are restarted, only those go that are lost anyway.
    let lost = |(member, change): &&(Member, Change)| {
        *change == Change::Leave && !ensemble.followers.contains(&member.id)
    };
    let (member, change) = if rolling {
        differing.iter().find(lost)?
    } else {
        first(&differing, ensemble)?
    };
    Some(
        match step(cluster, observed, ensemble, roster, member, *change) {
            Ok(step) => step,
            Err(refusal) => {
                refusals.push(refusal);
                Step::Blocked
            }
        },
    )
}

/// Whose part changes first. Of those who lose their votes, one that gives none goes before one that
/// does, as the other way round a majority may be missing in between; and the leader goes last, as
/// another one that is to go might succeed it.
fn first<'a>(
    differing: &'a [(Member, Change)],
    ensemble: &Ensemble,
) -> Option<&'a (Member, Change)> {
    let loses_its_vote = |(member, change): &&(Member, Change)| {
        ensemble.voters.contains(&member.id) && *change != Change::Join(Role::Participant)
    };
    let first = differing.first()?;
    if !loses_its_vote(&first) {
        return Some(first);
    }
    differing
        .iter()
        .filter(loses_its_vote)
        .min_by_key(|(member, _)| {
            (
                ensemble.synced.contains(&member.id),
                ensemble.leader == Some(member.id),
            )
        })
}

fn step(
    cluster: &ValidCluster,
    observed: &Observed,
    ensemble: &Ensemble,
    roster: &Roster,
    member: &Member,
    change: Change,
) -> Result<Step, Refusal> {
    let joins = matches!(change, Change::Join(_));
    if joins && !roster.members.iter().any(|other| other.id == member.id) {
        volume_is_settled(observed, member)?;
        return Ok(Step::Start(member.clone()));
    }
    let votes = ensemble.voters.contains(&member.id);
    if joins
        && !(ensemble.followers.contains(&member.id) && super::is_ready(observed, &member.pod))
        // Who loses its vote need not be in sync.
        && !votes
    {
        return Ok(Step::Wait(vec![member.pod.clone()]));
    }
    let mut change = change;
    if let Err(refusal) = new_voters_are_quorum(ensemble, member, change) {
        // An observer acknowledges nothing, so a vote of its own may be the one that is missing. It
        // leaves first, and comes back as one who acknowledges.
        let observes = ensemble
            .membership
            .as_ref()
            .is_some_and(|m| m.roles.get(&member.id) == Some(&Role::Observer));
        if !observes || change != Change::Join(Role::Participant) {
            return Err(refusal);
        }
        change = Change::Leave;
    }
    let leader = ensemble.leader.and_then(|id| cluster.member_with_id(id));
    let address = leader
        .as_ref()
        .and_then(|leader| observed.pods.get(&leader.pod)?.ip.clone());
    let (Some(leader), Some(address)) = (leader, address) else {
        return Ok(Step::Blocked);
    };
    if votes
        && leader.id == member.id
        && let Some(asked) = hand_over(observed, ensemble, member)
    {
        return asked.map(Step::HandOver).ok_or_else(|| Refusal {
            predicate: Predicate::LeaderHandsOver,
            message: format!("{} was asked to hand over and still leads", member.pod),
        });
    }
    let from_version = ensemble
        .membership
        .as_ref()
        .map_or(0, |membership| membership.version);
    Ok(Step::Reconfig(Reconfig {
        member: member.clone(),
        change,
        from_version,
        leader: (leader, address),
    }))
}

/// A volume that is being deleted would be taken over, and go while it is in use.
fn volume_is_settled(observed: &Observed, member: &Member) -> Result<(), Refusal> {
    let leaving = [DATA_VOLUME, LOG_VOLUME]
        .map(|volume| claim_name(volume, &member.pod))
        .into_iter()
        .find(|name| {
            observed
                .claims
                .get(name)
                .is_some_and(|claim| claim.terminating)
        });
    match leaving {
        None => Ok(()),
        Some(name) => Err(Refusal {
            predicate: Predicate::VolumeIsSettled,
            message: format!(
                "{} starts once its earlier volume {name} is gone",
                member.pod
            ),
        }),
    }
}

/// Those who vote afterwards, as far as they are in sync now, are a quorum of all who do.
fn new_voters_are_quorum(
    ensemble: &Ensemble,
    member: &Member,
    change: Change,
) -> Result<(), Refusal> {
    let mut voters = ensemble.voters.clone();
    match change {
        Change::Join(Role::Participant) => drop(voters.insert(member.id)),
        Change::Join(Role::Observer) | Change::Leave => drop(voters.remove(&member.id)),
    }
    let synced = voters
        .iter()
        .filter(|id| ensemble.acknowledging.contains(id))
        .count();
    if ensemble.has_quorum() && !voters.is_empty() && synced >= majority(voters.len()) {
        return Ok(());
    }
    Err(Refusal {
        predicate: Predicate::NewVotersAreQuorum,
        message: format!(
            "afterwards {} members would vote, {} of them are in sync with the leader, and {} are \
             needed: bring the missing members back first",
            voters.len(),
            synced,
            majority(voters.len())
        ),
    })
}
