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

mod election;
mod history;
mod leader;
mod learner;
mod membership;
mod message;
mod sync;
#[cfg(test)]
mod tests;

pub use election::{Notification, PeerState, Vote};
pub use history::{Entry, History};
pub use leader::LearnerView;
pub use membership::{Membership, Role};
pub use message::{LeaderMessage, LearnerMessage};

use crate::ids::{Epoch, ServerId, Zxid};
use election::Election;
use leader::Leader;
use learner::Learner;

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

/// One connection of a learner to us, leading. Never used twice by a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LearnerConn(pub u64);

/// What a member knows of itself and its ensemble.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This member.
    pub me: ServerId,
    /// Who votes and who observes.
    pub membership: Membership,
    /// The configuration as text, as it travels in notifications and NEWLEADER.
    /// Source: `QuorumMaj.java` toString.
    pub config_text: String,
    /// The unit of the limits below, in milliseconds.
    pub tick_ms: u64,
    /// Ticks that connecting to a leader and synchronising may take.
    pub init_limit: u64,
    /// Ticks without a word after which the other side is taken for gone.
    pub sync_limit: u64,
    /// Committed transactions kept in memory to synchronise learners with.
    pub recent_max: usize,
    /// The last counter of an epoch: [`Zxid::COUNTER_MAX`], or less where reaching that would take
    /// a test too long.
    pub counter_max: i64,
}

impl Settings {
    fn init_ms(&self) -> u64 {
        self.tick_ms * self.init_limit
    }

    fn sync_ms(&self) -> u64 {
        self.tick_ms * self.sync_limit
    }
}

/// What the disk holds when a member starts.
#[derive(Clone, Debug)]
pub struct Durable {
    /// The newest epoch that this member agreed to.
    pub accepted_epoch: Epoch,
    /// The epoch of the last leader that it synchronised with.
    pub current_epoch: Epoch,
    /// The end of its log, all of it applied to its tree; `None` for an empty disk that was never
    /// initialised, which does not vote. Java writes -1 for it.
    pub last_logged: Option<Zxid>,
    /// The newest transactions of the log, oldest first.
    pub recent: Vec<Entry>,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Time has passed; see [`Zab::next_deadline`].
    Tick,
    /// A peer's election notification.
    Notification {
        /// Who sent it.
        from: ServerId,
        /// What it says.
        notification: Notification,
    },
    /// A learner's message to us. The first one of a connection introduces it.
    FromLearner {
        /// On which connection.
        conn: LearnerConn,
        /// What it says.
        message: LearnerMessage,
    },
    /// A learner said something that does not concern consensus: it lives.
    LearnerHeard {
        /// On which connection.
        conn: LearnerConn,
    },
    /// A learner's connection ended.
    LearnerGone {
        /// Which.
        conn: LearnerConn,
    },
    /// The connection that [`Output::ConnectToLeader`] asked for stands.
    LeaderConnected,
    /// Our leader's message.
    FromLeader {
        /// What it says.
        message: LeaderMessage,
    },
    /// Our leader said something that does not concern consensus: it lives.
    LeaderHeard,
    /// The connection to the leader ended, or could not be made.
    LeaderGone,
    /// The log is durable up to here.
    Persisted {
        /// The last durable transaction.
        zxid: Zxid,
    },
    /// A transaction to broadcast, at [`Zab::next_zxid`]; only while leading and serving.
    Propose {
        /// Its position and bytes.
        entry: Entry,
    },
    /// The disk can't be taken back to where [`Output::Truncate`] said: from here on we count as
    /// empty, and ask the leader for its whole tree.
    HistoryUnusable,
    /// Give up what we are and look for a leader anew.
    StepDown {
        /// Why, for the log.
        reason: &'static str,
    },
}

