//! Learning: agree to the leader's epoch, take over its history, then follow.
//! Source: `Learner.java` registerWithLeader and syncWithLeader, `Follower.java`, `Observer.java`.

use super::config::Config;
use super::history::Entry;
use super::hosting::{Hosting, NOT_LEADING};
use super::membership::Role;
use super::message::{LeaderMessage, LearnerMessage};
use super::{Core, LearnerConn, Next, NowMs, Output};
use crate::ids::{Epoch, ServerId, Zxid};
use std::collections::VecDeque;
use std::sync::Arc;

const ROLE_CHANGED: &str = "the reconfiguration gives us another role";

/// How far the handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The connection is being made.
    Connecting,
    /// FOLLOWERINFO has gone out.
    AwaitingEpoch,
    /// ACKEPOCH has gone out.
    AwaitingSync,
    /// DIFF, TRUNC or SNAP has come; transactions follow.
    Syncing,
    /// NEWLEADER has come; our log is not durable yet.
    Persisting,
    /// NEWLEADER has been acknowledged.
    AwaitingUpToDate,
    /// A quorum follows, and we serve.
    Serving,
}

pub(super) struct Learner {
    leader: ServerId,
    role: Role,
    stage: Stage,
    epoch: Epoch,
    /// Proposals not acknowledged yet, oldest first. A committed one is acknowledged all the same:
    /// the leader takes a member that does not for stuck.
    unacked: VecDeque<Zxid>,
    /// The position of the tree that this leader sent, until its proposals have come past it. A Java
    /// leader takes the tree after it has queued proposals, so that the first ones may be in it.
    snapshot_end: Option<Zxid>,
    /// The configuration that came with NEWLEADER, in force with UPTODATE.
    established: Option<Arc<Config>>,
    /// Observers that learn from us.
    hosting: Hosting,
    last_heard: NowMs,
}

impl Learner {
    pub(super) fn new(core: &Core, leader: ServerId, now: NowMs) -> Self {
        Learner {
            leader,
            role: core.configs.role(core.settings.me),
            stage: Stage::Connecting,
            epoch: core.accepted_epoch,
            unacked: VecDeque::new(),
            snapshot_end: None,
            established: None,
            hosting: Hosting::default(),
            last_heard: now,
        }
    }

