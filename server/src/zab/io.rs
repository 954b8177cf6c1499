//! What goes into the state machine and what comes out of it.

use super::config::Config;
use super::history::Entry;
use super::message::{LeaderMessage, LearnerMessage};
use super::{LearnerConn, Notification};
use crate::ids::{Epoch, ServerId, Zxid};
use std::sync::Arc;

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
    /// A learner's message to us, or an observer's while we follow. The first one of a connection
    /// introduces it.
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
    /// Lead no longer, in order: what is proposed is committed first, and whoever has most of it is
    /// helped to lead next. Nothing happens where the others could not go on.
    HandOver,
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
    /// A configuration has been proposed, or, `None`, what was proposed does not count any longer:
    /// keep it on disk, before anything behind this, until it is in force.
    ConfigSeen(Option<Arc<Config>>),
    /// A peer says that this configuration has been proposed, or, `None`, what it said does not matter
    /// any longer. We don't have it: keep nothing of it, only talk to its members too.
    ConfigHeard(Option<Arc<Config>>),
    /// This configuration is in force: keep it on disk in place of the last one, and talk to its
    /// members.
    ConfigActivated(Arc<Config>),
    /// Serve clients from now on.
    Serve,
    /// Answer the leader's ping with the sessions heard from.
    AnswerPing,
}
