//! Leading no longer, in order: nothing new is proposed, what is proposed is committed, and our vote
//! in the election that follows is for whoever has all of it. To the others it looks as if we had
//! died at a good moment; members of Apache's take part without knowing of it.

use super::Leader;
use crate::ids::{ServerId, Zxid};
use crate::zab::election::Candidate;
use crate::zab::{Core, Next, NowMs};

impl Leader {
    /// Begins to hand over, where somebody could take over.
    pub(in crate::zab) fn hand_over(&mut self, core: &Core, now: NowMs) -> Next {
        if !self.is_serving() || self.successor(core).is_none() {
            return Next::Stay;
        }
        // A quorum that has stopped to acknowledge won't wait for us either.
        self.retires_at = Some(now.plus(core.settings.tick_ms));
        if core.history.pending().is_empty() {
            self.resign(core)
        } else {
            Next::Stay
        }
    }

    /// Who would be elected if we left, with the end of its log; `None` where the others that have
    /// caught up are no quorum without us.
    pub(in crate::zab) fn successor(&self, core: &Core) -> Option<(ServerId, Zxid)> {
        if !self.is_broadcasting() {
            return None;
        }
        let others = || {
            self.synced_followers()
                .filter(|(id, _)| *id != core.settings.me)
        };
        if !core
            .configs
            .is_quorum_of(|id| others().any(|(other, _)| other == id))
        {
            return None;
        }
        let membership = &core.configs.active().membership;
        others()
            .filter(|(id, _)| membership.may_lead(*id))
            .max_by_key(|(id, acked)| (*acked, *id))
    }

    pub(super) fn resign(&mut self, core: &Core) -> Next {
        self.retires_at = None;
        match self.successor(core) {
            Some((id, zxid)) => Next::Resign(Candidate {
                epoch: core.history_epoch(),
                zxid,
                id,
            }),
            // They have gone meanwhile: leading on is all that is left.
            None => Next::Stay,
        }
    }
}