    pub(super) fn leader(&self) -> ServerId {
        self.leader
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    pub(super) fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    pub(super) fn heard(&mut self, now: NowMs) {
        self.last_heard = now;
    }

    pub(super) fn hosting(&self) -> &Hosting {
        &self.hosting
    }

    pub(super) fn hosting_mut(&mut self) -> &mut Hosting {
        &mut self.hosting
    }

    /// An observer's message to us.
    pub(super) fn host(
        &mut self,
        core: &Core,
        now: NowMs,
        conn: LearnerConn,
        message: LearnerMessage,
        out: &mut Vec<Output>,
    ) {
        if self.is_serving() && self.role == Role::Participant {
            self.hosting.receive(core, now, conn, message, out);
        } else {
            out.push(Output::CloseLearner {
                conn,
                reason: NOT_LEADING,
            });
        }
    }

    fn patience_ms(&self, core: &Core) -> u64 {
        match self.stage {
            Stage::Serving | Stage::AwaitingUpToDate => core.settings.sync_ms(),
            _ => core.settings.init_ms(),
        }
    }

    pub(super) fn next_deadline(&self, core: &Core) -> NowMs {
        let own = self.last_heard.plus(self.patience_ms(core) + 1);
        self.hosting
            .next_deadline()
            .map_or(own, |ping| ping.min(own))
    }

    pub(super) fn tick(&mut self, core: &Core, now: NowMs, out: &mut Vec<Output>) -> Next {
        self.hosting.tick(core, now, out);
        let limit_ms = self.patience_ms(core);
        if now > self.last_heard.plus(limit_ms) {
            Next::Look(format!(
                "nothing heard from leader {} for {limit_ms} ms ({:?})",
                self.leader, self.stage
            ))
        } else {
            Next::Stay
        }
    }

    pub(super) fn connected(&mut self, core: &Core, now: NowMs, out: &mut Vec<Output>) -> Next {
        if self.stage != Stage::Connecting {
            return Next::Stay;
        }
        self.last_heard = now;
        self.stage = Stage::AwaitingEpoch;
        out.push(Output::ToLeader(LearnerMessage::Info {
            id: core.settings.me,
            role: self.role,
            accepted_epoch: core.accepted_epoch,
            config_version: core.configs.active().version.0,
        }));
        Next::Stay
    }

    pub(super) fn receive(
        &mut self,
        core: &mut Core,
        now: NowMs,
        message: LeaderMessage,
        out: &mut Vec<Output>,
    ) -> Next {
        self.last_heard = now;
        match (self.stage, message) {
            (Stage::AwaitingEpoch, LeaderMessage::Info { epoch }) => self.agree(core, epoch, out),
            (Stage::AwaitingSync, LeaderMessage::Diff { .. }) => {
                // The leader has found the end of our log in its own history: what we logged
                // without hearing of its commit is committed.
                deliver_pending(core, out);
                self.stage = Stage::Syncing;
                Next::Stay
            }
            (Stage::AwaitingSync, LeaderMessage::Trunc { zxid })
                if !core.history.can_truncate(zxid) =>
            {
                self.ask_for_tree(core, out);
                Next::Stay
            }
            (Stage::AwaitingSync, LeaderMessage::Trunc { zxid }) => {
                let reload = core.history.truncate(zxid);
                core.forget_seen_behind(zxid, out);
                out.push(Output::Truncate { to: zxid, reload });
                deliver_pending(core, out);
                self.stage = Stage::Syncing;
                Next::Stay
            }
            (Stage::AwaitingSync, LeaderMessage::Snap { zxid }) => {
                core.history.reset(zxid);
                core.wants_snapshot = false;
                self.snapshot_end = Some(zxid);
                out.push(Output::InstallSnapshot { zxid });
                self.stage = Stage::Syncing;
                Next::Stay
            }
            (
                Stage::Syncing | Stage::Persisting | Stage::AwaitingUpToDate | Stage::Serving,
                message,
            ) => self.follow(core, message, out),
            (stage, message) => Next::Look(format!(
                "leader {} sent {message:?} while {stage:?}",
                self.leader
            )),
        }
    }

    /// Connects anew to the same leader, so that what it counted our first answer for stays counted:
    /// without that, it might have no quorum.
    pub(super) fn ask_for_tree(&mut self, core: &mut Core, out: &mut Vec<Output>) {
        core.wants_snapshot = true;
        self.stage = Stage::Connecting;
        out.push(Output::ConnectToLeader {
            leader: self.leader,
        });
    }

    fn agree(&mut self, core: &mut Core, epoch: Epoch, out: &mut Vec<Output>) -> Next {
        if epoch < core.accepted_epoch {
            return Next::Look(format!(
                "leader {} proposes epoch {epoch}, but we agreed to {}",
                self.leader, core.accepted_epoch
            ));
        }
        // Agreed to before: this answer must not count as a second vote for the epoch.
        let current_epoch = (epoch > core.accepted_epoch).then_some(core.history_epoch());
        if epoch > core.accepted_epoch {
            core.accept_epoch(epoch, out);
        }
        self.epoch = epoch;
        self.stage = Stage::AwaitingSync;
        // Only where our true answer has been counted before: who has no log is given everything.
        let pretends = core.wants_snapshot && current_epoch.is_none();
        let last_logged = core.history.last_logged().filter(|_| !pretends);
        out.push(Output::ToLeader(LearnerMessage::AckEpoch {
            last_logged,
            current_epoch,
        }));
        Next::Stay
    }

    fn follow(&mut self, core: &mut Core, message: LeaderMessage, out: &mut Vec<Output>) -> Next {
        match message {
            LeaderMessage::Proposal { zxid, payload } => {
                self.append(core, Entry { zxid, payload }, out)
            }
            LeaderMessage::Inform { zxid, payload } => {
                let next = self.append(core, Entry { zxid, payload }, out);
                if matches!(next, Next::Stay) {
                    deliver_pending(core, out);
                }
                next
            }
            LeaderMessage::Commit { zxid } => match self.commit(core, zxid, out) {
                Ok(Some(entry)) => {
                    self.hosting.committed(core, &entry, None, out);
                    Next::Stay
                }
                Ok(None) => Next::Stay,
                Err(next) => next,
            },
            LeaderMessage::CommitAndActivate { zxid, leader } => {
                self.commit_and_activate(core, zxid, leader, out)
            }
            LeaderMessage::InformAndActivate {
                zxid,
                payload,
                leader,
            } => match self.append(core, Entry { zxid, payload }, out) {
                Next::Stay => self.commit_and_activate(core, zxid, leader, out),
                next => next,
            },
            LeaderMessage::NewLeader { zxid, config_text } if self.stage == Stage::Syncing => {
                if zxid.epoch() != self.epoch {
                    return Next::Look(format!(
                        "leader {} proposed epoch {} and leads {}",
                        self.leader,
                        self.epoch,
                        zxid.epoch()
                    ));
                }
                self.take_config(core, &config_text, out);
                self.stage = Stage::Persisting;
                self.persisted(core, out);
                Next::Stay
            }
            LeaderMessage::UpToDate if self.stage == Stage::AwaitingUpToDate => {
                if let Some(config) = self.established.take()
                    && config.version > core.configs.active().version
                    && core.activate(config, out).role_changed
                {
                    return Next::Follow(self.leader, ROLE_CHANGED);
                }
                self.stage = Stage::Serving;
                out.push(Output::ToLeader(LearnerMessage::Ack {
                    zxid: self.epoch.start(),
                }));
                out.push(Output::Serve);
                self.persisted(core, out);
                Next::Stay
            }
            LeaderMessage::Ping { .. } => {
                out.push(Output::AnswerPing);
                Next::Stay
            }
            other => Next::Look(format!(
                "leader {} sent {other:?} while {:?}",
                self.leader, self.stage
            )),
        }
    }

    /// The newest configuration that the leader knows to be agreed on, or to be so with our
    /// acknowledgement. What we saw proposed and is not in its log is of an earlier leader, and lost.
    fn take_config(&mut self, core: &mut Core, text: &str, out: &mut Vec<Output>) {
        let pending = |version| {
            let mut pending = core.history.pending().iter();
            pending.any(|entry| entry.zxid == version)
        };
        let seen = core.configs.seen();
        let is_proposed = seen.is_some_and(|seen| pending(seen.version));
        // A transaction's that has not come: who observes gets it when it is committed.
        let end = core.history.end();
        let to_come = |version: Zxid| version.counter() > 0 && version > end;
        let told = core
            .newer_config_of(text)
            .filter(|config| !to_come(config.version));
        match told {
            // A Java leader's, proposed and not committed: COMMITANDACTIVATE says when.
            Some(config) if pending(config.version) => {}
            Some(config) => {
                let config = Arc::new(config);
                if !is_proposed && seen != Some(&config) {
                    core.see(Config::clone(&config), out);
                }
                self.established = Some(config);
            }
            None if is_proposed => {}
            None => core.forget_seen(out),
        }
    }

    /// Appends a proposal that goes on where the log ends, or begins a later epoch with its first
    /// one. A hole would be committed data lost (ZOOKEEPER-4925).
    fn append(&mut self, core: &mut Core, entry: Entry, out: &mut Vec<Output>) -> Next {
        if self.is_in_snapshot(entry.zxid) {
            return Next::Stay;
        }
        let end = core.history.end();
        let begins_epoch = entry.zxid.epoch() > end.epoch() && entry.zxid.counter() == 1;
        let continues = entry.zxid == end.next() || begins_epoch;
        if !continues {
            return Next::Look(format!(
                "leader {} sent proposal {}, but our log ends at {end}",
                self.leader, entry.zxid
            ));
        }
        if let Some(config) = core.config_of_proposal(&entry.payload) {
            core.see(config, out);
        }
        self.unacked.push_back(entry.zxid);
        core.history.append(entry.clone());
        out.push(Output::Append(entry));
        Next::Stay
    }

    fn is_in_snapshot(&self, zxid: Zxid) -> bool {
        self.snapshot_end.is_some_and(|end| zxid <= end)
    }

    /// Commits the next proposal and returns it; nothing where the tree that the leader sent has it.
    fn commit(
        &mut self,
        core: &mut Core,
        zxid: Zxid,
        out: &mut Vec<Output>,
    ) -> Result<Option<Entry>, Next> {
        if self.is_in_snapshot(zxid) {
            return Ok(None);
        }
        match core.history.pending().front().map(|entry| entry.zxid) {
            Some(head) if head == zxid => {
                let committed = core.history.commit_next();
                out.extend(committed.clone().map(Output::Deliver));
                Ok(committed)
            }
            head => Err(Next::Look(format!(
                "leader {} committed {zxid}, but our next proposal is {head:?}",
                self.leader
            ))),
        }
    }

    /// Commits a reconfiguration and lives by it: with another leader where it says so.
    /// Source: `Follower.java` processPacket, COMMITANDACTIVATE.
    fn commit_and_activate(
        &mut self,
        core: &mut Core,
        zxid: Zxid,
        leader: ServerId,
        out: &mut Vec<Output>,
    ) -> Next {
        let entry = match self.commit(core, zxid, out) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Next::Stay,
            Err(next) => return next,
        };
        let config = core.config_of_proposal(&entry.payload);
        let activated = config.map(|config| core.activate(Arc::new(config), out));
        self.hosting.committed(core, &entry, Some(leader), out);
        match activated {
            Some(_) if leader != self.leader => {
                Next::Follow(leader, "the reconfiguration names another leader")
            }
            Some(activated) if activated.role_changed => Next::Follow(leader, ROLE_CHANGED),
            _ => Next::Stay,
        }
    }

