//! Who is in quorum, by the leader's word and by each member's own.

use super::observed::{MemberReport, MemberState, Observed, Role};
use crate::valid::{ServerId, ValidCluster};
use std::collections::BTreeSet;

/// The ensemble as its members describe it, agreeing with each other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ensemble {
    /// The one member that leads and serves; None where none or several say so.
    pub leader: Option<ServerId>,
    /// Voters that serve: the leader, and those who say they follow it and of
    /// whom it says that they are synced.
    pub synced: BTreeSet<ServerId>,
    /// Who votes: in the leader's words, else in the spec's.
    pub voters: BTreeSet<ServerId>,
}

impl Ensemble {
    /// Reads the members' reports.
    pub fn read(cluster: &ValidCluster, observed: &Observed) -> Self {
        let wanted: BTreeSet<ServerId> = cluster.members.iter().map(|member| member.id).collect();
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
                voters: wanted,
                ..Self::default()
            };
        };
        let voters: BTreeSet<ServerId> = word.voters.iter().copied().map(ServerId).collect();
        let voters = if voters.is_empty() { wanted } else { voters };
        let mut synced: BTreeSet<ServerId> = reports()
            .filter(|(id, report)| follows(*id, report, leader, word))
            .map(|(id, _)| id)
            .collect();
        synced.insert(leader);
        synced.retain(|id| voters.contains(id));
        Self {
            leader: Some(leader),
            synced,
            voters,
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
        self.voters.len() / 2 + 1
    }
}

/// Both must say so: a follower that hangs still looks synced to its leader for
/// a while, and one that serves reads may have fallen behind.
fn follows(id: ServerId, report: &MemberReport, leader: ServerId, word: &MemberReport) -> bool {
    report.serving
        && report.state == MemberState::Following
        && report.leader_id == Some(leader.0)
        && word.learners.iter().any(|learner| {
            learner.id == id.0 && learner.synced && learner.role == Role::Participant
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
