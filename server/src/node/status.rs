//! What this member is, written for whoever asks from outside.

use super::engine::{Engine, Order};
use crate::departures::Departures;
use crate::service::{LearnerStatus, MemberState, Role};
use crate::zab::{self, Standing};
use std::time::Instant;

impl Engine {
    /// Writes the heartbeat, and the rest of the status where it may have changed.
    pub(super) fn report(&mut self) {
        let mut status = self.service.status.write();
        status.heartbeat = Instant::now();
        if !self.status_is_stale {
            return;
        }
        self.status_is_stale = false;
        let Order::Ensemble(zab) = &self.order else {
            status.state = MemberState::Standalone;
            return;
        };
        let membership = &zab.config().membership;
        let learns_as = zab.role();
        status.role = match learns_as {
            zab::Role::Participant => Role::Participant,
            zab::Role::Observer => Role::Observer,
        };
        (status.state, status.leader_id) = match zab.standing() {
            Standing::Looking => (MemberState::Looking, None),
            Standing::Leading { .. } => (MemberState::Leading, Some(self.me)),
            Standing::Learning { leader, .. } if learns_as == zab::Role::Participant => {
                (MemberState::Following, Some(leader))
            }
            Standing::Learning { leader, .. } => (MemberState::Observing, Some(leader)),
        };
        status.accepted_epoch = zab.accepted_epoch();
        status.current_epoch = zab.current_epoch();
        status.voters = membership.voters().iter().copied().collect();
        status.successor = zab.successor();
        status.learners = zab
            .learners()
            .into_iter()
            .map(|learner| LearnerStatus {
                id: learner.id,
                role: match learner.role {
                    zab::Role::Participant => Role::Participant,
                    zab::Role::Observer => Role::Observer,
                },
                synced: learner.synced,
                zxid: learner.acked,
            })
            .collect();
        if status.state == MemberState::Leading {
            let learners = status.learners.iter().map(|learner| learner.id);
            let present = learners.chain([self.me]).collect();
            status.departures.note(&present);
        } else {
            status.departures = Departures::default();
        }
    }
}
