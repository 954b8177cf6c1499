//! A disk without room. The member takes back what it could not write, leaves its ensemble and
//! waits; once there is room it reads its disk anew and comes back as after a restart, knowing
//! nothing but what is durable. So a full disk never acknowledges, never votes with what it only
//! has in memory, never leads, and needs nobody to start it again.
//!
//! And a disk that holds more than its member counts as having, for the same way back.

use super::alone::Alone;
use super::disk::{HEARTBEAT, OpenDisk, durable, long};
use super::engine::{Engine, Order};
use super::log_thread::LogThread;
use super::{NodeError, NodeEvent};
use crate::storage::StorageError;
use crate::zab::Zab;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// Between two looks for room. Doubles where the room found did not last.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A member that went on for this long has had room.
const LASTED: Duration = Duration::from_secs(60);

/// How often room is looked for.
pub(super) struct FullDisk {
    pause: Duration,
    went_on: Option<Instant>,
}

impl FullDisk {
    pub(super) fn new() -> Self {
        FullDisk {
            pause: PAUSE_MIN,
            went_on: None,
        }
    }

    /// The disk is full at `now`: how long to wait before each look.
    fn pause(&mut self, now: Instant) -> Duration {
        let again = self
            .went_on
            .is_some_and(|since| now.duration_since(since) < LASTED);
        self.pause = if again {
            (self.pause * 2).min(PAUSE_MAX)
        } else {
            PAUSE_MIN
        };
        self.pause
    }
}

/// Why a wait ended.
#[derive(PartialEq, Eq)]
pub(super) enum Waited {
    /// The member goes on.
    ThereIsRoom,
    /// It was told to close.
    Shutdown,
}

impl Engine {
    /// Waits until there is room, and goes on from what the disk has. The member serves nobody
    /// meanwhile and takes part in nothing.
    pub(super) fn wait_for_room(
        &mut self,
        problem: &StorageError,
        events: &mpsc::Receiver<NodeEvent>,
    ) -> Result<Waited, NodeError> {
        error!(
            %problem,
            "the disk is full: this member serves nobody and does not vote until there is room; nothing acknowledged is lost"
        );
        self.leave_ensemble(format!("the disk is full: {problem}"));
        if let Err(problem) = long(&self.service, || self.disk.purge()) {
            warn!(%problem, "autopurge failed");
        }
        let pause = self.full_disk.pause(Instant::now());
        loop {
            if self.sit_out(pause, events) == Waited::Shutdown {
                return Ok(Waited::Shutdown);
            }
            if !self.disk.has_room()? {
                continue;
            }
            match self.read_disk_anew() {
                Ok(()) => {
                    info!("there is room on the disk again: going on");
                    self.full_disk.went_on = Some(Instant::now());
                    self.service.status.write().fault = None;
                    return Ok(Waited::ThereIsRoom);
                }
                Err(NodeError::Storage(problem)) if problem.is_disk_full() => {
                    warn!(%problem, "the disk is full again");
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Begins as after a restart: the disk has more than this member counts as having.
    pub(super) fn begin_anew(&mut self) -> Result<(), NodeError> {
        warn!("the leader went before its tree came: going on from this disk as it is");
        self.leave_ensemble("this disk is read anew".to_owned());
        self.read_disk_anew()?;
        self.service.status.write().fault = None;
        Ok(())
    }

    /// Says no more to anybody, and forgets what was under way.
    fn leave_ensemble(&mut self, fault: String) {
        self.serving = false;
        self.service.stop_serving();
        if let Some(peers) = &self.peers {
            peers.learners.set_leading(false);
            peers.election.fall_silent();
        }
        self.link = None;
        self.incoming = None;
        self.proposed.clear();
        self.deliveries.clear();
        self.to_log.clear();
        self.outputs.clear();
        self.preparer.reset();
        self.forget_sessions();
        self.read_only.stop();
        let mut status = self.service.status.write();
        status.fault = Some(fault);
        status.state = crate::service::MemberState::Looking;
        status.leader_id = None;
        status.learners.clear();
    }

    /// Lets time pass. What others say meanwhile is for a member that takes part.
    fn sit_out(&mut self, pause: Duration, events: &mpsc::Receiver<NodeEvent>) -> Waited {
        let until = Instant::now() + pause;
        loop {
            self.service.status.write().heartbeat = Instant::now();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::ThereIsRoom;
            }
            match events.recv_timeout(left.min(HEARTBEAT)) {
                Ok(NodeEvent::Shutdown) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Waited::Shutdown;
                }
                Ok(NodeEvent::SnapshotDone(result)) => self.snapshots.done(result),
                Ok(_) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Becomes what the disk says, as at the start of the process.
    fn read_disk_anew(&mut self) -> Result<(), NodeError> {
        // What was appended before the failure may still be on its way there.
        self.log.end();
        let OpenDisk { log, recovered } = long(&self.service, || self.disk.open())?;
        let generation = self.log.generation() + 1;
        self.log = LogThread::start(log, self.events.clone(), generation).map_err(|source| {
            NodeError::System {
                intention: "start the log's thread",
                source,
            }
        })?;
        let last_logged = recovered.last_logged;
        self.service.replace_database(recovered.database);
        let order = match &self.order {
            Order::Alone(_) => Order::Alone(Alone::new(last_logged)),
            Order::Ensemble(zab) => {
                let settings = zab.settings();
                let now = self.now();
                let Some(peers) = &mut self.peers else {
                    return Err(NodeError::EngineGone);
                };
                peers.epochs = self.disk.epochs(last_logged)?;
                let durable = durable(
                    &peers.epochs,
                    recovered.initialized,
                    last_logged,
                    recovered.recent,
                );
                Order::Ensemble(Box::new(Zab::new(
                    settings,
                    durable,
                    now,
                    &mut self.outputs,
                )))
            }
        };
        self.order = order;
        self.counts_as_empty = false;
        self.status_is_stale = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_does_not_last_is_looked_for_less_and_less_often() {
        let mut full_disk = FullDisk::new();
        let start = Instant::now();
        assert_eq!(full_disk.pause(start), PAUSE_MIN);
        full_disk.went_on = Some(start);
        let soon = start + Duration::from_secs(1);
        assert_eq!(full_disk.pause(soon), PAUSE_MIN * 2);
        for _ in 0..10 {
            full_disk.pause(soon);
        }
        assert_eq!(full_disk.pause(soon), PAUSE_MAX);
        assert_eq!(full_disk.pause(start + LASTED), PAUSE_MIN);
    }
}
