//! Fast leader election. Source: `FastLeaderElection.java` lookForLeader.
//!
//! Every voter proposes the best vote that it has seen, in rounds; a vote that a quorum shares,
//! and that nobody betters for a short while, wins. Who comes late learns the leader from those
//! that follow it already.

use super::{Core, NowMs, Output};
use crate::ids::{Epoch, ServerId, Zxid};
use std::collections::{BTreeMap, BTreeSet};

/// How long a vote shared by a quorum waits for a better one, in milliseconds.
/// Source: `FastLeaderElection.java` finalizeWait.
const FINALIZE_WAIT_MS: u64 = 200;
/// How long until notifications are sent again, doubling each time.
/// Source: `FastLeaderElection.java` minNotificationInterval.
const RESEND_MIN_MS: u64 = 200;
/// The longest such wait. Java's is 60 s; a member that hears nothing costs next to nothing to
/// ask again, and a lost first message must not cost a minute.
const RESEND_MAX_MS: u64 = 2_000;
/// How long another member is helped to lead before we vote for ourselves again: it may have died,
/// or those that it needs may not know that it may lead.
const HELP_MS: u64 = 2_000;
/// Stands in the vote of a server that does not vote. Source: `FastLeaderElection.java` getInitId.
const NOBODY: ServerId = ServerId(i64::MIN);
/// The zxid in the vote of a disk that was never initialised; such votes are ignored.
const UNINITIALIZED: Zxid = Zxid(-1);

/// What a peer says that it is. Source: `QuorumPeer.java` ServerState.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// 0: without a leader.
    Looking,
    /// 1: a participant with a leader.
    Following,
    /// 2: the leader.
    Leading,
    /// 3: an observer with a leader.
    Observing,
}

/// Who should lead, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub leader: ServerId,
    /// The end of that server's log.
    pub zxid: Zxid,
    /// That server's current epoch.
    pub peer_epoch: Epoch,
    /// The round that the vote was cast in.
    pub round: i64,
}

impl Vote {
    /// Order of votes: epoch, then log, then server id. Source: totalOrderPredicate.
    fn rank(&self) -> (Epoch, Zxid, ServerId) {
        (self.peer_epoch, self.zxid, self.leader)
    }
}

/// A message of the election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What the sender is.
    pub state: PeerState,
    /// Its vote; the leader that it has where it does not look for one.
    pub vote: Vote,
    /// Its configuration as text; empty in legacy forms.
    pub config_text: String,
    /// One that has been proposed and that it does not know to be in force; empty where there is
    /// none, and from members of Apache's, which don't tell.
    pub proposed_text: String,
}

/// The election's memory; lives as long as the process, since rounds only go up.
pub(super) struct Election {
    /// Java's logicalclock.
    round: i64,
    /// The best vote seen, the one that we support.
    proposal: Vote,
    /// Votes of this round, ours among them.
    received: BTreeMap<ServerId, (Vote, PeerState)>,
    /// Votes of those that have a leader, of whatever round.
    settled: BTreeMap<ServerId, (Vote, PeerState)>,
    resend_at: NowMs,
    resend_ms: u64,
    /// When the proposal wins, where a quorum shares it.
    finalize_at: Option<NowMs>,
    /// The election's result, until it starts anew.
    winner: Option<ServerId>,
    /// The leader that we have lost, until it speaks again: its vote is not waited for.
    departed: Option<ServerId>,
    /// Until when our first vote is another's.
    helps_until: Option<NowMs>,
    /// Voters that look for a leader in a later round than the one that we won.
    moved_on: BTreeSet<ServerId>,
    /// Votes of those that noticed the loss of a leader before we did; they don't repeat them soon.
    early: BTreeMap<ServerId, (NowMs, Notification)>,
}

/// How a round begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// Nothing is known but our own log.
    Anew,
    /// This leader has been lost.
    Without(ServerId),
    /// We have led, or could not, and help another one to lead.
    For(Candidate),
}

/// A member that could lead, and by what; in the order in which votes prefer them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// The epoch that its history vouches for.
    pub(super) epoch: Epoch,
    /// The end of its log.
    pub(super) zxid: Zxid,
    /// Who.
    pub(super) id: ServerId,
}

