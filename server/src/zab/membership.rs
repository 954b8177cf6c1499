//! Who votes, who observes, and what a quorum is. Sources: `QuorumMaj.java`,
//! `QuorumHierarchical.java`.

use crate::ids::ServerId;
use std::collections::{BTreeMap, BTreeSet};

/// What a member is by configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Votes and acknowledges.
    Participant,
    /// Only learns.
    Observer,
}

/// The members of an ensemble. A quorum is more than half of the voters; where there are groups,
/// more than half of the weight in each of more than half of the groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    voters: BTreeSet<ServerId>,
    observers: BTreeSet<ServerId>,
    /// Groups of voters with their weights; empty for a plain majority. A group without weight
    /// does not count.
    groups: Vec<BTreeMap<ServerId, i64>>,
}

impl Membership {
    /// An ensemble of these voters and observers.
    pub fn new(
        voters: impl IntoIterator<Item = ServerId>,
        observers: impl IntoIterator<Item = ServerId>,
    ) -> Self {
        Membership {
            voters: voters.into_iter().collect(),
            observers: observers.into_iter().collect(),
            groups: Vec::new(),
        }
    }

    /// The same members with their votes counted by group and weight.
    #[must_use]
    pub fn with_groups(mut self, groups: Vec<BTreeMap<ServerId, i64>>) -> Self {
        self.groups = groups
            .into_iter()
            .filter(|group| group.values().sum::<i64>() > 0)
            .collect();
        self
    }

    /// Who votes, in order.
    #[must_use]
    pub fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }

    /// Who observes, in order.
    #[must_use]
    pub fn observers(&self) -> &BTreeSet<ServerId> {
        &self.observers
    }

    /// Whether `id` votes.
    #[must_use]
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.contains(&id)
    }

    /// Whether `id` observes.
    #[must_use]
    pub fn is_observer(&self, id: ServerId) -> bool {
        self.observers.contains(&id)
    }

    /// Whether `id` may be elected: it votes, and its vote has weight.
    #[must_use]
    pub fn may_lead(&self, id: ServerId) -> bool {
        let weighs = self.groups.is_empty()
            || self
                .groups
                .iter()
                .any(|group| group.get(&id).is_some_and(|weight| *weight > 0));
        self.is_voter(id) && weighs
    }

    /// Whether `id` votes or observes.
    #[must_use]
    pub fn is_member(&self, id: ServerId) -> bool {
        self.is_voter(id) || self.is_observer(id)
    }

    /// Whether these members, of whom only voters count, are a quorum.
    pub fn is_quorum(&self, ids: impl IntoIterator<Item = ServerId>) -> bool {
        let ids = ids.into_iter().collect::<BTreeSet<_>>();
        self.is_quorum_of(|id| ids.contains(&id))
    }

    /// Whether the voters that `counts` is true of are a quorum. A leader asks at every
    /// acknowledgement, so nothing is collected for it.
    pub fn is_quorum_of(&self, counts: impl Fn(ServerId) -> bool) -> bool {
        if self.groups.is_empty() {
            let counted = self.voters.iter().filter(|id| counts(**id)).count();
            return counted > self.voters.len() / 2;
        }
        let won = self
            .groups
            .iter()
            .filter(|group| {
                let all = group.values().sum::<i64>();
                let given = group
                    .iter()
                    .filter(|(id, _)| self.is_voter(**id) && counts(**id))
                    .map(|(_, weight)| *weight)
                    .sum::<i64>();
                given > all / 2
            })
            .count();
        won > self.groups.len() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[i64]) -> Vec<ServerId> {
        numbers.iter().map(|number| ServerId(*number)).collect()
    }

    #[test]
    fn a_quorum_is_more_than_half_of_the_voters_and_observers_do_not_count() {
        let three = Membership::new(ids(&[1, 2, 3]), ids(&[4]));
        assert!(three.is_quorum(ids(&[1, 3])));
        assert!(!three.is_quorum(ids(&[1, 4])));
        let four = Membership::new(ids(&[1, 2, 3, 4]), []);
        assert!(!four.is_quorum(ids(&[1, 2])));
        assert!(four.is_quorum(ids(&[1, 2, 4])));
    }

    #[test]
    fn with_groups_most_of_the_weight_in_most_of_the_groups_is_a_quorum() {
        let weighed = |numbers: &[i64], weight| {
            ids(numbers)
                .into_iter()
                .map(|id| (id, weight))
                .collect::<BTreeMap<_, _>>()
        };
        let groups = vec![
            weighed(&[1, 2, 3], 1),
            weighed(&[4, 5, 6], 1),
            weighed(&[7], 0),
        ];
        let members = Membership::new(ids(&[1, 2, 3, 4, 5, 6, 7]), []).with_groups(groups);
        assert!(members.is_quorum(ids(&[1, 2, 4, 5])));
        assert!(!members.is_quorum(ids(&[1, 2, 3, 4])));
        assert!(members.may_lead(ServerId(1)));
        assert!(!members.may_lead(ServerId(7)));
    }
}
