//! Members that leave, come back, and get or lose their vote while everything else goes on.
//!
//! A change is asked for before a fault and its answer looked for after it, so that leaders die, are
//! cut off and stand still in the middle of changes; what became of one that nobody answered, the
//! ensemble's own word says.

use crate::Outcome;
use crate::client::{Connection, Welcome};
use crate::ensemble::{Ensemble, SESSION_TIMEOUT, server_line, wait_for};
use crate::member::PATIENCE;
use crate::random::Random;
use crate::wire::{In, Out, code, op};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// How long a member may take to say something.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// Voters that are always left.
const VOTERS_MIN: usize = 2;

/// What a member is to its ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Participant,
    Observer,
    /// It runs, and belongs to nobody.
    Outside,
}

/// One change, as `reconfig` takes it.
#[derive(Clone, Debug, Default)]
struct Change {
    joining: Vec<(usize, Role)>,
    leaving: Vec<usize>,
}

impl Change {
    fn request(&self) -> Out {
        let joining = self.joining.iter().map(|(id, role)| match role {
            Role::Observer => server_line(*id, "observer"),
            _ => server_line(*id, "participant"),
        });
        let leaving = self.leaving.iter().map(ToString::to_string);
        let mut frame = Out::default();
        frame.int(1).int(op::RECONFIG);
        for list in [joining.collect::<Vec<_>>(), leaving.collect::<Vec<_>>()] {
            if list.is_empty() {
                frame.missing();
            } else {
                frame.string(&list.join(","));
            }
        }
        frame.missing().long(-1);
        frame
    }
}

/// What became of the changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Done, by their answer.
    pub done: u32,
    /// Refused, since the new voters are not in sync or another change is under way.
    pub refused: u32,
    /// Without an answer.
    pub unknown: u32,
}

/// Whoever changes the ensemble.
#[derive(Debug)]
pub struct Membership {
    random: Random,
    asked: Option<Connection>,
    changes: Changes,
}

impl Membership {
    /// The changes of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Membership {
            random: Random::of_part(seed, 2),
            asked: None,
            changes: Changes::default(),
        }
    }

    /// Asks for a change, and does not wait for what comes of it. Does nothing where nobody serves.
    pub fn begin(&mut self, ensemble: &Ensemble) {
        let Some((mut connection, roles)) = self.look(ensemble) else {
            return;
        };
        let change = self.draw(ensemble, &roles);
        if connection.send(&[change.request()]).is_ok() {
            self.asked = Some(connection);
        }
    }

    /// Takes the answer of the change that was asked for, if there is one.
    pub fn end(&mut self) {
        if let Some(connection) = self.asked.take() {
            self.answer(connection);
        }
    }

    /// Makes all members voters again, and says what all the changes came to.
    ///
    /// # Errors
    /// Where the ensemble does not let that be done.
    pub fn restore(mut self, ensemble: &Ensemble) -> Outcome<Changes> {
        wait_for("all members to be voters again", PATIENCE, || {
            let (mut connection, roles) = self.look(ensemble)?;
            let joining = (1..=ensemble.members.len())
                .filter(|id| roles.get(id) != Some(&Role::Participant))
                .map(|id| (id, Role::Participant))
                .collect::<Vec<_>>();
            if joining.is_empty() {
                return Some(());
            }
            let change = Change {
                joining,
                leaving: Vec::new(),
            };
            if connection.send(&[change.request()]).is_ok() {
                self.answer(connection);
            }
            None
        })?;
        Ok(self.changes)
    }

    fn answer(&mut self, mut connection: Connection) {
        match connection.receive() {
            Ok(reply) if reply.error == code::OK => self.changes.done += 1,
            Ok(_) => self.changes.refused += 1,
            Err(_) => self.changes.unknown += 1,
        }
    }

    /// A connection to a member that serves, and who belongs to the ensemble by its word.
    fn look(&mut self, ensemble: &Ensemble) -> Option<(Connection, BTreeMap<usize, Role>)> {
        let mut running = ensemble.running();
        while !running.is_empty() {
            let member = running.swap_remove(self.random.below(running.len()));
            if let Ok(seen) = look_at(ensemble, member) {
                return Some(seen);
            }
        }
        None
    }

    /// Something that leaves voters enough.
    fn draw(&mut self, ensemble: &Ensemble, roles: &BTreeMap<usize, Role>) -> Change {
        let of = |wanted: Role| {
            (1..=ensemble.members.len())
                .filter(move |id| roles.get(id).copied().unwrap_or(Role::Outside) == wanted)
                .collect::<Vec<_>>()
        };
        let voters = of(Role::Participant);
        let mut others = of(Role::Outside);
        others.extend(of(Role::Observer));
        let mut change = Change::default();
        let grows = voters.len() <= VOTERS_MIN || self.random.chance(45);
        let shrinks = voters.len() > VOTERS_MIN && (!grows || self.random.chance(30));
        if (grows || !shrinks) && !others.is_empty() {
            let id = others[self.random.below(others.len())];
            let role = if self.random.chance(75) {
                Role::Participant
            } else {
                Role::Observer
            };
            change.joining.push((id, role));
        }
        if shrinks {
            let leader = ensemble.leader_now().map(|index| index + 1);
            let leader = leader.filter(|id| voters.contains(id) && self.random.chance(35));
            let id = leader.unwrap_or_else(|| voters[self.random.below(voters.len())]);
            if self.random.chance(70) {
                change.leaving.push(id);
            } else {
                change.joining.push((id, Role::Observer));
            }
        }
        if change.joining.is_empty() && change.leaving.is_empty() {
            // All are voters: one of them observes for a while.
            let id = voters[self.random.below(voters.len())];
            change.joining.push((id, Role::Observer));
        }
        change
    }
}

fn look_at(ensemble: &Ensemble, member: usize) -> io::Result<(Connection, BTreeMap<usize, Role>)> {
    let address = ensemble.address(member);
    let opened = Connection::open(address, None, 0, SESSION_TIMEOUT, ANSWER_PATIENCE)?;
    let Welcome::Open(mut connection, _session) = opened else {
        return Err(io::Error::other("no session"));
    };
    let mut sync = Out::default();
    sync.int(0).int(op::SYNC).string("/zookeeper/config");
    let mut read = Out::default();
    read.int(0)
        .int(op::GET_DATA)
        .string("/zookeeper/config")
        .boolean(false);
    connection.send(&[sync, read])?;
    let synced = connection.receive()?;
    let config = connection.receive()?;
    if synced.error != code::OK || config.error != code::OK {
        return Err(io::Error::other("the configuration can't be read"));
    }
    let text = In(&config.body).string()?;
    Ok((connection, roles_of(&text)))
}

/// Who belongs to a configuration: lines of `server.ID=HOST:PORT:PORT:ROLE;PORT`.
fn roles_of(text: &str) -> BTreeMap<usize, Role> {
    text.lines()
        .filter_map(|line| {
            let (id, place) = line.strip_prefix("server.")?.split_once('=')?;
            let role = if place.contains(":observer") {
                Role::Observer
            } else {
                Role::Participant
            };
            Some((id.parse().ok()?, role))
        })
        .collect()
}