impl Election {
    pub(super) fn new() -> Self {
        Election {
            round: 0,
            proposal: Vote {
                leader: NOBODY,
                zxid: UNINITIALIZED,
                peer_epoch: Epoch(-1),
                round: 0,
            },
            received: BTreeMap::new(),
            settled: BTreeMap::new(),
            resend_at: NowMs(0),
            resend_ms: RESEND_MIN_MS,
            finalize_at: None,
            winner: None,
            departed: None,
            helps_until: None,
            moved_on: BTreeSet::new(),
            early: BTreeMap::new(),
        }
    }

    /// Begins a new round, with our own log as the vote but where we have handed over.
    pub(super) fn start(&mut self, core: &Core, now: NowMs, begin: Begin, out: &mut Vec<Output>) {
        self.departed = match begin {
            Begin::Without(departed) => Some(departed),
            Begin::Anew | Begin::For(..) => None,
        };
        self.moved_on.clear();
        self.round = self.round.saturating_add(1);
        self.winner = None;
        self.settled.clear();
        self.resend_ms = RESEND_MIN_MS;
        let mut vote = initial_vote(core, self.round);
        self.helps_until = None;
        if let Begin::For(Candidate { epoch, zxid, id }) = begin {
            (vote.leader, vote.zxid, vote.peer_epoch) = (id, zxid, epoch);
            self.helps_until = Some(now.plus(HELP_MS));
        }
        self.begin_round(core, now, vote, out);
        for (from, (at, notification)) in std::mem::take(&mut self.early) {
            // Who still looks has repeated an older one.
            if now <= at.plus(RESEND_MIN_MS) && notification.vote.round >= self.round {
                self.receive(core, now, from, notification, out);
            }
        }
    }

    fn begin_round(&mut self, core: &Core, now: NowMs, vote: Vote, out: &mut Vec<Output>) {
        self.received.clear();
        self.support(core, now, vote, out);
    }

    /// Makes `vote` ours and tells everybody.
    fn support(&mut self, core: &Core, now: NowMs, vote: Vote, out: &mut Vec<Output>) {
        self.proposal = vote;
        self.finalize_at = None;
        self.received
            .insert(core.settings.me, (vote, PeerState::Looking));
        self.notify_all(core, now, out);
        self.count(core, now);
    }

    fn notify_all(&mut self, core: &Core, now: NowMs, out: &mut Vec<Output>) {
        self.resend_at = now.plus(self.resend_ms);
        for to in core.configs.electors() {
            if to != core.settings.me {
                out.push(Output::Notify {
                    to,
                    notification: self.current(core, PeerState::Looking),
                });
            }
        }
    }

    fn current(&self, core: &Core, state: PeerState) -> Notification {
        Notification {
            state,
            vote: self.proposal,
            config_text: core.configs.active().text.clone(),
            proposed_text: core
                .configs
                .seen()
                .map_or_else(String::new, |seen| seen.text.clone()),
        }
    }

    /// A reconfiguration has named the leader; who asks is told. Source: `QuorumPeer.java` updateVote.
    pub(super) fn appoint(&mut self, core: &Core, leader: ServerId) {
        self.moved_on.clear();
        self.departed = None;
        self.proposal = Vote {
            leader,
            zxid: core.history.end(),
            peer_epoch: core.current_epoch,
            round: self.round,
        };
        self.winner = Some(leader);
    }

