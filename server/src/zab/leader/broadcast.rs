//! Broadcast: proposals out, acknowledgements in, commits out, in order.
//! Source: `Leader.java` propose, processAck, tryToCommit.

use super::{Leader, Progress};
use crate::ids::{ServerId, Zxid};
use crate::zab::history::Entry;
use crate::zab::learners::Stage;
use crate::zab::membership::Role;
use crate::zab::message::LeaderMessage;
use crate::zab::{Core, LearnerConn, Next, NowMs, Output};

impl Leader {
    pub(super) fn acked(
        &mut self,
        core: &mut Core,
        now: NowMs,
        conn: LearnerConn,
        zxid: Zxid,
        out: &mut Vec<Output>,
    ) -> Next {
        if zxid > self.last_proposed.max(self.epoch.start()) {
            return self.drop_learner(conn, "it acknowledged what nobody proposed", out);
        }
        let Some(learner) = self.learners.get_mut(conn) else {
            return Next::Stay;
        };
        match learner.stage {
            Stage::AwaitingNewLeaderAck { sent } if zxid == self.epoch.start() => {
                learner.stage = Stage::Synced;
                learner.acked = learner.acked.max(sent);
                // By what it is to be, though it may learn as an observer until then.
                if core.configs.is_voter(learner.id) {
                    self.following.insert(learner.id);
                }
                if self.is_broadcasting() {
                    out.push(Output::ToLearner {
                        conn,
                        message: LeaderMessage::UpToDate,
                    });
                }
                self.advance(core, now, out)
            }
            Stage::Synced => {
                // The second acknowledgement of the epoch answers UPTODATE and says nothing new.
                if zxid.counter() != 0 {
                    learner.acked = learner.acked.max(zxid);
                    learner.unacked_since = match learner.unacked_since {
                        Some((first, _)) if first <= zxid => core
                            .history
                            .pending()
                            .iter()
                            .find(|entry| entry.zxid > zxid)
                            .map(|entry| (entry.zxid, now)),
                        waiting => waiting,
                    };
                    return self.commit(core, out);
                }
                Next::Stay
            }
            _ => self.drop_learner(conn, "it acknowledged out of turn", out),
        }
    }

    pub(in crate::zab) fn propose(
        &mut self,
        core: &mut Core,
        now: NowMs,
        entry: Entry,
        out: &mut Vec<Output>,
    ) -> Next {
        if !self.is_serving() {
            return Next::Stay;
        }
        if self.next_zxid() != Some(entry.zxid) {
            return Next::Look(format!(
                "the proposal {} does not follow {}: the epoch's counter is used up",
                entry.zxid, self.last_proposed
            ));
        }
        self.last_proposed = entry.zxid;
        if let Some(config) = core.config_of_proposal(&entry.payload) {
            core.see(config, out);
        }
        core.history.append(entry.clone());
        for (conn, learner) in self.learners.iter_mut() {
            if learner.role == Role::Participant && learner.stage.follows() {
                learner.unacked_since.get_or_insert((entry.zxid, now));
                out.push(Output::ToLearner {
                    conn,
                    message: LeaderMessage::Proposal {
                        zxid: entry.zxid,
                        payload: entry.payload.clone(),
                    },
                });
            }
        }
        // Behind the sends: our disk and theirs work at the same time.
        out.push(Output::Append(entry));
        Next::Stay
    }

    /// Our log became durable further: that may complete NEWLEADER's quorum or a proposal's.
    pub(in crate::zab) fn persisted(
        &mut self,
        core: &mut Core,
        now: NowMs,
        out: &mut Vec<Output>,
    ) -> Next {
        if self.progress == Progress::Synchronization
            && !self.following.contains(&core.settings.me)
            && core.history.is_durable()
        {
            self.enter_synchronization(core, now, out);
            return self.advance(core, now, out);
        }
        self.commit(core, out)
    }

