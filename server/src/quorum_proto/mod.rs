//! The bytes that members exchange: election notifications, and the packets between a leader and
//! its learners. Sources: `QuorumCnxManager.java`, `FastLeaderElection.java`, `Leader.java`,
//! `LearnerHandler.java`, `Learner.java`.

mod hello;
mod notification;
mod packet;
mod traffic;

pub use hello::{Hello, HelloError};
pub use notification::{NotificationError, decode_notification, encode_notification};
pub use packet::{PacketType, QuorumPacket};
pub use traffic::{FromLeader, FromLearner, PacketError};

/// The longest election frame, in bytes. Source: `QuorumCnxManager.java` PACKETMAXSIZE.
pub const ELECTION_FRAME_MAX: usize = 512 * 1024;
/// The version of the leader-learner protocol that is spoken since 3.4.
/// Source: `Learner.java` registerWithLeader.
pub const ZAB_PROTOCOL_VERSION: i32 = 0x10000;
/// Ends the tree that follows SNAP. Source: `LearnerHandler.java` run.
pub const SNAPSHOT_SIGNATURE: &str = "BenWasHere";
