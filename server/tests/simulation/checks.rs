//! What must hold whatever happens, checked after every step.

use super::disk::Tree;
use bytes::Bytes;
use std::collections::BTreeMap;
use zookeeper_server::ids::{Epoch, Zxid};
use zookeeper_server::zab::Entry;

/// A sentence that says what went wrong.
pub(crate) type Fault = String;

/// All that the ensemble's clients and an all-seeing eye know.
#[derive(Default)]
pub(crate) struct Checks {
    /// Every proposal ever made, by position.
    proposed: BTreeMap<Zxid, Bytes>,
    /// The history that serving members have shown; it only grows.
    chosen: Tree,
    /// What clients have been told is done.
    pub(crate) acknowledged: Vec<Zxid>,
    /// Who served in an epoch, and with which history it began.
    established: BTreeMap<Epoch, (usize, Vec<Zxid>)>,
}

impl Checks {
    /// The disks that an ensemble starts with hold proposals of the past.
    pub(crate) fn knows(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.proposed.insert(entry.zxid, entry.payload.clone());
        }
    }

    pub(crate) fn proposed(&mut self, entry: &Entry) -> Result<(), Fault> {
        match self.proposed.insert(entry.zxid, entry.payload.clone()) {
            Some(_) => Err(format!("{} was proposed twice", entry.zxid)),
            None => Ok(()),
        }
    }

    /// A leader begins to serve.
    pub(crate) fn leads(&mut self, who: usize, epoch: Epoch, tree: &Tree) -> Result<(), Fault> {
        let history = tree.iter().map(|entry| entry.zxid).collect::<Vec<_>>();
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

    /// An entry reached a tree: nothing is invented, nothing comes twice or out of order.
    pub(crate) fn delivered(&self, tree: &Tree, entry: &Entry) -> Result<(), Fault> {
        if let Some(last) = tree.last()
            && entry.zxid <= last.zxid
        {
            return Err(format!("{} delivered behind {}", entry.zxid, last.zxid));
        }
        match self.proposed.get(&entry.zxid) {
            Some(payload) if *payload == entry.payload => Ok(()),
            _ => Err(format!("{} was never proposed like this", entry.zxid)),
        }
    }

    /// What a serving member shows from `from` on agrees with what all others have shown.
    pub(crate) fn shows(&mut self, who: usize, tree: &Tree, from: usize) -> Result<(), Fault> {
        for (index, entry) in tree.iter().enumerate().skip(from) {
            match self.chosen.get(index) {
                Some(chosen) if chosen == entry => {}
                Some(chosen) => {
                    return Err(format!(
                        "member {who} shows {} at place {index}, others {}",
                        entry.zxid, chosen.zxid
                    ));
                }
                None if index == self.chosen.len() => self.chosen.push(entry.clone()),
                None => return Err(format!("member {who} shows a hole at place {index}")),
            }
        }
        Ok(())
    }

    /// How many entries serving members have shown.
    pub(crate) fn chosen_len(&self) -> usize {
        self.chosen.len()
    }
}