    /// Commits, in order, every proposal that is durable on a quorum.
    pub(super) fn commit(&mut self, core: &mut Core, out: &mut Vec<Output>) -> Next {
        if !self.is_broadcasting() {
            return Next::Stay;
        }
        let mut limit = self.durable_on_quorums(core);
        while let Some(zxid) = core.history.pending().front().map(|entry| entry.zxid) {
            if !limit.allows(core, zxid) {
                break;
            }
            let Some(entry) = core.history.commit_next() else {
                break;
            };
            let seen = core.configs.seen().filter(|seen| seen.version == zxid);
            let Some(config) = seen.cloned() else {
                self.announce(&entry, None, out);
                out.push(Output::Deliver(entry));
                continue;
            };
            let leader = core.designated_leader(&config, self.synced_followers());
            self.announce(&entry, Some(leader), out);
            out.push(Output::Deliver(entry));
            core.activate(config, out);
            if leader != core.settings.me {
                return Next::Follow(leader, "the reconfiguration names another leader");
            }
            limit = self.durable_on_quorums(core);
        }
        let idle = core.history.pending().is_empty();
        if idle
            && self.retires_at.is_some()
            && let next @ Next::Resign(..) = self.resign(core)
        {
            return next;
        }
        if idle && self.last_proposed.counter() >= self.counter_max {
            // All is committed, and nothing can follow in this epoch (ZOOKEEPER-1277).
            return Next::Look("the epoch's counter is used up".into());
        }
        Next::Stay
    }

    /// Tells the learners of a commit; of a reconfiguration's with the `leader` that it names.
    fn announce(&self, entry: &Entry, leader: Option<ServerId>, out: &mut Vec<Output>) {
        let zxid = entry.zxid;
        for (conn, learner) in self.learners.iter() {
            if !learner.stage.follows() {
                continue;
            }
            let payload = || entry.payload.clone();
            let message = match (learner.role, leader) {
                (Role::Participant, None) => LeaderMessage::Commit { zxid },
                (Role::Participant, Some(leader)) => {
                    LeaderMessage::CommitAndActivate { zxid, leader }
                }
                (Role::Observer, None) => LeaderMessage::Inform {
                    zxid,
                    payload: payload(),
                },
                (Role::Observer, Some(leader)) => LeaderMessage::InformAndActivate {
                    zxid,
                    payload: payload(),
                    leader,
                },
            };
            out.push(Output::ToLearner { conn, message });
        }
    }

    /// Up to where proposals are durable on quorums.
    fn durable_on_quorums(&self, core: &Core) -> Durable {
        let learners = self.learners.values();
        let followers = learners.filter(|learner| learner.role == Role::Participant);
        let followers = followers.map(|learner| (learner.id, learner.acked));
        let durable = followers.chain([(core.settings.me, core.history.durable())]);
        let has = |id, at| {
            durable
                .clone()
                .any(|(other, zxid)| other == id && zxid >= at)
        };
        // The furthest of their positions that a quorum has. What is committed is of no interest.
        let furthest = |a_quorum_has: &dyn Fn(Zxid) -> bool| {
            let positions = durable.clone().map(|(_, zxid)| zxid);
            positions.fold(core.history.committed(), |furthest, at| {
                if at > furthest && a_quorum_has(at) {
                    at
                } else {
                    furthest
                }
            })
        };
        let active = &core.configs.active().membership;
        let in_force = furthest(&|at| active.is_quorum_of(|id| has(id, at)));
        let of_both = match core.configs.seen() {
            Some(_) => furthest(&|at| core.configs.is_quorum_of(|id| has(id, at))),
            None => in_force,
        };
        Durable { in_force, of_both }
    }
}

/// Up to where proposals are durable.
struct Durable {
    /// On a quorum of the configuration in force.
    in_force: Zxid,
    /// On one of the proposed configuration too.
    of_both: Zxid,
}

impl Durable {
    /// Whether the proposal at `zxid` may be committed: a reconfiguration, and what comes behind it,
    /// needs both quorums. Source: `Leader.java` propose and tryToCommit.
    fn allows(&self, core: &Core, zxid: Zxid) -> bool {
        match core.configs.seen() {
            Some(seen) if seen.version <= zxid => self.of_both >= zxid,
            _ => self.in_force >= zxid,
        }
    }
}
