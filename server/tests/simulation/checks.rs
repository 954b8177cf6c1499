//! What must hold whatever happens, checked after every step: what clients were promised, and the
//! specification's invariants.

use super::disk::{Tree, Txn};
use super::spec::{Spec, Triggered};
use crate::ids::{Epoch, Zxid};
use crate::zab::Entry;
use std::collections::BTreeMap;

/// A sentence that says what went wrong.
pub(crate) type Fault = String;

/// All that the ensemble's clients and an all-seeing eye know.
pub(crate) struct Checks {
    /// Every proposal ever made, by position.
    proposed: BTreeMap<Zxid, u64>,
    /// What clients have been told is done.
    pub(crate) acknowledged: Vec<Zxid>,
    /// Who served in an epoch, and with which history it began.
    established: BTreeMap<Epoch, (usize, Vec<Zxid>)>,
    /// What each member has said is durable on its disk, to the leader of which epoch.
    vouched: BTreeMap<(Epoch, usize), Zxid>,
    /// What each configuration that was ever in force says.
    in_force: BTreeMap<Zxid, String>,
    pub(crate) spec: Spec,
}

impl Checks {
    pub(crate) fn new(members: usize) -> Self {
        Checks {
            proposed: BTreeMap::new(),
            acknowledged: Vec::new(),
            established: BTreeMap::new(),
            vouched: BTreeMap::new(),
            in_force: BTreeMap::new(),
            spec: Spec::new(members),
        }
    }

    /// The disks that an ensemble starts with hold proposals of the past.
    pub(crate) fn knows(&mut self, txns: &[Txn]) {
        for txn in txns {
            self.proposed.insert(txn.zxid, txn.value);
            // No member of now made it.
            let past = usize::MAX;
            self.spec.proposes(past, *txn).expect("nobody serves yet");
        }
    }

    pub(crate) fn proposed(&mut self, who: usize, txn: Txn) -> Result<(), Fault> {
        if self.proposed.insert(txn.zxid, txn.value).is_some() {
            return Err(format!("{} was proposed twice", txn.zxid));
        }
        self.spec
            .proposes(who, txn)
            .map_err(|violated| format!("member {who} proposes {}: that {violated}", txn.zxid))
    }

    /// A leader has its quorum for an epoch, and brings it to its own history.
    pub(crate) fn elected(&mut self, who: usize, epoch: Epoch) -> Result<(), Fault> {
        self.spec
            .elected(who, epoch)
            .map_err(|violated| format!("member {who} leads epoch {epoch}: that {violated}"))
    }

    /// A leader begins to serve.
    pub(crate) fn leads(&mut self, who: usize, epoch: Epoch, tree: &Tree) -> Result<(), Fault> {
        let history = tree.iter().map(|txn| txn.zxid).collect::<Vec<_>>();
        for zxid in &self.acknowledged {
            if zxid.epoch() < epoch && history.binary_search(zxid).is_err() {
                return Err(format!(
                    "acknowledged {zxid} is lost: member {who} leads epoch {epoch} without it"
                ));
            }
        }
        match self.established.insert(epoch, (who, history)) {
            Some((other, _)) => Err(format!("epoch {epoch} has leaders {other} and {who}")),
            None => Ok(()),
        }
    }

    /// A client of the leader of `epoch` has its answer.
    pub(crate) fn acknowledged(&mut self, zxid: Zxid) -> Result<(), Fault> {
        for (epoch, (leader, history)) in self.established.range(zxid.epoch().next()..) {
            if history.binary_search(&zxid).is_err() {
                return Err(format!(
                    "{zxid} is acknowledged, but member {leader} leads epoch {epoch} without it"
                ));
            }
        }
        self.acknowledged.push(zxid);
        Ok(())
    }

    /// A member says to its leader of `epoch` that all up to `zxid` is durable.
    pub(crate) fn vouches(&mut self, who: usize, epoch: Epoch, zxid: Zxid) {
        let vouched = self.vouched.entry((epoch, who)).or_insert(zxid);
        *vouched = zxid.max(*vouched);
    }

    /// Who has said to the leader of the transaction's epoch that it is durable.
    pub(crate) fn vouchers(&self, zxid: Zxid) -> impl Iterator<Item = usize> {
        let epoch = zxid.epoch();
        let said = self.vouched.range((epoch, 0)..(epoch.next(), 0));
        said.filter(move |(_, vouched)| **vouched >= zxid)
            .map(|((_, who), _)| *who)
    }

    /// A configuration is in force at a member: the same at all. True where it is the first one.
    pub(crate) fn in_force(&mut self, version: Zxid, members: &str) -> Result<bool, Fault> {
        match self.in_force.get(&version) {
            Some(known) if known == members => Ok(false),
            Some(known) => Err(format!(
                "configuration {version} is {known:?} here and {members:?} there"
            )),
            None => {
                self.in_force.insert(version, members.to_owned());
                Ok(true)
            }
        }
    }

    /// An entry reaches a tree: nothing is invented, nothing comes twice or out of order.
    pub(crate) fn delivered(&self, tree: &Tree, entry: &Entry) -> Result<Txn, Fault> {
        if let Some(last) = tree.last()
            && entry.zxid <= last.zxid
        {
            return Err(format!("{} delivered behind {}", entry.zxid, last.zxid));
        }
        match Txn::of(entry) {
            Some(txn) if self.proposed.get(&txn.zxid) == Some(&txn.value) => Ok(txn),
            _ => Err(format!("{} was never proposed like this", entry.zxid)),
        }
    }

    /// A member that serves delivers one more.
    pub(crate) fn shows(&mut self, who: usize, txn: Txn) -> Result<(), Fault> {
        self.spec
            .commits(who, txn)
            .map_err(|violated| format!("member {who} commits {}: that {violated}", txn.zxid))
    }

    /// A member begins to serve what it has.
    pub(crate) fn serves(
        &mut self,
        who: usize,
        leader: Option<usize>,
        epoch: Epoch,
        tree: &Tree,
    ) -> Result<(), Fault> {
        self.spec
            .serves(who, leader, epoch, tree)
            .map_err(|violated| format!("member {who} serves in epoch {epoch}: that {violated}"))
    }

    /// A member does what none should.
    pub(crate) fn triggers(&mut self, who: usize, what: Triggered, why: &str) -> Result<(), Fault> {
        self.spec
            .triggers(what)
            .map_err(|violated| format!("member {who}, {what:?} ({why}): that {violated}"))
    }

    /// How many entries serving members have shown.
    pub(crate) fn chosen_len(&self) -> usize {
        self.spec.chosen_len()
    }
}