    /// Our log became durable further: acknowledge NEWLEADER or proposals. This is the one place
    /// where a learner acknowledges (ZOOKEEPER-3911, 4643, 4646, 4785).
    pub(super) fn persisted(&mut self, core: &mut Core, out: &mut Vec<Output>) {
        if self.stage == Stage::Persisting && core.history.is_durable() {
            core.enter_epoch(self.epoch, out);
            out.push(Output::ToLeader(LearnerMessage::Ack {
                zxid: self.epoch.start(),
            }));
            // What was committed before NEWLEADER is acknowledged with it; the leader counts the
            // rest one by one.
            let committed = core.history.committed();
            self.unacked.retain(|zxid| *zxid > committed);
            self.stage = Stage::AwaitingUpToDate;
        }
        if self.stage == Stage::Serving {
            let durable = core.history.durable();
            while let Some(zxid) = self.unacked.pop_front_if(|zxid| *zxid <= durable) {
                if self.role == Role::Participant {
                    out.push(Output::ToLeader(LearnerMessage::Ack { zxid }));
                }
            }
        }
    }
}

/// Commits and delivers all that is logged.
fn deliver_pending(core: &mut Core, out: &mut Vec<Output>) {
    while let Some(entry) = core.history.commit_next() {
        out.push(Output::Deliver(entry));
    }
}
