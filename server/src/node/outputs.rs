//! What the consensus wants done, carried out one by one.

use super::NodeError;
use super::disk::long;
use super::engine::{Engine, Order};
use super::requests::wall_now;
use crate::ids::{ServerId, Zxid};
use crate::jute::Record;
use crate::net::peer::{LeaderLink, ToLearner};
use crate::quorum_proto::{FromLeader, FromLearner};
use crate::service::Serving;
use crate::storage::StorageError;
use crate::txn::TxnEntry;
use crate::zab::{Entry, Input, LearnerConn, Output, Role, Standing};
use std::sync::Arc;
use std::time::Instant;
use tracing::{error, info, warn};

impl Engine {
    pub(super) fn perform(&mut self, output: Output) -> Result<(), NodeError> {
        match output {
            Output::Append(entry) => self.to_log.push(entry),
            Output::Deliver(entry) => self.deliver(entry)?,
            Output::ToLearner { conn, message } => {
                if let Some(peers) = &self.peers {
                    let said = ToLearner::Say(FromLeader::Zab(message));
                    peers.learners.send(conn, said);
                }
            }
            Output::ToLeader(message) => {
                if let Some(link) = &self.link {
                    link.send(FromLearner::Zab(message));
                }
            }
            Output::AnswerPing => self.answer_ping(),
            // The vote of one that won't be there must not make a quorum: a member that missed the
            // rest of the election would be waited for until initLimit.
            Output::Notify { .. } if self.leaving => {}
            Output::Notify { to, notification } => {
                if let Some(peers) = &self.peers {
                    peers.election.send(to, &notification);
                }
            }
            Output::Looking { reason } => {
                warn!(reason, "looking for a leader");
                self.stop_serving()?;
                self.read_only.looking(Instant::now());
                if self.counts_as_empty && !self.leaving {
                    return Err(NodeError::LeaderLostBeforeItsTree);
                }
            }
            Output::Lead => {
                self.end_read_only();
                info!("elected; waiting for a quorum to synchronise");
                self.status_is_stale = true;
                if let Some(peers) = &self.peers {
                    peers.learners.set_leading(true);
                }
            }
            Output::ConnectToLeader { leader } => {
                self.end_read_only();
                self.connect(leader);
            }
            Output::SnapshotToLearner { conn, zxid } => self.send_snapshot(conn, zxid)?,
            Output::CloseLearner { conn, reason } => {
                info!(conn = conn.0, reason, "closing a learner's connection");
                self.status_is_stale = true;
                if let Some(peers) = &self.peers {
                    peers.learners.close(conn);
                }
            }
            Output::WriteAcceptedEpoch(epoch) => {
                if let Some(peers) = &mut self.peers {
                    peers.epochs.set_accepted(epoch)?;
                }
                self.status_is_stale = true;
            }
            Output::WriteCurrentEpoch(epoch) => {
                if let Some(peers) = &mut self.peers {
                    peers.epochs.set_current(epoch)?;
                }
                self.status_is_stale = true;
            }
            Output::Truncate { to, reload } => self.truncate(to, reload)?,
            Output::InstallSnapshot { zxid } => self.install_snapshot(zxid)?,
            Output::ConfigSeen(config) => self.config_seen(config.as_deref()),
            Output::ConfigHeard(config) => self.config_heard(config.as_deref()),
            Output::ConfigActivated(config) => self.config_activated(&config),
            Output::Serve => self.serve()?,
        }
        Ok(())
    }

    fn deliver(&mut self, entry: Entry) -> Result<(), NodeError> {
        let parsed = match self.proposed.front() {
            Some(own) if own.header.zxid == entry.zxid => self.proposed.pop_front(),
            _ => None,
        };
        let parsed = match parsed {
            Some(parsed) => parsed,
            None => {
                TxnEntry::from_slice(&entry.payload).map_err(|source| NodeError::Undecodable {
                    zxid: entry.zxid,
                    source,
                })?
            }
        };
        self.deliveries.push(parsed);
        Ok(())
    }

    /// Hands appends to the log thread and applies what is committed.
    pub(super) fn flush(&mut self) -> Result<(), NodeError> {
        if !self.to_log.is_empty() {
            let entries = std::mem::take(&mut self.to_log);
            self.snapshots.logged(&entries);
            self.log.append(entries)?;
        }
        let Some(last) = self.deliveries.last().map(|entry| entry.header.zxid) else {
            return Ok(());
        };
        self.note_sessions();
        self.service.apply(&self.deliveries);
        self.deliveries.clear();
        self.preparer.applied(last);
        self.answer_syncs(last);
        self.answer_ended();
        Ok(())
    }

