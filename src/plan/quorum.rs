//! Who is in quorum, by the leader's word and by each member's own.

use super::membership::{Membership, written};
use super::observed::{MemberReport, MemberState, Observed};
use crate::valid::{Role, ServerId, ValidCluster};
use std::collections::BTreeSet;

/// The ensemble as its members describe it, agreeing with each other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ensemble {
    /// The one member that leads and serves; None where none or several say so.
    pub leader: Option<ServerId>,
    /// Voters that serve: the leader, and those who say they follow it and of
    /// whom it says that they are synced.
    pub synced: BTreeSet<ServerId>,
    /// Who votes: in the leader's words, else by the list that was written last, else by the spec.
    pub voters: BTreeSet<ServerId>,
    /// Everyone who serves in sync with the leader, whether it votes or not.
    pub followers: BTreeSet<ServerId>,
    /// Those of them who would acknowledge with a vote: all but observers.
    pub acknowledging: BTreeSet<ServerId>,
    /// The committed membership: the leader's, once a majority of the voters goes by it, too.
    pub membership: Option<Membership>,
}

impl Ensemble {
    /// Reads the members' reports.
    pub fn read(cluster: &ValidCluster, observed: &Observed) -> Self {
        let expected = || {
            written(observed).map_or_else(
                || {
                    let voters = cluster.members.iter().take(usize::from(cluster.voters));
                    voters.map(|member| member.id).collect()
                },
                |written| written.voters(),
            )
        };
        let reports = || {
            observed
                .members
                .iter()
                .filter_map(|(id, report)| Some((*id, report.as_ref().ok()?)))
        };
        let mut leaders = reports().filter(|(_, report)| {
            report.serving && matches!(report.state, MemberState::Leading | MemberState::Standalone)
        });
        // While two say they lead, at most one can: neither is believed until one has noticed.
        let (Some((leader, word)), None) = (leaders.next(), leaders.next()) else {
            return Self {
                voters: expected(),
                ..Self::default()
            };
        };
        let voters: BTreeSet<ServerId> = word.voters.iter().copied().map(ServerId).collect();
        let voters = if voters.is_empty() {
            expected()
        } else {
            voters
        };
        let mut followers: BTreeSet<ServerId> = reports()
            .filter(|(id, report)| follows(*id, report, leader, word))
            .map(|(id, _)| id)
            .collect();
        followers.insert(leader);
        let acknowledging = reports()
            .filter(|(id, report)| followers.contains(id) && report.state != MemberState::Observing)
            .map(|(id, _)| id)
            .collect();
        let synced: BTreeSet<ServerId> = followers.intersection(&voters).copied().collect();
        let agreeing = reports()
            .filter(|(id, report)| {
                synced.contains(id) && report.config_version == word.config_version
            })
            .count();
        // What only the leader goes by may still be lost with it.
        let membership = word
            .config
            .as_deref()
            .filter(|_| agreeing >= majority(voters.len()))
            .and_then(Membership::parse)
            .filter(|membership| membership.voters() == voters);
        Self {
            leader: Some(leader),
            synced,
            voters,
            followers,
            acknowledging,
            membership,
        }
    }

    /// Whether a majority of the voters serves in sync.
    pub fn has_quorum(&self) -> bool {
        self.synced.len() >= self.majority()
    }

    /// Whether it would still without this member.
    pub fn has_quorum_without(&self, id: ServerId) -> bool {
        self.synced.iter().filter(|other| **other != id).count() >= self.majority()
    }

    /// How many voters are a majority.
    pub fn majority(&self) -> usize {
        majority(self.voters.len())
    }

    /// Whether every restart must interrupt service: nobody can be spared.
    pub fn spares_nobody(&self) -> bool {
        self.voters.len().saturating_sub(1) < self.majority()
    }
}

/// How many of so many voters are a majority.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Both must say so: a follower that hangs still looks synced to its leader for
/// a while, and one that serves reads may have fallen behind.
fn follows(id: ServerId, report: &MemberReport, leader: ServerId, word: &MemberReport) -> bool {
    report.serving
        && report.leader_id == Some(leader.0)
        && word.learners.iter().any(|learner| {
            let role = match report.state {
                MemberState::Following => Role::Participant,
                MemberState::Observing => Role::Observer,
                _ => return false,
            };
            learner.id == id.0 && learner.synced && learner.role == role
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ensemble(synced: &[u8], voters: u8) -> Ensemble {
        Ensemble {
            leader: synced.first().copied().map(ServerId),
            synced: synced.iter().copied().map(ServerId).collect(),
            voters: (1..=voters).map(ServerId).collect(),
            ..Ensemble::default()
        }
    }

    #[test]
    fn a_member_of_a_bare_majority_cannot_be_spared_and_one_outside_of_it_can() {
        let bare = ensemble(&[1, 2], 3);
        assert!(bare.has_quorum());
        assert!(!bare.has_quorum_without(ServerId(2)));
        assert!(bare.has_quorum_without(ServerId(3)));
        assert!(ensemble(&[1, 2, 3], 3).has_quorum_without(ServerId(1)));
        assert!(!ensemble(&[1, 2, 3], 5).has_quorum_without(ServerId(1)));
        assert!(!ensemble(&[1, 2], 4).has_quorum());
        assert!(!ensemble(&[1], 1).has_quorum_without(ServerId(1)));
    }
}
