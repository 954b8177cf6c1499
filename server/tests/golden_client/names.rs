//! What each run has of its own, and how the one run's stands for the other's.

use std::collections::{BTreeMap, HashMap};

/// Java's numbers and ours that mean the same.
#[derive(Default)]
pub(crate) struct Names {
    /// Zxids of transactions, in the order of Java's.
    zxids: BTreeMap<i64, i64>,
    sessions: HashMap<i64, i64>,
    /// The time of each transaction of ours, by its zxid.
    times: HashMap<i64, i64>,
}

impl Names {
    /// A zxid that a transaction has: the same one everywhere, and in the same order.
    pub(crate) fn transaction(&mut self, java: i64, ours: i64) -> Result<(), String> {
        if java <= 0 {
            return same("zxid", java, ours);
        }
        let known = *self.zxids.entry(java).or_insert(ours);
        same("zxid", known, ours)?;
        let before = self.zxids.range(..java).next_back();
        let after = self.zxids.range(java + 1..).next();
        if before.is_some_and(|(_, before)| *before >= ours)
            || after.is_some_and(|(_, after)| *after <= ours)
        {
            return Err(format!("zxid {ours:#x} is out of order"));
        }
        Ok(())
    }

    /// Where a member stands: not before anything it has told of.
    pub(crate) fn position(&mut self, java: i64, ours: i64) -> Result<(), String> {
        if java <= 0 {
            return same("zxid", java, ours);
        }
        match self.zxids.range(..=java).next_back() {
            Some((_, seen)) if ours < *seen => Err(format!("zxid {ours:#x} is before {seen:#x}")),
            _ => Ok(()),
        }
    }

    /// A transaction's time: all who tell of it tell the same.
    pub(crate) fn time(&mut self, java: i64, ours: i64, zxid: i64) -> Result<(), String> {
        if java <= 0 || zxid == 0 {
            return same("time", java, ours);
        }
        let known = *self.times.entry(zxid).or_insert(ours);
        same("time", known, ours)
    }

    pub(crate) fn new_session(&mut self, java: i64, ours: i64) -> Result<(), String> {
        if java == 0 || ours == 0 {
            return same("session", java, ours);
        }
        let known = *self.sessions.entry(java).or_insert(ours);
        same("session", known, ours)
    }

    /// Whom an ephemeral node belongs to: a session, or what marks containers and TTL nodes.
    pub(crate) fn owner(&self, java: i64, ours: i64) -> Result<(), String> {
        let expected = self.sessions.get(&java).copied().unwrap_or(java);
        same("owner", expected, ours)
    }

    /// The connect request with our number of the session that it names.
    pub(crate) fn our_connect_request(&self, java: &[u8]) -> Vec<u8> {
        const SESSION: std::ops::Range<usize> = 16..24;
        let mut ours = java.to_vec();
        if let Some(place) = ours.get_mut(SESSION) {
            let session = i64::from_be_bytes((&*place).try_into().expect("eight bytes"));
            if let Some(session) = self.sessions.get(&session) {
                place.copy_from_slice(&session.to_be_bytes());
            }
        }
        ours
    }
}

pub(crate) fn same(what: &str, java: i64, ours: i64) -> Result<(), String> {
    if java == ours {
        return Ok(());
    }
    Err(format!("{what}: {java:#x} expected, {ours:#x} came"))
}
