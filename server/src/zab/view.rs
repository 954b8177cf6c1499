//! What may be known of a member's consensus from outside, and what must always hold of it.

use super::learners::Learners;
use super::{Config, History, LearnerConn, LearnerView, Phase, Role, Settings, Standing, Zab};
use crate::ids::{Epoch, ServerId, Zxid};
use std::sync::Arc;

impl Zab {
    /// Where this member stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match &self.phase {
            Phase::Looking => Standing::Looking,
            Phase::Learning(learner) => Standing::Learning {
                leader: learner.leader(),
                serving: learner.is_serving(),
            },
            Phase::Leading(leader) => Standing::Leading {
                serving: leader.is_serving(),
            },
        }
    }

    /// The position for the next proposal, while leading and serving. `None` too where the epoch's
    /// counter is used up; propose nothing then, the leader steps down.
    #[must_use]
    pub fn next_zxid(&self) -> Option<Zxid> {
        match &self.phase {
            Phase::Leading(leader) => leader.next_zxid(),
            Phase::Looking | Phase::Learning(_) => None,
        }
    }

    /// The learners of a leader and the observers of a follower, with what it knows of them.
    #[must_use]
    pub fn learners(&self) -> Vec<LearnerView> {
        self.known_learners().map_or_else(Vec::new, Learners::views)
    }

    /// Who is behind the connection of one that learns from this member.
    #[must_use]
    pub fn learner_id(&self, conn: LearnerConn) -> Option<ServerId> {
        self.known_learners()?.id(conn)
    }

    fn known_learners(&self) -> Option<&Learners> {
        match &self.phase {
            Phase::Leading(leader) => Some(leader.learners()),
            Phase::Learning(learner) => Some(learner.hosting().observers()),
            Phase::Looking => None,
        }
    }

    /// The log and what of it is committed and durable.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.core.history
    }

    /// The newest epoch agreed to.
    #[must_use]
    pub fn accepted_epoch(&self) -> Epoch {
        self.core.accepted_epoch
    }

    /// The epoch of the last leader synchronised with.
    #[must_use]
    pub fn current_epoch(&self) -> Epoch {
        self.core.current_epoch
    }

    /// What it would run with if it started anew, knowing the configurations that it knows now.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            config: Config::clone(self.core.configs.active()),
            config_seen: self.core.configs.seen().map(|seen| Config::clone(seen)),
            ..self.core.settings.clone()
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        self.core.configs.active()
    }

    /// A newer configuration that is proposed and not known to be committed.
    #[must_use]
    pub fn config_seen(&self) -> Option<&Arc<Config>> {
        self.core.configs.seen()
    }

    /// What this member learns as by the configuration in force.
    #[must_use]
    pub fn role(&self) -> Role {
        self.core.configs.role(self.core.settings.me)
    }

    /// Who would lead if this leader handed over now; `None` where nobody could, or where this
    /// member does not lead.
    #[must_use]
    pub fn successor(&self) -> Option<ServerId> {
        match &self.phase {
            Phase::Leading(leader) => leader.successor(&self.core).map(|(id, _)| id),
            Phase::Looking | Phase::Learning(_) => None,
        }
    }

    /// What must hold after every step, as a sentence where it does not.
    ///
    /// # Errors
    /// The sentence.
    pub fn invariants(&self) -> Result<(), String> {
        self.core.history.invariants()?;
        if let Some(seen) = self.core.configs.seen()
            && seen.version <= self.core.configs.active().version
        {
            return Err(format!(
                "configuration {} is proposed, but {} is in force",
                seen.version,
                self.core.configs.active().version
            ));
        }
        if self.core.current_epoch > self.core.accepted_epoch {
            return Err(format!(
                "current epoch {} is past the accepted epoch {}",
                self.core.current_epoch, self.core.accepted_epoch
            ));
        }
        Ok(())
    }
}
