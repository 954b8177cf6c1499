//! The node: it owns a member's state and runs it. One thread takes events in order, steps the
//! consensus, and carries its outputs out in order; disk writes have a thread of their own, and
//! sockets their tasks.
//!
//! ```text
//!  client connections ──submit──┐              ┌──> log thread ──Persisted──┐
//!  peer connections ──PeerEvent─┼─> engine ────┼──> peers' queues           │
//!  log thread ──────────────────┘   (Zab)      └──> Service::apply          │
//!        ^──────────────────────────────────────────────────────────────────┘
//! ```

mod alone;
mod autopurge;
mod containers;
mod disk;
mod engine;
mod error;
mod full_disk;
mod keeper;
mod local_sessions;
mod log_thread;
mod masters;
mod membership;
mod outputs;
mod read_only;
mod requests;
mod settings;
mod snapshots;
mod start;
mod status;
#[cfg(test)]
mod tests;

pub use error::NodeError;
pub use start::run;

use crate::ids::{ConnId, SessionId, Zxid};
use crate::net::peer::PeerEvent;
use crate::service::{Consensus, WriteRequest};
use crate::storage::StorageError;
use std::sync::mpsc;

/// Whatever the engine waits for.
pub(crate) enum NodeEvent {
    /// A client of ours wants a change, or a sync.
    Submit(WriteRequest),
    /// A client of ours wants to go on with its session.
    Revalidate {
        conn: ConnId,
        session: SessionId,
        timeout_ms: i32,
    },
    /// A peer said something.
    Peer(PeerEvent),
    /// The log is durable up to `zxid`.
    Persisted { generation: u64, zxid: Zxid },
    /// The log thread that began with this number can't go on; it knows why.
    LogFailed { generation: u64 },
    /// A snapshot has been written, or has not.
    SnapshotDone(Result<Zxid, StorageError>),
    /// A person sent a tree to go on with.
    Restore(keeper::Restore),
    /// Lead no longer, if somebody else can.
    HandOver,
    /// Close in order.
    Shutdown,
}

/// The service's way to the engine.
struct Submitter(mpsc::Sender<NodeEvent>);

impl Consensus for Submitter {
    fn submit(&self, request: WriteRequest) {
        // Once the engine has ended nobody is served any more.
        let _ended = self.0.send(NodeEvent::Submit(request));
    }

    fn revalidate(&self, conn: ConnId, session: SessionId, timeout_ms: i32) {
        let _ended = self.0.send(NodeEvent::Revalidate {
            conn,
            session,
            timeout_ms,
        });
    }

    fn hand_over(&self) {
        let _ended = self.0.send(NodeEvent::HandOver);
    }
}