    fn connect(&mut self, leader: ServerId) {
        let observes = matches!(&self.order, Order::Ensemble(zab) if zab.role() == Role::Observer);
        let Some(peers) = &mut self.peers else { return };
        self.status_is_stale = true;
        self.links_made += 1;
        self.service.status.write().leader_ip = None;
        let destinations = peers.destinations(leader, observes);
        if destinations.is_empty() {
            error!(%leader, "elected leader has no address in our configuration");
            let sink = Arc::clone(&peers.sink);
            self.link = Some(LeaderLink::to_nowhere(
                &peers.runtime,
                self.links_made,
                sink,
            ));
            return;
        }
        info!(%leader, at = %destinations[0].address, "following");
        self.link = Some(LeaderLink::start(
            &peers.runtime,
            self.links_made,
            destinations,
            peers.link_settings.clone(),
            Arc::clone(&peers.sink),
        ));
    }

    pub(super) fn serve(&mut self) -> Result<(), NodeError> {
        self.flush()?;
        let serving = match &self.order {
            Order::Alone(_) => Serving::Standalone,
            Order::Ensemble(zab) => match zab.standing() {
                Standing::Leading { .. } => Serving::Leader,
                _ => match zab.role() {
                    Role::Participant => Serving::Follower,
                    Role::Observer => Serving::Observer,
                },
            },
        };
        self.preparer.reset();
        self.write_config();
        if matches!(serving, Serving::Leader | Serving::Standalone) {
            self.own_sessions();
        }
        info!(role = serving.as_str(), "serving clients");
        self.serving = true;
        self.status_is_stale = true;
        self.report();
        self.service.start_serving(serving);
        if let (Serving::Follower, Some(peers)) = (serving, &self.peers) {
            peers.host_observers();
        }
        Ok(())
    }

    /// Puts our own configuration into its node, whatever the tree brought along from a leader or a
    /// disk. Source: `Leader.java` startZkServer, `Learner.java` syncWithLeader (ZOOKEEPER-2819).
    fn write_config(&self) {
        if let Order::Ensemble(_) = &self.order {
            let (text, version) = {
                let status = self.service.status.read();
                (status.config_text.clone(), Zxid(status.config_version))
            };
            let mut database = self.service.database.write();
            database.set_config(text.as_bytes(), version, wall_now());
        }
    }

    pub(super) fn stop_serving(&mut self) -> Result<(), NodeError> {
        self.flush()?;
        self.serving = false;
        self.status_is_stale = true;
        self.service.stop_serving();
        if let Some(peers) = &self.peers {
            peers.learners.set_leading(false);
        }
        self.link = None;
        self.proposed.clear();
        self.preparer.reset();
        self.forget_sessions();
        self.report();
        Ok(())
    }

    fn truncate(&mut self, to: Zxid, reload: bool) -> Result<(), NodeError> {
        self.flush()?;
        warn!(%to, reload, "cutting the log: the leader does not have what is behind");
        let (snapshots, log) = (&self.snapshots, &mut self.log);
        let cut = long(&self.service, || {
            snapshots.forget_behind(to)?;
            log.truncate(to)
        });
        match cut {
            Ok(()) => {}
            Err(NodeError::Storage(StorageError::CantTruncate { .. })) => {
                warn!(%to, "this disk can't be taken back so far; the whole tree is asked for");
                self.counts_as_empty = true;
                return self.step(Input::HistoryUnusable);
            }
            Err(error) => return Err(error),
        }
        if reload {
            let database = long(&self.service, || self.disk.recover())?.database;
            if database.last_processed() > to {
                return Err(NodeError::CutTooFar {
                    to,
                    at: database.last_processed(),
                });
            }
            self.service.replace_database(database);
        }
        Ok(())
    }

    fn install_snapshot(&mut self, zxid: Zxid) -> Result<(), NodeError> {
        self.flush()?;
        let Some(mut database) = self.incoming.take() else {
            return Err(NodeError::NoTree { zxid });
        };
        database.set_last_processed(zxid);
        info!(%zxid, nodes = database.tree.node_count(), "taking over the leader's tree");
        let (snapshots, log, tree) = (&self.snapshots, &mut self.log, database.freeze());
        long(&self.service, || {
            snapshots.write_now(zxid, &tree)?;
            log.continue_behind(zxid)?;
            snapshots.forget_newer(zxid)
        })?;
        self.service.replace_database(*database);
        self.counts_as_empty = false;
        Ok(())
    }

    fn send_snapshot(&mut self, conn: LearnerConn, zxid: Zxid) -> Result<(), NodeError> {
        self.flush()?;
        info!(conn = conn.0, %zxid, "sending a learner the whole tree");
        let frozen = Box::new(self.service.database.read().freeze());
        if let Some(peers) = &self.peers {
            peers
                .learners
                .send(conn, ToLearner::Snapshot { zxid, frozen });
        }
        Ok(())
    }
}
