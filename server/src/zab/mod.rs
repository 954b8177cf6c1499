//! ZAB, ZooKeeper's atomic broadcast, as a pure state machine: election, discovery,
//! synchronisation and broadcast.
//!
//! ```text
//!            Input                          Output (in order)
//!  network ─────────┐                  ┌──> notifications, packets
//!  disk    ─────────┤──> Zab::step ────┤──> append, truncate, epoch files, snapshot
//!  time    ─────────┤                  ├──> deliver (committed, to the tree)
//!  clients ─────────┘                  └──> role and serving changes
//! ```
//!
//! There is no socket, file, clock or random number in this room, and transactions are opaque
//! bytes. The engine in `node` carries outputs out strictly in their order: an output that writes
//! an epoch file is durable before the packet behind it leaves.
//!
//! Invariants, after every step:
//! - `committed <= last_logged` and `persisted <= last_logged`. `committed` may pass `persisted`:
//!   a quorum can outrun our disk.
//! - `current_epoch <= accepted_epoch`.
//! - A follower acknowledges a proposal, or NEWLEADER, only once all of its log up to there is
//!   durable (ZOOKEEPER-3911, 4643, 4646, 4785).

mod config;
mod election;
mod history;
mod hosting;
mod io;
mod leader;
mod learner;
mod learners;
mod membership;
mod message;
mod settings;
mod sync;
#[cfg(test)]
mod tests;
mod view;

pub use config::{Codec, Config};
pub use election::{Notification, PeerState, Vote};
pub use history::{Entry, History};
pub use io::{Input, Output};
pub use learners::LearnerView;
pub use membership::{Membership, Role};
pub use message::{LeaderMessage, LearnerMessage};
pub use settings::{Durable, Settings};

use crate::ids::{Epoch, ServerId};
use config::Configs;
use election::{Begin, Candidate, Election};
use leader::Leader;
use learner::Learner;
use learners::Learners;
use std::sync::Arc;

/// Milliseconds on a clock that only goes forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NowMs(pub u64);

impl NowMs {
    /// The moment `ms` milliseconds later.
    #[must_use]
    pub fn plus(self, ms: u64) -> NowMs {
        NowMs(self.0.saturating_add(ms))
    }
}

/// One connection of a learner to us, leading, or of an observer to us, following. Never used twice
/// by a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LearnerConn(pub u64);

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No leader yet.
    Looking,
    /// Following or observing this leader.
    Learning {
        /// The leader.
        leader: ServerId,
        /// Whether it is synchronised and serves.
        serving: bool,
    },
    /// Leading.
    Leading {
        /// Whether a quorum has synchronised.
        serving: bool,
    },
}

enum Phase {
    Looking,
    Learning(Learner),
    Leading(Leader),
}

/// What every phase shares.
struct Core {
    settings: Settings,
    configs: Configs,
    history: History,
    accepted_epoch: Epoch,
    current_epoch: Epoch,
    /// The leader asked us to cut where we can't: ask for its whole tree instead.
    wants_snapshot: bool,
}

impl Core {
    /// The epoch that our history vouches for: a log that holds a transaction of an epoch holds all
    /// that this epoch's leader began with, though we may not have acknowledged NEWLEADER yet. With
    /// the epoch file alone, a member on a fresh disk that has just been given the ensemble's
    /// history would call it that of epoch 0, and help a member without it to lead.
    fn history_epoch(&self) -> Epoch {
        self.current_epoch.max(self.history.end().epoch())
    }

    fn accept_epoch(&mut self, epoch: Epoch, out: &mut Vec<Output>) {
        self.accepted_epoch = epoch;
        out.push(Output::WriteAcceptedEpoch(epoch));
    }

    fn enter_epoch(&mut self, epoch: Epoch, out: &mut Vec<Output>) {
        self.current_epoch = epoch;
        out.push(Output::WriteCurrentEpoch(epoch));
    }
}

/// How a phase goes on after a step.
enum Next {
    Stay,
    /// Look for a leader.
    Look(String),
    /// A reconfiguration says who leads: no election.
    Follow(ServerId, &'static str),
    /// Look for a leader with a vote for this member.
    Resign(Candidate),
}

/// One member's consensus.
pub struct Zab {
    core: Core,
    election: Election,
    phase: Phase,
}

impl Zab {
    /// A member that starts from its disk and looks for a leader.
    pub fn new(settings: Settings, durable: Durable, now: NowMs, out: &mut Vec<Output>) -> Self {
        let history = History::new(durable.last_logged, durable.recent, settings.recent_max);
        let mut core = Core {
            configs: Configs::new(settings.config.clone(), settings.config_seen.clone()),
            settings,
            history,
            accepted_epoch: durable.accepted_epoch,
            current_epoch: durable.current_epoch,
            wants_snapshot: false,
        };
        core.see_logged(out);
        // It died between log and epoch file. Java refuses to start from such a disk.
        let epoch = core.history_epoch();
        if epoch > core.accepted_epoch {
            core.accept_epoch(epoch, out);
        }
        if epoch > core.current_epoch {
            core.enter_epoch(epoch, out);
        }
        let mut zab = Zab {
            election: Election::new(),
            core,
            phase: Phase::Looking,
        };
        zab.election.start(&zab.core, now, Begin::Anew, out);
        zab.decide(now, out);
        zab
    }

