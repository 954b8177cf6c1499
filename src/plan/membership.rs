//! Who belongs to the ensemble, and who is to have a pod.
//!
//! The committed membership is the members' own word. Where nobody can speak for
//! the ensemble, what was written last stays as it is: absence is never scale-in.

use super::observed::Observed;
use super::quorum::Ensemble;
use crate::objects::{Kind, MEMBERS_FILE};
use crate::valid::{Member, Role, ServerId, ValidCluster};
use std::collections::{BTreeMap, BTreeSet};

/// A membership as the ensemble has it in `/zookeeper/config`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Membership {
    /// The zxid of the `reconfig` that made it.
    pub version: i64,
    /// Every member's part.
    pub roles: BTreeMap<ServerId, Role>,
}

impl Membership {
    /// Reads `server.N=host:2888:3888:role;…` lines and `version=` in hexadecimal.
    /// None where the text has no member. Source: `QuorumMaj.java` toString.
    pub fn parse(text: &str) -> Option<Self> {
        let mut membership = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if key == "version" {
                membership.version = i64::from_str_radix(value.trim(), 16).ok()?;
            } else if let Some(id) = key.strip_prefix("server.") {
                let servers = value.split(';').next().unwrap_or_default();
                let role = if servers.ends_with(":observer") {
                    Role::Observer
                } else {
                    Role::Participant
                };
                membership
                    .roles
                    .insert(ServerId(id.trim().parse().ok()?), role);
            }
        }
        (!membership.roles.is_empty()).then_some(membership)
    }

    /// Who votes.
    pub fn voters(&self) -> BTreeSet<ServerId> {
        self.roles
            .iter()
            .filter(|(_, role)| **role == Role::Participant)
            .map(|(id, _)| *id)
            .collect()
    }
}

/// The server list that was written last: what a disk without one is given.
pub fn written(observed: &Observed) -> Option<Membership> {
    let config_map = observed.objects.get(&Kind::ConfigMap)?;
    Membership::parse(config_map["data"][MEMBERS_FILE].as_str()?)
}

/// Who is to have a pod, and what a new disk is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Roster {
    /// Everyone with a pod, in order of their ordinals: members of the ensemble, and who joins.
    pub members: Vec<Member>,
    /// The server list for disks without one: the ensemble, and who joins.
    pub list: Vec<(Member, Role)>,
}

impl Roster {
    /// The roster as it is to be now; `starting` is to get a pod beside those that have one.
    pub fn read(
        cluster: &ValidCluster,
        observed: &Observed,
        ensemble: &Ensemble,
        starting: Option<&Member>,
    ) -> Self {
        let living_pods = observed
            .objects
            .get(&Kind::StatefulSet)
            .and_then(|set| set["spec"]["replicas"].as_u64())
            .and_then(|count| u8::try_from(count).ok());
        let Some(committed) = &ensemble.membership else {
            return Self::as_written(cluster, observed, living_pods);
        };
        let mut roles = committed.roles.clone();
        for member in &cluster.members {
            let has_pod = living_pods.is_some_and(|pods| member.ordinal < pods);
            if has_pod || starting == Some(member) {
                roles.entry(member.id).or_insert(member.role);
            }
        }
        Self::of(cluster, &roles, 0)
    }

    /// Nobody speaks for the ensemble: what is written stays, and what is not is the spec's.
    fn as_written(cluster: &ValidCluster, observed: &Observed, living_pods: Option<u8>) -> Self {
        let written = written(observed).map_or_else(
            || cluster.members.iter().map(|m| (m.id, m.role)).collect(),
            |written| written.roles,
        );
        Self::of(cluster, &written, living_pods.unwrap_or(0))
    }

    /// Pods have no gaps in their numbers, so those below the highest one are there, too.
    fn of(cluster: &ValidCluster, roles: &BTreeMap<ServerId, Role>, pods_min: u8) -> Self {
        let list: Vec<(Member, Role)> = roles
            .iter()
            .filter_map(|(id, role)| Some((cluster.member_with_id(*id)?, *role)))
            .collect();
        let highest = list.iter().map(|(member, _)| member.ordinal + 1).max();
        let pods = highest.unwrap_or(0).max(pods_min);
        Self {
            members: (0..pods).filter_map(|n| cluster.member(n)).collect(),
            list,
        }
    }

    /// How many pods there are to be.
    pub fn pods(&self) -> u8 {
        u8::try_from(self.members.len()).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_is_read_from_the_ensembles_own_text() {
        let text = "server.1=a:2888:3888:participant;0.0.0.0:2181\n\
                    server.12=b:2888:3888:observer;0.0.0.0:2181\nversion=10000000a";
        let read = Membership::parse(text).expect("a membership");
        assert_eq!(read.version, 0x1_0000_000a);
        assert_eq!(read.voters(), [ServerId(1)].into());
        assert_eq!(read.roles[&ServerId(12)], Role::Observer);
        assert_eq!(Membership::parse("version=0"), None);
        assert_eq!(Membership::parse("server.x=a:1:2"), None);
    }
}
