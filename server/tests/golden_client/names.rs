//! What each run has of its own, and how the one run's stands for the other's.

use crate::transcript::Ports;
use std::collections::{BTreeMap, HashMap};
use zookeeper_server::ids::SessionId;
use zookeeper_server::sessions::password;

/// Java's numbers and ours that mean the same.
#[derive(Default)]
pub(crate) struct Names {
    ports: Vec<(u16, u16)>,
    /// Zxids of transactions, in the order of Java's.
    zxids: BTreeMap<i64, i64>,
    sessions: HashMap<i64, i64>,
    /// The time of each transaction of ours, by its zxid.
    times: HashMap<i64, i64>,
}

impl Names {
    /// For members whose ports are these.
    pub(crate) fn of_members(java: &[Ports], ours: &[Ports]) -> Names {
        let pairs = java.iter().zip(ours).flat_map(|(java, ours)| {
            [
                (java.quorum, ours.quorum),
                (java.election, ours.election),
                (java.client, ours.client),
            ]
        });
        Names {
            ports: pairs.collect(),
            ..Names::default()
        }
    }

    /// A line of the list of members as ours has it.
    pub(crate) fn our_member(&self, java: &str) -> String {
        let port = |text: &str| {
            let known = self.ports.iter().find(|it| it.0.to_string() == text);
            known.map_or_else(|| text.to_owned(), |it| it.1.to_string())
        };
        // Ports stand between colons, or at the end.
        let words: Vec<String> = java.split(':').map(port).collect();
        words.join(":")
    }

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

    /// The connect request with our number of the session that it names, and our password where
    /// Java's stood.
    pub(crate) fn our_connect_request(&self, java: &[u8]) -> Vec<u8> {
        const SESSION: std::ops::Range<usize> = 16..24;
        const PASSWD: std::ops::Range<usize> = 28..44;
        let mut ours = java.to_vec();
        let Some(place) = ours.get_mut(SESSION) else {
            return ours;
        };
        let java_session = i64::from_be_bytes((&*place).try_into().expect("eight bytes"));
        let Some(session) = self.sessions.get(&java_session) else {
            return ours;
        };
        place.copy_from_slice(&session.to_be_bytes());
        if let Some(passwd) = ours.get_mut(PASSWD)
            && *passwd == password(SessionId(java_session))
        {
            passwd.copy_from_slice(&password(SessionId(*session)));
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
