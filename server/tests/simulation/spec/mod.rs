//! The invariants of ZAB's published TLA+ specification, checked on every trace of the simulation.
//!
//! Sources: `zookeeper-specifications/protocol-spec/Zab.tla` and `system-spec/zk-3.7/ZkV3_7_0.tla`
//! in Apache ZooKeeper's repository; each invariant bears its name there. [`Spec`] holds the
//! specification's variables, told of every step that changes one of them. What a step changes is
//! checked at once and in next to no time: as long as all is well, everything committed anywhere
//! is a prefix of one history, and a new transaction is compared with its place there. Where it
//! differs, and now and then in any case, all of [`predicates`] is evaluated over the whole state.

mod predicates;
#[cfg(test)]
mod tests;

use super::disk::{Tree, Txn};
use crate::ids::Epoch;
use std::collections::BTreeMap;
use std::fmt;

/// What must never happen in a step. Source: `violatedInvariants`, checked by ShouldNotBeTriggered
/// in `Zab.tla` and CheckDuringAction in `ZkV3_7_0.tla`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Triggered {
    /// A handshake's message comes out of turn.
    StateInconsistent,
    /// A proposal goes on nowhere.
    ProposalInconsistent,
    /// A commit is not for the next proposal.
    CommitInconsistent,
    /// An acknowledgement is for nothing that was sent.
    AckInconsistent,
    /// A message reaches somebody of another role.
    MessageIllegal,
}

/// A server's variables.
#[derive(Clone, Debug, Default)]
struct Server {
    /// `currentEpoch`, of the role below.
    epoch: Epoch,
    /// It leads, in SYNCHRONIZATION or BROADCAST.
    leads: bool,
    /// Whom it follows.
    leader: Option<usize>,
    /// `zabState` is BROADCAST.
    broadcasts: bool,
    /// `history` up to `lastCommitted`.
    committed: Tree,
}

/// A line of `proposalMsgsLog`.
#[derive(Clone, Copy, Debug)]
struct Proposal {
    txn: Txn,
    /// What the same primary proposed before it in the same epoch.
    previous: Option<Txn>,
}

/// The specification's variables.
pub(crate) struct Spec {
    servers: Vec<Server>,
    /// By value.
    proposals: BTreeMap<u64, Proposal>,
    /// The last proposal of a primary in an epoch.
    last_proposal: BTreeMap<(usize, Epoch), Txn>,
    /// Who ever led an epoch.
    epoch_leader: BTreeMap<Epoch, Vec<usize>>,
    triggered: Option<Triggered>,
    /// The longest history that was ever committed anywhere.
    chosen: Tree,
    /// How often all of the predicates were evaluated.
    pub(crate) evaluations: u64,
}

/// The predicates that a state violates.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violated(pub(crate) Vec<&'static str>);

impl fmt::Display for Violated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "violates the specification's {}",
            self.0.join(" and its ")
        )
    }
}

/// Holds where nothing that was ever committed differs, though its servers be dead by now. The
/// specification's predicates look at one state; this looks back.
const OVER_TIME: &str = "PrefixConsistency over time";

impl Spec {
    pub(crate) fn new(servers: usize) -> Self {
        Spec {
            servers: vec![Server::default(); servers],
            proposals: BTreeMap::new(),
            last_proposal: BTreeMap::new(),
            epoch_leader: BTreeMap::new(),
            triggered: None,
            chosen: Tree::new(),
            evaluations: 0,
        }
    }

    /// How much has been committed.
    pub(crate) fn chosen_len(&self) -> usize {
        self.chosen.len()
    }

    /// LeaderBroadcastPROPOSE.
    pub(crate) fn proposes(&mut self, source: usize, txn: Txn) -> Result<(), Violated> {
        let previous = self.last_proposal.insert((source, txn.zxid.epoch()), txn);
        let first = previous.is_none();
        self.proposals.insert(txn.value, Proposal { txn, previous });
        // Everything of older epochs that a follower has delivered, the primary delivered before.
        if first {
            self.hold(Self::primary_integrity, "PrimaryIntegrity")?;
        }
        Ok(())
    }

