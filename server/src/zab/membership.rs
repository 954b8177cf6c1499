//! Who votes, who observes, and what a quorum is.

use super::PeerState;
use crate::ids::ServerId;
use std::collections::BTreeSet;

/// What a member is by configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Votes and acknowledges.
    Participant,
    /// Only learns.
    Observer,
}

/// The members of an ensemble. A quorum is more than half of the voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    voters: BTreeSet<ServerId>,
    observers: BTreeSet<ServerId>,
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
        }
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

    /// Whether these members, of whom only voters count, are a quorum.
    pub fn is_quorum(&self, ids: impl IntoIterator<Item = ServerId>) -> bool {
        let votes = ids
            .into_iter()
            .filter(|id| self.is_voter(*id))
            .collect::<BTreeSet<_>>()
            .len();
        votes > self.voters.len() / 2
    }

    /// The state in which `id` learns.
    #[must_use]
    pub fn learning_state(&self, id: ServerId) -> PeerState {
        if self.is_voter(id) {
            PeerState::Following
        } else {
            PeerState::Observing
        }
    }
}