    /// A notification while we look.
    pub(super) fn receive(
        &mut self,
        core: &Core,
        now: NowMs,
        from: ServerId,
        notification: Notification,
        out: &mut Vec<Output>,
    ) {
        let configs = &core.configs;
        if self.departed == Some(from) {
            self.departed = None;
        }
        if !configs.is_voter(from) {
            // An observer that asks has no vote, but wants to know ours. One that has a leader is
            // not answered, as Java does: it would answer that, and so on without a pause. So would
            // one that looks, where neither of us has anything to tell.
            let tells = self.proposal.leader != NOBODY || lags_behind(core, &notification);
            if notification.state == PeerState::Looking && tells {
                out.push(Output::Notify {
                    to: from,
                    notification: self.current(core, PeerState::Looking),
                });
            }
            return;
        }
        let vote = notification.vote;
        match notification.state {
            PeerState::Looking => {
                // Who has no vote of its own goes along with any round: one that is about to get a
                // vote may be needed, and who looks in an earlier round does not hear of ours.
                let goes_along = self.proposal.leader == NOBODY;
                let lags = vote.round < self.round && !goes_along;
                if lags {
                    out.push(Output::Notify {
                        to: from,
                        notification: self.current(core, PeerState::Looking),
                    });
                }
                // A disk that was never initialised neither votes nor is voted for.
                let may_lead = configs.may_lead(vote.leader)
                    || configs.may_lead_as_heard(vote.leader)
                    || vouches(core, from, vote.leader);
                if lags || !may_lead || vote.zxid == UNINITIALIZED || is_uninitialized_voter(core) {
                    return;
                }
                if vote.round > self.round || (goes_along && vote.round != self.round) {
                    self.round = vote.round;
                    let own = initial_vote(core, self.round);
                    let best = if vote.rank() > own.rank() { vote } else { own };
                    self.begin_round(core, now, best, out);
                } else if vote.rank() > self.proposal.rank() {
                    self.support(core, now, vote, out);
                }
                self.received.insert(from, (vote, PeerState::Looking));
                self.count(core, now);
            }
            PeerState::Following | PeerState::Leading => {
                if !configs.is_voter(vote.leader) {
                    return;
                }
                let state = notification.state;
                if vote.round == self.round {
                    self.received.insert(from, (vote, state));
                    if self.joins(core, &self.received, &vote) {
                        self.join(vote);
                        return;
                    }
                    // Who follows that one already voted for it in this round, as the one that is
                    // about to lead may have to hear from us first.
                    self.count(core, now);
                }
                self.settled.insert(from, (vote, state));
                if self.joins(core, &self.settled, &vote) {
                    self.round = vote.round;
                    self.join(vote);
                }
            }
            PeerState::Observing => {}
        }
    }

    /// Whether a quorum follows the leader of `vote` and that leader says so itself; else peers
    /// would go on electing one that has crashed. Source: checkLeader.
    fn joins(
        &self,
        core: &Core,
        votes: &BTreeMap<ServerId, (Vote, PeerState)>,
        vote: &Vote,
    ) -> bool {
        let follows = |id| {
            votes.get(&id).is_some_and(|(other, state)| {
                // Members that have a leader agree by leader and epoch alone (ZOOKEEPER-1805);
                // those that look must share the vote.
                if *state == PeerState::Looking {
                    other == vote
                } else {
                    other.leader == vote.leader && other.peer_epoch == vote.peer_epoch
                }
            })
        };
        let leads = if vote.leader == core.settings.me {
            // Whoever still follows us followed a log that this disk may have lost.
            vote.round == self.round && !is_uninitialized_voter(core)
        } else {
            votes
                .get(&vote.leader)
                .is_some_and(|(_, state)| *state == PeerState::Leading)
        };
        // By the configuration in force alone: who has a proposed one in a tail that this leader does
        // not have would never be led to it by the quorum of both.
        leads && core.configs.active().membership.is_quorum_of(follows)
    }

    fn join(&mut self, vote: Vote) {
        self.proposal = vote;
        self.winner = Some(vote.leader);
    }

    /// Counts the votes for our proposal.
    fn count(&mut self, core: &Core, now: NowMs) {
        let configs = &core.configs;
        let supports = |id| {
            let vote = self.received.get(&id);
            vote.is_some_and(|(vote, _)| *vote == self.proposal)
        };
        if self.proposal.leader == NOBODY || self.proposal.zxid == UNINITIALIZED {
            return;
        }
        let quorum = configs.is_quorum_of(supports);
        let is_settled = |id: &ServerId| supports(*id) || self.departed == Some(*id);
        if quorum && configs.voters().iter().all(is_settled) {
            // Nobody is left who could know a better one; who has just lost its quorum is not
            // waited for.
            self.finalize_at = Some(now);
        } else if quorum {
            self.finalize_at.get_or_insert(now.plus(FINALIZE_WAIT_MS));
        } else {
            self.finalize_at = None;
        }
    }

    pub(super) fn tick(&mut self, core: &Core, now: NowMs, out: &mut Vec<Output>) {
        let undecided = self.finalize_at.is_none() && self.winner.is_none();
        if undecided && self.helps_until.is_some_and(|until| now >= until) {
            self.start(core, now, Begin::Anew, out);
        }
        if now >= self.resend_at && self.finalize_at.is_none() {
            self.resend_ms = (self.resend_ms * 2).min(RESEND_MAX_MS);
            self.notify_all(core, now, out);
        }
    }