    /// LeaderProcessACKEPOCH: SYNCHRONIZATION begins.
    pub(crate) fn elected(&mut self, who: usize, epoch: Epoch) -> Result<(), Violated> {
        let server = &mut self.servers[who];
        server.epoch = epoch;
        server.leads = true;
        server.leader = None;
        let leaders = self.epoch_leader.entry(epoch).or_default();
        if !leaders.contains(&who) {
            leaders.push(who);
        }
        self.hold(Self::leadership1, "Leadership1")?;
        self.hold(Self::leadership2, "Leadership2")
    }

    /// LeaderProcessACKLD and FollowerProcessCOMMITLD: BROADCAST begins, all of `tree` committed.
    pub(crate) fn serves(
        &mut self,
        who: usize,
        leader: Option<usize>,
        epoch: Epoch,
        tree: &Tree,
    ) -> Result<(), Violated> {
        let server = &mut self.servers[who];
        server.epoch = epoch;
        server.leads = leader.is_none();
        server.leader = leader;
        server.broadcasts = true;
        server.committed.clone_from(tree);
        let known = tree.len().min(self.chosen.len());
        if tree[..known] != self.chosen[..known] {
            return self.violated();
        }
        for place in known..tree.len() {
            self.goes_on(tree, place)?;
            self.chosen.push(tree[place]);
        }
        self.hold(Self::primary_integrity, "PrimaryIntegrity")
    }

    /// LeaderProcessACK and FollowerProcessCOMMIT: one more is committed.
    pub(crate) fn commits(&mut self, who: usize, txn: Txn) -> Result<(), Violated> {
        let server = &mut self.servers[who];
        if !server.broadcasts {
            return Ok(());
        }
        let place = server.committed.len();
        server.committed.push(txn);
        let old = txn.zxid.epoch() < server.epoch;
        match self.chosen.get(place) {
            Some(chosen) if *chosen == txn => {}
            Some(_) => return self.violated(),
            None if place == self.chosen.len() => {
                let committed = std::mem::take(&mut self.servers[who].committed);
                let outcome = self.goes_on(&committed, place);
                self.servers[who].committed = committed;
                outcome?;
                self.chosen.push(txn);
            }
            None => return self.violated(),
        }
        if old {
            self.hold(Self::primary_integrity, "PrimaryIntegrity")?;
        }
        Ok(())
    }

    /// A role ends; what is committed stays so.
    pub(crate) fn leaves(&mut self, who: usize) {
        let server = &mut self.servers[who];
        server.leads = false;
        server.leader = None;
        server.broadcasts = false;
    }

    /// Restart: nothing counts as committed until a leader says so.
    pub(crate) fn dies(&mut self, who: usize) {
        self.leaves(who);
        self.servers[who].committed.clear();
    }

    /// Something happened that never should.
    pub(crate) fn triggers(&mut self, what: Triggered) -> Result<(), Violated> {
        self.triggered = Some(what);
        self.violated()
    }

    /// Evaluates every predicate over the whole state.
    pub(crate) fn evaluate(&mut self) -> Result<(), Violated> {
        self.evaluations += 1;
        let violated = self.violations();
        if violated.is_empty() {
            Ok(())
        } else {
            Err(Violated(violated))
        }
    }

    /// What is new at `place` of a history that is the common one before it.
    fn goes_on(&self, history: &Tree, place: usize) -> Result<(), Violated> {
        let txn = history[place];
        let before = place.checked_sub(1).map(|last| history[last]);
        let mut violated = Vec::new();
        match self.proposals.get(&txn.value) {
            Some(proposal) if proposal.txn == txn => {
                let follows = |previous| history[..place].iter().rev().any(|txn| *txn == previous);
                if !proposal.previous.is_none_or(follows) {
                    violated.push("LocalPrimaryOrder");
                }
            }
            _ => violated.push("Integrity"),
        }
        if before.is_some_and(|before| before.zxid.epoch() > txn.zxid.epoch()) {
            violated.push("GlobalPrimaryOrder");
        }
        if violated.is_empty() {
            Ok(())
        } else {
            Err(Violated(violated))
        }
    }

    fn hold(&self, predicate: fn(&Self) -> bool, name: &'static str) -> Result<(), Violated> {
        if predicate(self) {
            Ok(())
        } else {
            Err(Violated(vec![name]))
        }
    }

    fn violated(&mut self) -> Result<(), Violated> {
        self.evaluate()?;
        Err(Violated(vec![OVER_TIME]))
    }
}