    /// Takes one input and appends what has to be done to `out`.
    pub fn step(&mut self, now: NowMs, input: Input, out: &mut Vec<Output>) {
        let next = match input {
            Input::Tick => self.tick(now, out),
            Input::Notification { from, notification } => {
                self.notification(now, from, notification, out);
                Next::Stay
            }
            Input::FromLearner { conn, message } => match &mut self.phase {
                Phase::Leading(leader) => leader.receive(&mut self.core, now, conn, message, out),
                Phase::Learning(learner) => {
                    learner.host(&self.core, now, conn, message, out);
                    Next::Stay
                }
                Phase::Looking => {
                    out.push(Output::CloseLearner {
                        conn,
                        reason: hosting::NOT_LEADING,
                    });
                    Next::Stay
                }
            },
            Input::LearnerHeard { conn } => {
                if let Some(learners) = self.learners_mut() {
                    learners.heard(now, conn);
                }
                Next::Stay
            }
            Input::LearnerGone { conn } => {
                if let Some(learners) = self.learners_mut() {
                    learners.gone(conn);
                }
                Next::Stay
            }
            Input::LeaderConnected => match &mut self.phase {
                Phase::Learning(learner) => learner.connected(&self.core, now, out),
                Phase::Looking | Phase::Leading(_) => Next::Stay,
            },
            Input::FromLeader { message } => match &mut self.phase {
                Phase::Learning(learner) => learner.receive(&mut self.core, now, message, out),
                Phase::Looking | Phase::Leading(_) => Next::Stay,
            },
            Input::LeaderHeard => {
                if let Phase::Learning(learner) = &mut self.phase {
                    learner.heard(now);
                }
                Next::Stay
            }
            Input::LeaderGone => match &self.phase {
                Phase::Learning(_) => Next::Look("the connection to the leader ended".into()),
                Phase::Looking | Phase::Leading(_) => Next::Stay,
            },
            Input::Persisted { zxid } => {
                self.core.history.persisted(zxid);
                match &mut self.phase {
                    Phase::Leading(leader) => leader.persisted(&mut self.core, now, out),
                    Phase::Learning(learner) => {
                        learner.persisted(&mut self.core, out);
                        Next::Stay
                    }
                    Phase::Looking => Next::Stay,
                }
            }
            Input::Propose { entry } => match &mut self.phase {
                Phase::Leading(leader) => leader.propose(&mut self.core, now, entry, out),
                Phase::Looking | Phase::Learning(_) => Next::Stay,
            },
            Input::HandOver => match &mut self.phase {
                Phase::Leading(leader) => leader.hand_over(&self.core, now),
                Phase::Looking | Phase::Learning(_) => Next::Stay,
            },
            Input::HistoryUnusable => {
                self.core.history.forget();
                match &mut self.phase {
                    Phase::Learning(learner) => {
                        learner.ask_for_tree(&mut self.core, out);
                        Next::Stay
                    }
                    Phase::Looking | Phase::Leading(_) => {
                        Next::Look("our history can't be reconciled with the leader's".into())
                    }
                }
            }
            Input::StepDown { reason } => match &self.phase {
                Phase::Looking => Next::Stay,
                Phase::Learning(_) | Phase::Leading(_) => Next::Look(reason.into()),
            },
        };
        self.go_on(now, next, out);
        let serving = match &self.phase {
            Phase::Looking => false,
            Phase::Learning(learner) => learner.is_serving(),
            Phase::Leading(leader) => leader.is_serving(),
        };
        if serving {
            self.election.settle_epoch(self.core.current_epoch);
            self.core.forget_heard(out);
        }
        debug_assert!(self.invariants().is_ok(), "{:?}", self.invariants());
    }

    /// When a [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> NowMs {
        match &self.phase {
            Phase::Looking => self.election.next_deadline(),
            Phase::Learning(learner) => learner.next_deadline(&self.core),
            Phase::Leading(leader) => leader.next_deadline(),
        }
    }

