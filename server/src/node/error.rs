//! Why a member stops.

use crate::ids::Zxid;
use crate::jute::JuteError;
use crate::net::tls::TlsError;
use crate::storage::StorageError;
use std::io;

/// Why a member can't start, or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A committed transaction that is none.
    #[error("the committed transaction {zxid} can't be read: {source}")]
    Undecodable {
        /// Where.
        zxid: Zxid,
        /// What is wrong.
        source: JuteError,
    },
    /// After a truncation the disk still holds more.
    #[error(
        "the log was cut behind {to}, but a snapshot on the disk stands at {at}: empty this member's dataDir and dataLogDir, and it takes everything from the leader"
    )]
    CutTooFar {
        /// Where to.
        to: Zxid,
        /// What was left.
        at: Zxid,
    },
    /// SNAP without a tree.
    #[error("a snapshot at {zxid} was announced, but no tree came")]
    NoTree {
        /// Its position.
        zxid: Zxid,
    },
    /// Not the end: the member begins anew, with what its disk has.
    #[error("the leader went before the tree came that was to replace this member's history")]
    LeaderLostBeforeItsTree,
    /// A port can't be listened on.
    #[error("can't listen on {what} {address}: {source}")]
    Listen {
        /// Which of the ports.
        what: &'static str,
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// TLS can't be had.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The machine gives no thread, or no signal handler.
    #[error("can't {intention}: {source}")]
    System {
        /// What was to be done.
        intention: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A configuration that this release can't run.
    #[error("{0}")]
    Unsupported(String),
    /// The engine's thread has panicked.
    #[error("the server's engine has stopped unexpectedly")]
    EngineGone,
}