/// What to do about it, to be carried out in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send an election notification, in place of any older one that has not left yet.
    Notify {
        /// To whom.
        to: ServerId,
        /// What.
        notification: Notification,
    },
    /// We look for a leader: stop serving, close every learner and leader connection.
    Looking {
        /// Why the last role ended.
        reason: String,
    },
    /// We lead; let learners in.
    Lead,
    /// Close the connection to a leader that there is, dial this one and say
    /// [`Input::LeaderConnected`] or [`Input::LeaderGone`]. Try again for a while before the latter:
    /// a leader may learn of its election later than we do. Source: `Learner.java` connectToLeader.
    ConnectToLeader {
        /// Whom.
        leader: ServerId,
    },
    /// Send to our leader.
    ToLeader(LearnerMessage),
    /// Send to a learner.
    ToLearner {
        /// Which.
        conn: LearnerConn,
        /// What.
        message: LeaderMessage,
    },
    /// Send SNAP and the whole tree as it is now, delivered transactions and no others.
    SnapshotToLearner {
        /// To which.
        conn: LearnerConn,
        /// The position of the tree.
        zxid: Zxid,
    },
    /// Close a learner's connection.
    CloseLearner {
        /// Which.
        conn: LearnerConn,
        /// Why.
        reason: &'static str,
    },
    /// Make `acceptedEpoch` durable, before anything behind this.
    WriteAcceptedEpoch(Epoch),
    /// Make `currentEpoch` durable, before anything behind this.
    WriteCurrentEpoch(Epoch),
    /// Append to the log and, once durable, say [`Input::Persisted`].
    Append(Entry),
    /// Cut the log behind this position and make what is left of it durable, before anything behind
    /// this. From here on, say no [`Input::Persisted`] about appends before this: the same positions
    /// may be appended again, and would pass for durable.
    Truncate {
        /// The last position to keep.
        to: Zxid,
        /// Transactions behind it have been delivered: load the tree from disk anew.
        reload: bool,
    },
    /// Take the tree that came with SNAP for our own and make it durable, before anything behind
    /// this. It replaces the log; say no [`Input::Persisted`] about appends before this.
    InstallSnapshot {
        /// Its position.
        zxid: Zxid,
    },
    /// Committed: apply to the tree.
    Deliver(Entry),
    /// Serve clients from now on.
    Serve,
    /// Answer the leader's ping with the sessions heard from.
    AnswerPing,
}

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
    Look(String),
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
            settings,
            history,
            accepted_epoch: durable.accepted_epoch,
            current_epoch: durable.current_epoch,
            wants_snapshot: false,
        };
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
        zab.election.start(&zab.core, now, None, out);
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
                Phase::Looking | Phase::Learning(_) => {
                    out.push(Output::CloseLearner {
                        conn,
                        reason: "this member does not lead",
                    });
                    Next::Stay
                }
            },
            Input::LearnerHeard { conn } => {
                if let Phase::Leading(leader) = &mut self.phase {
                    leader.heard(now, conn);
                }
                Next::Stay
            }
            Input::LearnerGone { conn } => {
                if let Phase::Leading(leader) = &mut self.phase {
                    leader.gone(conn);
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
        if let Next::Look(reason) = next {
            self.look(now, reason, out);
        }
        let serving = match &self.phase {
            Phase::Looking => false,
            Phase::Learning(learner) => learner.is_serving(),
            Phase::Leading(leader) => leader.is_serving(),
        };
        if serving {
            self.election.settle_epoch(self.core.current_epoch);
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

    /// The learners of a leader, with what it knows of them; empty elsewhere.
    #[must_use]
    pub fn learners(&self) -> Vec<LearnerView> {
        match &self.phase {
            Phase::Leading(leader) => leader.views(),
            Phase::Looking | Phase::Learning(_) => Vec::new(),
        }
    }

    /// Who is behind a learner's connection, while leading.
    #[must_use]
    pub fn learner_id(&self, conn: LearnerConn) -> Option<ServerId> {
        match &self.phase {
            Phase::Leading(leader) => leader.learner_id(conn),
            Phase::Looking | Phase::Learning(_) => None,
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

    /// The settings it runs with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// What must hold after every step, as a sentence where it does not.
    ///
    /// # Errors
    /// The sentence.
    pub fn invariants(&self) -> Result<(), String> {
        self.core.history.invariants()?;
        if self.core.current_epoch > self.core.accepted_epoch {
            return Err(format!(
                "current epoch {} is past the accepted epoch {}",
                self.core.current_epoch, self.core.accepted_epoch
            ));
        }
        Ok(())
    }

    fn tick(&mut self, now: NowMs, out: &mut Vec<Output>) -> Next {
        match &mut self.phase {
            Phase::Looking => {
                self.election.tick(&self.core, now, out);
                self.decide(now, out);
                Next::Stay
            }
            Phase::Learning(learner) => learner.tick(&self.core, now),
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
        let state = match &self.phase {
            Phase::Looking => PeerState::Looking,
            Phase::Leading(_) => PeerState::Leading,
            Phase::Learning(_) => self
                .core
                .settings
                .membership
                .learning_state(self.core.settings.me),
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
        if leader == self.core.settings.me {
            out.push(Output::Lead);
            let (leader, next) = Leader::new(&mut self.core, now, out);
            self.phase = Phase::Leading(leader);
            if let Next::Look(reason) = next {
                self.look(now, reason, out);
            }
        } else {
            out.push(Output::ConnectToLeader { leader });
            self.phase = Phase::Learning(Learner::new(&self.core, leader, now));
        }
    }

    fn look(&mut self, now: NowMs, reason: String, out: &mut Vec<Output>) {
        out.push(Output::Looking { reason });
        let departed = match &self.phase {
            Phase::Learning(learner) => Some(learner.leader()),
            Phase::Looking | Phase::Leading(_) => None,
        };
        self.phase = Phase::Looking;
        self.election.start(&self.core, now, departed, out);
        self.decide(now, out);
    }
}