    fn learners_mut(&mut self) -> Option<&mut Learners> {
        match &mut self.phase {
            Phase::Leading(leader) => Some(leader.learners_mut()),
            Phase::Learning(learner) => Some(learner.hosting_mut().observers_mut()),
            Phase::Looking => None,
        }
    }

    fn tick(&mut self, now: NowMs, out: &mut Vec<Output>) -> Next {
        match &mut self.phase {
            Phase::Looking => {
                self.election.tick(&self.core, now, out);
                self.decide(now, out);
                Next::Stay
            }
            Phase::Learning(learner) => learner.tick(&self.core, now, out),
            Phase::Leading(leader) => leader.tick(&mut self.core, now, out),
        }
    }

    fn notification(
        &mut self,
        now: NowMs,
        from: ServerId,
        notification: Notification,
        out: &mut Vec<Output>,
    ) {
        if matches!(self.phase, Phase::Looking)
            && let Some(config) = self.core.newer_config_of(&notification.config_text)
        {
            // Source: `FastLeaderElection.java` WorkerReceiver.
            let same_members = config.membership == self.core.configs.active().membership;
            self.core.activate(Arc::new(config), out);
            if !same_members {
                self.election.start(&self.core, now, Begin::Anew, out);
            }
        }
        if matches!(self.phase, Phase::Looking) {
            self.core.hear(from, &notification.proposed_text, out);
        }
        let state = match &self.phase {
            Phase::Looking => PeerState::Looking,
            Phase::Leading(_) => PeerState::Leading,
            Phase::Learning(_) => match self.core.configs.role(self.core.settings.me) {
                Role::Participant => PeerState::Following,
                Role::Observer => PeerState::Observing,
            },
        };
        // An election that others have left behind ends here instead of at initLimit.
        let in_vain = match &self.phase {
            Phase::Leading(leader) if !leader.is_serving() => {
                self.election.is_abandoned(&self.core, from, &notification)
            }
            Phase::Learning(learner) if learner.is_connecting() => {
                from == learner.leader() && self.election.looks_later(&notification)
            }
            _ => false,
        };
        if in_vain {
            // The vote counts before the round that it begins can have a result: counted behind
            // that, it would change the vote that a new leader tells to those that come late.
            self.election.note_early(now, from, notification);
            self.look(now, "the election was left for a later round".into(), out);
        } else if state == PeerState::Looking {
            self.election
                .receive(&self.core, now, from, notification, out);
            self.decide(now, out);
        } else {
            self.election
                .answer(&self.core, now, state, from, &notification, out);
        }
    }

    /// Leaves the election where it has a result.
    fn decide(&mut self, now: NowMs, out: &mut Vec<Output>) {
        let Phase::Looking = self.phase else { return };
        let Some(leader) = self.election.decided(now) else {
            return;
        };
        self.enter(now, leader, out);
    }

    /// Leads or learns.
    fn enter(&mut self, now: NowMs, leader: ServerId, out: &mut Vec<Output>) {
        if leader == self.core.settings.me {
            out.push(Output::Lead);
            let (leader, next) = Leader::new(&mut self.core, now, out);
            self.phase = Phase::Leading(leader);
            self.go_on(now, next, out);
        } else {
            out.push(Output::ConnectToLeader { leader });
            self.phase = Phase::Learning(Learner::new(&self.core, leader, now));
        }
    }

    fn go_on(&mut self, now: NowMs, next: Next, out: &mut Vec<Output>) {
        match next {
            Next::Stay => {}
            Next::Look(reason) => self.look(now, reason, out),
            Next::Follow(leader, reason) => {
                let reason = reason.to_owned();
                out.push(Output::Looking { reason });
                self.phase = Phase::Looking;
                self.election.appoint(&self.core, leader);
                self.enter(now, leader, out);
            }
            Next::Resign(successor) => {
                let reason = format!("we hand over to member {}", successor.id);
                out.push(Output::Looking { reason });
                self.phase = Phase::Looking;
                let begin = Begin::For(successor);
                self.election.start(&self.core, now, begin, out);
                self.decide(now, out);
            }
        }
    }

    fn look(&mut self, now: NowMs, reason: String, out: &mut Vec<Output>) {
        out.push(Output::Looking { reason });
        let begin = match &self.phase {
            Phase::Learning(learner) => Begin::Without(learner.leader()),
            Phase::Leading(leader) => leader.better().map_or(Begin::Anew, Begin::For),
            Phase::Looking => Begin::Anew,
        };
        self.phase = Phase::Looking;
        self.election.start(&self.core, now, begin, out);
        self.decide(now, out);
    }
}
