//! Who belongs to the ensemble: the `server.N`, `group.N`, `weight.N` and `version` of zoo.cfg and
//! of its dynamic part. Source: `QuorumPeer.java` QuorumServer, `QuorumMaj.java`,
//! `QuorumHierarchical.java`.

mod member;

pub use member::{HostPort, Member, PeerAddress, Role};

use crate::ids::ServerId;
use crate::properties;
use crate::zab::Membership;
use std::collections::BTreeMap;
use std::fmt;

/// The most that one voter may weigh. Java has no bound, and where the sum of a group's weights comes
/// past what it can count to, two halves are a quorum each.
const WEIGHT_MAX: i64 = 0xffff_ffff;

/// The ensemble's members and how their votes count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ensemble {
    /// All members by id, observers too. Empty for a standalone server.
    pub members: BTreeMap<ServerId, Member>,
    /// Groups of a hierarchical quorum by their number; empty for plain majorities.
    pub groups: BTreeMap<i64, Vec<ServerId>>,
    /// Weights that were set; a voter without one weighs 1.
    pub weights: BTreeMap<ServerId, i64>,
    /// The configuration's version: the zxid of the reconfig that made it.
    pub version: i64,
}

impl Ensemble {
    /// Members with a vote.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members
            .values()
            .filter(|member| member.role == Role::Participant)
    }

    /// Members without a vote.
    pub fn observers(&self) -> impl Iterator<Item = &Member> {
        self.members
            .values()
            .filter(|member| member.role == Role::Observer)
    }

    /// Whether votes count by groups and weights.
    #[must_use]
    pub fn is_hierarchical(&self) -> bool {
        !self.groups.is_empty() || !self.weights.is_empty()
    }

    /// Reads the text form that this type's `Display` writes, as it stands in `/zookeeper/config`,
    /// in NEWLEADER packets and in votes.
    ///
    /// # Errors
    /// A sentence about the first line that makes no sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut ensemble = Ensemble::default();
        for property in properties::parse(text.as_bytes()) {
            // Several addresses are taken here: whoever sent them has the feature on.
            ensemble.add(&property.key, &property.value, true)?;
        }
        ensemble.check_groups()?;
        Ok(ensemble)
    }

    /// As [`Ensemble::parse`], for what a client sends: a line that says nothing about members is
    /// refused. Source: `QuorumPeerConfig.java` parseDynamicConfig.
    ///
    /// # Errors
    /// A sentence about the first line that makes no sense.
    pub fn parse_strictly(text: &str) -> Result<Self, String> {
        for property in properties::parse(text.as_bytes()) {
            let key = property.key.as_str();
            let known = ["server.", "group", "weight"]
                .iter()
                .any(|prefix| key.starts_with(prefix));
            if !known && key != "version" {
                return Err(format!("`{key}` says nothing about members"));
            }
        }
        Self::parse(text)
    }

    /// Whose votes count how.
    #[must_use]
    pub fn membership(&self) -> Membership {
        let membership = Membership::new(
            self.voters().map(|member| member.id),
            self.observers().map(|member| member.id),
        );
        let groups = self.groups.values();
        let groups = groups.map(|ids| {
            let weight = |id| self.weights.get(id).copied().unwrap_or(1);
            ids.iter().map(|id| (*id, weight(id))).collect()
        });
        membership.with_groups(groups.collect())
    }

    /// Takes one line in; false where the key is none of an ensemble's.
    pub(crate) fn add(
        &mut self,
        key: &str,
        value: &str,
        multi_address: bool,
    ) -> Result<bool, String> {
        if let Some(id) = key.strip_prefix("server.") {
            let id = parse_id(key, id)?;
            let member = Member::parse(id, value, multi_address)?;
            self.members.insert(id, member);
        } else if key.starts_with("group") {
            let group = key.split_once('.').map_or("", |(_, number)| number);
            let group = group
                .parse()
                .map_err(|_| format!("`{key}` must be group.N with a number N"))?;
            let mut ids = Vec::new();
            for text in value.split(':') {
                ids.push(parse_id(value, text)?);
            }
            self.groups.insert(group, ids);
        } else if key.starts_with("weight") {
            let id = parse_id(key, key.split_once('.').map_or("", |(_, number)| number))?;
            let weight: i64 = value
                .parse()
                .ok()
                .filter(|weight| (0..=WEIGHT_MAX).contains(weight))
                .ok_or_else(|| {
                    format!("`{value}` is no weight; a weight is a number from 0 to {WEIGHT_MAX}")
                })?;
            self.weights.insert(id, weight);
        } else if key == "version" {
            self.version = i64::from_str_radix(value, 16)
                .map_err(|_| format!("`{value}` is no version; it is a hexadecimal number"))?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// With groups, every voter is in exactly one. Source: `QuorumHierarchical.java` parse.
    pub(crate) fn check_groups(&self) -> Result<(), String> {
        if !self.is_hierarchical() {
            return Ok(());
        }
        let mut grouped = std::collections::BTreeSet::new();
        for id in self.groups.values().flatten() {
            if !grouped.insert(*id) {
                return Err(format!("server {id} is in several groups"));
            }
        }
        match self.voters().find(|member| !grouped.contains(&member.id)) {
            Some(member) => Err(format!("server {} is in no group", member.id)),
            None => Ok(()),
        }
    }
}

fn parse_id(whole: &str, text: &str) -> Result<ServerId, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|id| (0..=i64::from(u32::MAX)).contains(id))
        .map(ServerId)
        .ok_or_else(|| {
            format!("`{text}` in `{whole}` is no server id; an id is a number, best from 1 to 255")
        })
}

