//! Configurations as the simulation writes them. To consensus they are opaque, in a proposal and as
//! text.

use super::world::{place, server_id};
use crate::ids::{ServerId, Zxid};
use crate::zab::{Codec, Config, Membership};
use std::collections::{BTreeMap, BTreeSet};

/// Who belongs to an ensemble.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    pub(crate) voters: BTreeSet<usize>,
    pub(crate) observers: BTreeSet<usize>,
    /// How often a member's address has changed.
    pub(crate) moves: BTreeMap<usize, u64>,
}

/// How consensus reads configurations. In a proposal the text stands behind the value.
pub(crate) const CODEC: Codec = Codec {
    of_text: |text| Roster::parse(text).map(|(roster, version)| roster.config(version)),
    of_proposal: |payload| {
        let text = payload.get(8..).filter(|text| !text.is_empty())?;
        let (roster, version) = Roster::parse(std::str::from_utf8(text).ok()?)?;
        Some(roster.config(version))
    },
};

fn numbers(list: &str) -> Option<BTreeSet<usize>> {
    let numbers = list.split(',').filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().ok()).collect()
}

fn list(numbers: &BTreeSet<usize>) -> String {
    let numbers = numbers.iter().map(usize::to_string);
    numbers.collect::<Vec<_>>().join(",")
}

impl Roster {
    pub(crate) fn of(config: &Config) -> Self {
        let places = |ids: &BTreeSet<ServerId>| ids.iter().map(|id| place(*id)).collect();
        let moves = config.leader_addresses.iter();
        Roster {
            voters: places(config.membership.voters()),
            observers: places(config.membership.observers()),
            moves: moves
                .map(|(id, moves)| (place(*id), moves.parse().expect("a number of ours")))
                .collect(),
        }
    }

    /// `0,1,2|3|1:2` and the version.
    pub(crate) fn text(&self, version: Zxid) -> String {
        let moves = self
            .moves
            .iter()
            .map(|(who, moves)| format!("{who}:{moves}"));
        format!(
            "{}|{}|{}\nversion={:x}",
            list(&self.voters),
            list(&self.observers),
            moves.collect::<Vec<_>>().join(","),
            version.0
        )
    }

    fn parse(text: &str) -> Option<(Self, Zxid)> {
        let (members, version) = text.split_once("\nversion=")?;
        let mut lists = members.split('|');
        let (voters, observers, moves) = (lists.next()?, lists.next()?, lists.next()?);
        let moves = moves.split(',').filter(|moves| !moves.is_empty());
        let roster = Roster {
            voters: numbers(voters)?,
            observers: numbers(observers)?,
            moves: moves
                .map(|moved| {
                    let (who, times) = moved.split_once(':')?;
                    Some((who.parse().ok()?, times.parse().ok()?))
                })
                .collect::<Option<_>>()?,
        };
        Some((roster, Zxid(i64::from_str_radix(version, 16).ok()?)))
    }

    pub(crate) fn config(&self, version: Zxid) -> Config {
        let ids = |places: &BTreeSet<usize>| places.iter().map(|who| server_id(*who)).collect();
        let (voters, observers): (Vec<_>, Vec<_>) = (ids(&self.voters), ids(&self.observers));
        let moves = self.moves.iter();
        Config {
            version,
            membership: Membership::new(voters, observers),
            text: self.text(version),
            leader_addresses: moves
                .map(|(who, moves)| (server_id(*who), moves.to_string()))
                .collect(),
        }
    }

    /// In no role any longer.
    pub(crate) fn remove(&mut self, who: usize) {
        self.voters.remove(&who);
        self.observers.remove(&who);
    }

    pub(crate) fn add_voter(&mut self, who: usize) {
        self.remove(who);
        self.voters.insert(who);
    }

    pub(crate) fn add_observer(&mut self, who: usize) {
        self.remove(who);
        self.observers.insert(who);
    }
}

#[test]
fn a_roster_is_read_as_it_was_written() {
    let roster = Roster {
        voters: BTreeSet::from([0, 2]),
        observers: BTreeSet::from([1]),
        moves: BTreeMap::from([(2, 7)]),
    };
    for roster in [roster, Roster::default()] {
        let config = roster.config(Zxid(0x1_0000_000a));
        let read = (CODEC.of_text)(&config.text);
        assert_eq!(read.as_ref(), Some(&config));
        assert_eq!(Roster::of(&config), roster);
    }
}