    pub(super) fn next_deadline(&self) -> NowMs {
        let resend_at = self
            .helps_until
            .map_or(self.resend_at, |until| until.min(self.resend_at));
        self.finalize_at.unwrap_or(resend_at)
    }

    /// The winner, once there is one.
    pub(super) fn decided(&mut self, now: NowMs) -> Option<ServerId> {
        if self.winner.is_none() && self.finalize_at.is_some_and(|at| now >= at) {
            self.winner = Some(self.proposal.leader);
        }
        self.winner
    }

    /// Whether too few are left for a quorum of those that took part in the round that we won, as
    /// they look for a leader in later rounds: waiting for them would only take time.
    pub(super) fn is_abandoned(
        &mut self,
        core: &Core,
        from: ServerId,
        notification: &Notification,
    ) -> bool {
        let configs = &core.configs;
        if !configs.is_voter(from) {
            return false;
        }
        if self.looks_later(notification) {
            self.moved_on.insert(from);
        } else {
            self.moved_on.remove(&from);
        }
        !configs.is_quorum_of(|id| !self.moved_on.contains(&id))
    }

    /// Whether the sender looks for a leader in a later round than ours.
    pub(super) fn looks_later(&self, notification: &Notification) -> bool {
        notification.state == PeerState::Looking && notification.vote.round > self.round
    }

    /// Keeps a vote for the round that we are about to begin.
    pub(super) fn note_early(&mut self, now: NowMs, from: ServerId, notification: Notification) {
        self.early.insert(from, (now, notification));
    }

    /// A notification while we have a leader: who looks for one is told.
    #[allow(clippy::too_many_arguments)] // What is known of a message, and of us.
    pub(super) fn answer(
        &mut self,
        core: &Core,
        now: NowMs,
        state: PeerState,
        from: ServerId,
        notification: &Notification,
        out: &mut Vec<Output>,
    ) {
        if notification.state == PeerState::Looking && core.configs.is_voter(from) {
            self.early.insert(from, (now, notification.clone()));
        } else {
            self.early.remove(&from);
        }
        if notification.state == PeerState::Looking {
            out.push(Output::Notify {
                to: from,
                notification: self.current(core, state),
            });
        }
    }

    /// All members of an ensemble must report the same vote to those that come late
    /// (ZOOKEEPER-1732): the epoch is the new leader's. Source: `QuorumPeer.java`
    /// updateElectionVote.
    pub(super) fn settle_epoch(&mut self, epoch: Epoch) {
        self.proposal.peer_epoch = epoch;
    }
}

/// By the configuration in force alone: who is about to be added has no vote yet. Source:
/// `FastLeaderElection.java` getInitId.
fn votes(core: &Core) -> bool {
    let membership = &core.configs.active().membership;
    membership.is_voter(core.settings.me)
}

/// Whether a voter's choice is ours, though we don't know that it may lead: we have no vote, and may
/// have missed the configuration that gives one to it, and to us. That we ourselves may not, we know.
fn vouches(core: &Core, from: ServerId, choice: ServerId) -> bool {
    let me = core.settings.me;
    let is_voter = |id| core.configs.active().membership.is_voter(id);
    is_voter(from) && !core.configs.is_voter(me) && choice != me
}

/// Whether the sender lives by an older configuration than we do.
fn lags_behind(core: &Core, notification: &Notification) -> bool {
    (core.settings.codec.of_text)(&notification.config_text)
        .is_some_and(|theirs| theirs.version < core.configs.active().version)
}

fn is_uninitialized_voter(core: &Core) -> bool {
    votes(core) && core.history.last_logged().is_none()
}

fn initial_vote(core: &Core, round: i64) -> Vote {
    if votes(core) {
        Vote {
            leader: core.settings.me,
            zxid: core.history.last_logged().unwrap_or(UNINITIALIZED),
            peer_epoch: core.history_epoch(),
            round,
        }
    } else {
        Vote {
            leader: NOBODY,
            zxid: Zxid(i64::MIN),
            peer_epoch: Epoch(i64::MIN),
            round,
        }
    }
}