/// One `server.N=…` a line, groups and weights, then `version=` in hexadecimal without a line's end.
/// Source: `QuorumMaj.java` toString; `QuorumHierarchical.java` toString ends in the same line.
impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for member in self.members.values() {
            writeln!(f, "server.{}={member}", member.id)?;
        }
        if self.is_hierarchical() {
            for (group, ids) in &self.groups {
                let ids: Vec<String> = ids.iter().map(ServerId::to_string).collect();
                writeln!(f, "group.{group}={}", ids.join(":"))?;
            }
            for voter in self.voters() {
                let weight = self.weights.get(&voter.id).copied().unwrap_or(1);
                writeln!(f, "weight.{}={weight}", voter.id)?;
            }
        }
        write!(f, "version={:x}", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ensembles_text_reads_back_as_itself() {
        let plain = "server.1=a:2888:3888:participant;0.0.0.0:2181\nserver.2=b:2888:3888:observer\nversion=100000002";
        assert_eq!(Ensemble::parse(plain).unwrap().to_string(), plain);
        let groups = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\ngroup.1=1:2\nweight.1=1\nweight.2=0\nversion=0";
        assert_eq!(Ensemble::parse(groups).unwrap().to_string(), groups);
    }

    #[test]
    fn a_weight_that_could_not_be_added_up_is_none() {
        let members = "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\nweight.1=";
        assert!(Ensemble::parse(&format!("{members}4294967295")).is_ok());
        for weight in ["4294967296", "9223372036854775807", "-1"] {
            let refused = Ensemble::parse(&format!("{members}{weight}"));
            assert!(refused.is_err(), "{weight}");
        }
    }

    #[test]
    fn with_groups_every_voter_is_in_one() {
        let one_missing = "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1";
        assert_eq!(
            Ensemble::parse(one_missing).unwrap_err(),
            "server 2 is in no group"
        );
        let twice = "server.1=a:1:2\ngroup.1=1\ngroup.2=1";
        assert_eq!(
            Ensemble::parse(twice).unwrap_err(),
            "server 1 is in several groups"
        );
    }
}
