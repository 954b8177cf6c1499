//! Connections between members: election, learners to us, and us to our leader.
//!
//! These tasks move bytes and decide nothing. What they hear goes to the node as [`PeerEvent`]s;
//! what the node wants said goes into bounded or latest-wins queues here.

mod acceptor;
mod address;
mod election;
mod leader_link;
mod learners;
mod packets;

pub use address::{Bind, listen};
pub use election::ElectionNet;
pub use leader_link::{Destination, LeaderLink, LinkSettings};
pub use learners::{LearnerNet, ToLearner};

use crate::ids::{ServerId, Zxid};
use crate::quorum_proto::{FromLeader, FromLearner};
use crate::tree::Database;
use crate::zab::{LearnerConn, Notification};
use std::net::IpAddr;
use std::sync::Arc;

/// What a member's connections to its peers report.
#[derive(Debug)]
pub enum PeerEvent {
    /// An election notification came.
    Notification {
        /// From whom.
        from: ServerId,
        /// What it says.
        notification: Notification,
    },
    /// A learner said something.
    LearnerSaid {
        /// On which connection.
        conn: LearnerConn,
        /// What.
        said: FromLearner,
    },
    /// A learner's connection ended.
    LearnerGone {
        /// Which.
        conn: LearnerConn,
    },
    /// The connection to the leader stands.
    LeaderConnected {
        /// Which attempt; events of older ones are stale.
        link: u64,
        /// Where the leader was reached.
        ip: Option<IpAddr>,
    },
    /// The leader said something other than SNAP.
    LeaderSaid {
        /// On which link.
        link: u64,
        /// What.
        said: FromLeader,
    },
    /// SNAP came, with its whole tree.
    LeaderSnapshot {
        /// On which link.
        link: u64,
        /// The tree's position.
        zxid: Zxid,
        /// The tree.
        database: Box<Database>,
    },
    /// The connection to the leader ended, or could not be made.
    LeaderGone {
        /// Which.
        link: u64,
        /// Why, for the log.
        reason: String,
    },
}

/// Where events go; never blocks.
pub type PeerSink = Arc<dyn Fn(PeerEvent) + Send + Sync>;
