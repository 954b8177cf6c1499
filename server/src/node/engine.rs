//! The engine's loop: events in, consensus stepped, its outputs handed on in order.

use super::alone::Alone;
use super::containers::Containers;
use super::disk::{Disk, HEARTBEAT};
use super::full_disk::{FullDisk, Waited};
use super::log_thread::LogThread;
use super::masters::Masters;
use super::read_only::ReadOnly;
use super::requests::Sessions;
use super::snapshots::Snapshots;
use super::{NodeError, NodeEvent};
use crate::ensemble::{Ensemble, HostPort, PeerAddress};
use crate::ids::ServerId;
use crate::net::peer::{ElectionNet, LeaderLink, LearnerNet, LinkSettings, PeerEvent, PeerSink};
use crate::quorum_proto::{FromLeader, FromLearner};
use crate::service::Service;
use crate::storage::{DynamicConfigFiles, EpochFiles};
use crate::tree::Database;
use crate::txn::{Preparer, TxnEntry};
use crate::zab::{Entry, Input, LeaderMessage, LearnerMessage, NowMs, Output, Standing, Zab};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{info, warn};

/// Events taken before their outputs are flushed: enough to batch, few enough to stay responsive.
const EVENTS_MAX: usize = 4_096;

/// Who decides the order of transactions.
pub(super) enum Order {
    /// A quorum.
    Ensemble(Box<Zab>),
    /// This server.
    Alone(Alone),
}

/// What an ensemble's member has and a standalone server has not.
pub(super) struct Peers {
    pub(super) election: ElectionNet,
    pub(super) learners: LearnerNet,
    /// Where each member's leader port is.
    pub(super) quorum_addresses: BTreeMap<ServerId, HostPort>,
    /// Followers that observers learn from.
    pub(super) masters: Masters,
    /// The ensemble in force.
    pub(super) active: Ensemble,
    /// A newer one that is proposed.
    pub(super) seen: Option<Ensemble>,
    /// One that a peer says is proposed.
    pub(super) heard: Option<Ensemble>,
    pub(super) files: DynamicConfigFiles,
    pub(super) standalone_enabled: bool,
    /// Where this member listens for the others.
    pub(super) own: PeerAddress,
    /// `quorumListenOnAllIPs`.
    pub(super) listen_on_all_ips: bool,
    pub(super) link_settings: LinkSettings,
    pub(super) sink: PeerSink,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) epochs: EpochFiles,
}

/// Everything that one member's thread owns.
pub(super) struct Engine {
    pub(super) me: ServerId,
    pub(super) service: Arc<Service>,
    pub(super) order: Order,
    pub(super) peers: Option<Peers>,
    pub(super) log: LogThread,
    pub(super) snapshots: Snapshots,
    pub(super) preparer: Preparer,
    pub(super) sessions: Sessions,
    pub(super) containers: Containers,
    pub(super) read_only: ReadOnly,
    pub(super) disk: Disk,
    pub(super) full_disk: FullDisk,
    /// Where clients connect.
    pub(super) client_place: watch::Sender<Option<HostPort>>,
    /// Where the log's thread says what it has done.
    pub(super) events: mpsc::Sender<NodeEvent>,
    pub(super) started: Instant,
    /// The link to the leader, with its number.
    pub(super) link: Option<LeaderLink>,
    pub(super) links_made: u64,
    /// A tree that came with SNAP, until the consensus says to take it.
    pub(super) incoming: Option<Box<Database>>,
    /// Consensus counts this disk as empty until the leader's tree comes, and the disk is not.
    pub(super) counts_as_empty: bool,
    /// Our own proposals, parsed, oldest first.
    pub(super) proposed: VecDeque<TxnEntry>,
    /// Committed and not applied yet.
    pub(super) deliveries: Vec<TxnEntry>,
    /// To be logged with the next command to the log thread.
    pub(super) to_log: Vec<Entry>,
    pub(super) outputs: Vec<Output>,
    pub(super) serving: bool,
    /// The process is about to end.
    pub(super) leaving: bool,
    pub(super) status_is_stale: bool,
}

impl Engine {
    /// Runs until told to stop, or until the disk fails in another way than by being full.
    pub(super) fn run(mut self, events: &mpsc::Receiver<NodeEvent>) -> Result<(), NodeError> {
        let result = loop {
            let problem = match self.turn_over(events) {
                Err(NodeError::LeaderLostBeforeItsTree) => match self.begin_anew() {
                    Ok(()) => continue,
                    Err(NodeError::Storage(problem)) if problem.is_disk_full() => problem,
                    Err(error) => break Err(error),
                },
                Err(NodeError::Storage(problem)) if problem.is_disk_full() => problem,
                result => break result,
            };
            match self.wait_for_room(&problem, events) {
                Ok(Waited::ThereIsRoom) => {}
                // Nothing is under way that could be finished.
                Ok(Waited::Shutdown) => return Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.service.stop_serving();
        if let Some(peers) = &self.peers {
            peers.learners.set_leading(false);
        }
        self.link = None;
        // What was appended is worth keeping even where nobody was told of it.
        let flushed = self.flush().and_then(|()| Ok(self.log.flush()?));
        result.and(flushed)
    }

    fn turn_over(&mut self, events: &mpsc::Receiver<NodeEvent>) -> Result<(), NodeError> {
        // The election began when the consensus was made.
        self.carry_out()?;
        match &self.order {
            Order::Alone(_) => self.serve()?,
            Order::Ensemble(_) => self.read_only.looking(Instant::now()),
        }
        self.flush()?;
        loop {
            let wait = self
                .next_deadline()
                .saturating_duration_since(Instant::now());
            let first = match events.recv_timeout(wait.min(HEARTBEAT)) {
                Ok(event) => Some(event),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let batch = first.into_iter().chain(events.try_iter());
            for event in batch.take(EVENTS_MAX) {
                if matches!(event, NodeEvent::Shutdown) {
                    return self.shut_down(events);
                }
                self.handle(event)?;
            }
            self.step(Input::Tick)?;
            self.tend_sessions()?;
            self.tend_read_only()?;
            self.tend_containers()?;
            self.flush()?;
            self.tend_snapshots()?;
            self.report();
        }
    }

    /// Lets what is under way finish, within a bound, so that clients hear of it; a leader hands
    /// over, so that the others need not find out by its silence.
    fn shut_down(&mut self, events: &mpsc::Receiver<NodeEvent>) -> Result<(), NodeError> {
        const PATIENCE: Duration = Duration::from_secs(2);
        self.leaving = true;
        self.step(Input::HandOver)?;
        self.flush()?;
        let deadline = Instant::now() + PATIENCE;
        while !self.is_idle() && Instant::now() < deadline {
            let until = deadline.min(self.next_deadline());
            let event = match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => event,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.step(Input::Tick)?;
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            };
            // No new work: only what completes the old.
            if matches!(event, NodeEvent::Persisted { .. } | NodeEvent::Peer(_)) {
                self.handle(event)?;
                self.flush()?;
            }
        }
        info!("closed in order");
        Ok(())
    }

    fn is_idle(&self) -> bool {
        match &self.order {
            Order::Ensemble(zab) => {
                let hands_over = matches!(zab.standing(), Standing::Leading { serving: false });
                !self.serving || (zab.history().pending().is_empty() && !hands_over)
            }
            Order::Alone(alone) => alone.is_idle(),
        }
    }

    pub(super) fn now(&self) -> NowMs {
        NowMs(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn next_deadline(&self) -> Instant {
        let consensus = match &self.order {
            Order::Ensemble(zab) => self.started + Duration::from_millis(zab.next_deadline().0),
            Order::Alone(_) => Instant::now() + HEARTBEAT,
        };
        let containers = self.containers.next_deadline().unwrap_or(consensus);
        let read_only = self.read_only.next_deadline().unwrap_or(consensus);
        let own = consensus.min(self.sessions.next_round());
        own.min(containers).min(read_only)
    }

    fn handle(&mut self, event: NodeEvent) -> Result<(), NodeError> {
        match event {
            NodeEvent::Submit(request) => self.submit(request),
            NodeEvent::Revalidate {
                conn,
                session,
                timeout_ms,
            } => {
                self.revalidate(conn, session, timeout_ms);
                Ok(())
            }
            NodeEvent::Peer(event) => self.peer_event(event),
            NodeEvent::Persisted { generation, zxid } => {
                if generation == self.log.generation() {
                    self.step(Input::Persisted { zxid })
                } else {
                    Ok(())
                }
            }
            NodeEvent::LogFailed { generation } if self.log.began_with(generation) => {
                Err(self.log.failure().into())
            }
            NodeEvent::LogFailed { .. } => Ok(()),
            NodeEvent::SnapshotDone(result) => {
                self.snapshots.done(result);
                Ok(())
            }
            NodeEvent::Restore(restore) => self.restore(restore),
            NodeEvent::HandOver => self.step(Input::HandOver),
            // Taken by the loop.
            NodeEvent::Shutdown => Ok(()),
        }
    }

    fn peer_event(&mut self, event: PeerEvent) -> Result<(), NodeError> {
        match event {
            PeerEvent::Notification { from, notification } => {
                self.step(Input::Notification { from, notification })
            }
            PeerEvent::LearnerSaid { conn, said } => match said {
                FromLearner::Zab(message) => {
                    // With this one a learner has caught up.
                    self.status_is_stale |=
                        matches!(message, LearnerMessage::Ack { zxid } if zxid.counter() == 0);
                    self.step(Input::FromLearner { conn, message })
                }
                other => {
                    self.step(Input::LearnerHeard { conn })?;
                    self.learner_said(conn, other)
                }
            },
            PeerEvent::LearnerGone { conn } => {
                self.status_is_stale = true;
                self.step(Input::LearnerGone { conn })
            }
            PeerEvent::LeaderConnected { link, ip } if self.is_current(link) => {
                self.service.status.write().leader_ip = ip;
                self.step(Input::LeaderConnected)
            }
            PeerEvent::LeaderSaid { link, said } if self.is_current(link) => match said {
                FromLeader::Zab(message) => {
                    if let LeaderMessage::Diff { zxid } = message {
                        info!(leader_at = %zxid, "taking over what the leader has beyond us");
                    }
                    self.step(Input::FromLeader { message })
                }
                other => {
                    self.step(Input::LeaderHeard)?;
                    self.leader_said(other)
                }
            },
            PeerEvent::LeaderSnapshot {
                link,
                zxid,
                database,
            } if self.is_current(link) => {
                self.incoming = Some(database);
                let message = LeaderMessage::Snap { zxid };
                let stepped = self.step(Input::FromLeader { message });
                self.incoming = None;
                stepped
            }
            PeerEvent::LeaderGone { link, reason } if self.is_current(link) => {
                warn!(reason, "the link to the leader ended");
                self.step(Input::LeaderGone)
            }
            PeerEvent::LeaderConnected { .. }
            | PeerEvent::LeaderSaid { .. }
            | PeerEvent::LeaderSnapshot { .. }
            | PeerEvent::LeaderGone { .. } => Ok(()),
        }
    }

    fn is_current(&self, link: u64) -> bool {
        self.link.is_some() && link == self.links_made
    }

    /// Steps the consensus and carries out what it says.
    pub(super) fn step(&mut self, input: Input) -> Result<(), NodeError> {
        let now = self.now();
        match &mut self.order {
            Order::Ensemble(zab) => zab.step(now, input, &mut self.outputs),
            Order::Alone(alone) => match input {
                Input::Propose { entry } => alone.propose(entry, &mut self.outputs),
                Input::Persisted { zxid } => alone.persisted(zxid, &mut self.outputs),
                _ => {}
            },
        }
        self.carry_out()
    }

    /// Carries outputs out, strictly in order.
    fn carry_out(&mut self) -> Result<(), NodeError> {
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            self.perform(output)?;
        }
        // The allocation serves again, unless a nested step has made another.
        if self.outputs.is_empty() {
            self.outputs = outputs;
        }
        Ok(())
    }
}
