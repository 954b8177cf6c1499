//! The ensemble and all around it: events happen in the order of their time.

use super::checks::{Checks, Fault};
use super::disk::Disk;
use super::member::Member;
use super::network::Network;
use super::queue::Queue;
use super::random::Random;
use crate::ids::{ServerId, Zxid};
use crate::zab::{Input, Notification, Output, Role, Standing, Zab};
use std::collections::BTreeSet;

/// What an ensemble is made of. Times in milliseconds, odds in percent.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) voters: usize,
    pub(crate) observers: usize,
    /// How many more there are that may be added; `None` where the ensemble never changes.
    pub(crate) spares: Option<usize>,
    /// Whether observers learn from followers.
    pub(crate) masters: bool,
    /// Groups of voters with their weights; empty where a majority is a quorum.
    pub(crate) groups: Vec<Vec<(usize, i64)>>,
    pub(crate) tick_ms: u64,
    pub(crate) init_limit: u64,
    pub(crate) sync_limit: u64,
    pub(crate) recent_max: usize,
    /// The last counter of an epoch.
    pub(crate) counter_max: i64,
    pub(crate) delay_ms: (u64, u64),
    pub(crate) fsync_ms: (u64, u64),
    /// How long a learner tries to reach its leader.
    pub(crate) dial_ms: u64,
    /// Election messages lost, and delivered twice.
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    /// Crashes that leave a torn record in the log, and dials that leave a second connection.
    pub(crate) tear: u64,
    pub(crate) double_dial: u64,
}

impl Config {
    /// An ensemble on a good network, with ZooKeeper's usual limits.
    pub(crate) fn calm(voters: usize, observers: usize) -> Self {
        Config {
            voters,
            observers,
            spares: None,
            masters: false,
            groups: Vec::new(),
            tick_ms: 2000,
            init_limit: 10,
            sync_limit: 5,
            recent_max: 500,
            counter_max: Zxid::COUNTER_MAX,
            delay_ms: (1, 3),
            fsync_ms: (1, 8),
            dial_ms: 2000,
            loss: 0,
            duplication: 0,
            tear: 0,
            double_dial: 0,
        }
    }
}

/// What can happen.
pub(crate) enum Event {
    Wake {
        who: usize,
        at: u64,
    },
    Notify {
        from: usize,
        to: usize,
    },
    NotifyAgain {
        from: usize,
        to: usize,
        notification: Notification,
    },
    Pump {
        stream: u64,
        to_leader: bool,
    },
    Gone {
        stream: u64,
        leader_end: bool,
    },
    Dial {
        who: usize,
        dial: u64,
        leader: usize,
        until: u64,
    },
    Synced {
        who: usize,
        life: u64,
        generation: u64,
    },
    Persisted {
        who: usize,
        life: u64,
        generation: u64,
        zxid: Zxid,
    },
    Start {
        who: usize,
        life: u64,
    },
}

/// An ensemble and all around it.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) members: Vec<Member>,
    pub(crate) network: Network,
    pub(crate) checks: Checks,
    pub(crate) steps: u64,
    pub(crate) proposals: u64,
    pub(crate) elections: u64,
    pub(crate) snapshots: u64,
    pub(crate) truncations: u64,
    /// Starts that found a torn record, cuts that a crash interrupted, histories that could not be
    /// reconciled.
    pub(crate) torn: u64,
    pub(crate) interrupted_cuts: u64,
    pub(crate) unusable: u64,
    /// Leaders that stepped down because their epoch's counter was used up.
    pub(crate) rollovers: u64,
    /// Leaders that handed over.
    pub(crate) handed_over: u64,
    /// Whether it ended in need of a person.
    pub(crate) stranded: bool,
    /// Observers that went to a follower.
    pub(crate) hosted: u64,
    /// Configurations proposed, and put in force by a leader.
    pub(crate) rosters_proposed: u64,
    pub(crate) rosters_in_force: u64,
    /// When the newest leader began to serve.
    pub(crate) led_at: u64,
    /// What happened, where somebody wants to read it.
    pub(crate) trace: Option<Vec<String>>,
    /// Disks that never complete an fsync.
    pub(crate) stuck_disks: BTreeSet<usize>,
    queue: Queue<Event>,
    pub(crate) next_stream: u64,
    pub(crate) next_payload: u64,
    pub(crate) out: Vec<Output>,
}

macro_rules! trace {
    ($world:expr, $($arg:tt)*) => {
        if let Some(lines) = &mut $world.trace {
            lines.push(format!("{:>7} {}", $world.now, format_args!($($arg)*)));
        }
    };
}
pub(crate) use trace;

pub(crate) fn server_id(who: usize) -> ServerId {
    ServerId(i64::try_from(who).expect("few members") + 1)
}

pub(crate) fn place(id: ServerId) -> usize {
    usize::try_from(id.0 - 1).expect("a member's id")
}

impl World {
    /// Members on empty, initialised disks; nobody has started.
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let first = config.voters + config.observers;
        let members = (0..first + config.spares.unwrap_or(0))
            .map(|who| Member::new(Disk::empty(who < first), config.fsync_ms))
            .collect::<Vec<_>>();
        World {
            config,
            random: Random::new(seed),
            now: 0,
            checks: Checks::new(members.len()),
            members,
            network: Network::default(),
            steps: 0,
            proposals: 0,
            elections: 0,
            snapshots: 0,
            truncations: 0,
            torn: 0,
            interrupted_cuts: 0,
            unusable: 0,
            rollovers: 0,
            handed_over: 0,
            stranded: false,
            hosted: 0,
            rosters_proposed: 0,
            rosters_in_force: 0,
            led_at: 0,
            trace: None,
            stuck_disks: BTreeSet::new(),
            queue: Queue::new(),
            next_stream: 0,
            next_payload: 0,
            out: Vec::new(),
        }
    }

    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.queue.push(time, event);
    }

    pub(crate) fn delay(&mut self) -> u64 {
        let (low, high) = self.config.delay_ms;
        self.random.between(low, high)
    }

    /// Lets everything happen up to `until`.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<(), Fault> {
        while self.queue.next_time().is_some_and(|time| time <= until) {
            self.one_event()?;
        }
        self.now = until;
        Ok(())
    }

    /// Lets things happen until `done`, or for `ms`. True where it is done.
    pub(crate) fn run_while(
        &mut self,
        ms: u64,
        done: impl Fn(&World) -> bool,
    ) -> Result<bool, Fault> {
        let end = self.now + ms;
        while !done(self) {
            match self.queue.next_time() {
                Some(time) if time <= end => self.one_event()?,
                _ => {
                    self.now = end;
                    return Ok(done(self));
                }
            }
        }
        Ok(true)
    }

    pub(crate) fn one_event(&mut self) -> Result<(), Fault> {
        let Some((time, event)) = self.queue.pop() else {
            return Ok(());
        };
        self.now = time;
        let acts = match &event {
            Event::Wake { who, .. } | Event::Synced { who, .. } | Event::Persisted { who, .. } => {
                Some(*who)
            }
            Event::Notify { to, .. } | Event::NotifyAgain { to, .. } => Some(*to),
            Event::Pump { stream, to_leader } => self
                .network
                .streams
                .get(stream)
                .map(|stream| stream.ends(*to_leader).1),
            Event::Gone { stream, leader_end } => self
                .network
                .streams
                .get(stream)
                .map(|stream| stream.ends(*leader_end).1),
            Event::Dial { who, .. } => Some(*who),
            Event::Start { .. } => None,
        };
        if let Some(who) = acts
            && self.members[who].paused_until > time
        {
            let resumed = self.members[who].paused_until;
            self.at(resumed, event);
            return Ok(());
        }
        match event {
            Event::Wake { who, at } => self.wake(who, at),
            Event::Notify { from, to } => self.notify(from, to),
            Event::NotifyAgain {
                from,
                to,
                notification,
            } => self.notification(from, to, notification),
            Event::Pump { stream, to_leader } => self.pump(stream, to_leader),
            Event::Gone { stream, leader_end } => self.gone(stream, leader_end),
            Event::Dial {
                who,
                dial,
                leader,
                until,
            } => self.dial(who, dial, leader, until),
            Event::Synced {
                who,
                life,
                generation,
            } => {
                self.synced(who, life, generation);
                Ok(())
            }
            Event::Persisted {
                who,
                life,
                generation,
                zxid,
            } => {
                // The engine's duty: what was said of a log that has been cut since is not passed on.
                let member = &self.members[who];
                if member.life == life && member.disk.generation == generation {
                    self.input(who, Input::Persisted { zxid })
                } else {
                    Ok(())
                }
            }
            Event::Start { who, life } => {
                if self.members[who].life == life {
                    self.start(who)
                } else {
                    Ok(())
                }
            }
        }
    }

    pub(crate) fn wake(&mut self, who: usize, at: u64) -> Result<(), Fault> {
        if self.members[who].wake_at != Some(at) {
            return Ok(());
        }
        self.members[who].wake_at = None;
        if !self.is_due(who) {
            self.schedule_wake(who);
            return Ok(());
        }
        self.input(who, Input::Tick)?;
        if !self.is_due(who) {
            return Ok(());
        }
        // The first tick may have begun a new role; its first tick must leave nothing due.
        self.input(who, Input::Tick)?;
        if self.is_due(who) {
            return Err(format!("member {who} has work due right after two ticks"));
        }
        Ok(())
    }

    pub(crate) fn is_due(&self, who: usize) -> bool {
        let member = &self.members[who];
        let now = member.clock.local(self.now);
        let zab = member.zab.as_ref();
        zab.is_some_and(|zab| zab.next_deadline() <= now)
    }

    /// A client has the leader propose something nobody ever proposed. False where it does not lead.
    pub(crate) fn propose(&mut self, who: usize) -> Result<bool, Fault> {
        let Some(zab) = &self.members[who].zab else {
            return Ok(false);
        };
        let Some(zxid) = zab.next_zxid() else {
            return Ok(false);
        };
        let txn = self.new_txn(who, zxid)?;
        let entry = txn.entry();
        self.input(who, Input::Propose { entry })?;
        Ok(true)
    }

    /// Evaluates all of the specification's predicates.
    pub(crate) fn evaluate(&mut self) -> Result<(), Fault> {
        let evaluated = self.checks.spec.evaluate();
        evaluated.map_err(|violated| format!("the ensemble {violated}"))
    }

    /// Who leads and serves; of several, in the newest epoch.
    pub(crate) fn leader(&self) -> Option<usize> {
        (0..self.members.len())
            .filter(|who| self.members[*who].leads.is_some())
            .max_by_key(|who| self.members[*who].leads)
    }

    /// Whether all members that are up follow one leader and have one history.
    pub(crate) fn agrees(&self) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let tree = &self.members[leader].tree;
        self.members.iter().enumerate().all(|(who, member)| {
            let Some(zab) = &member.zab else { return true };
            if !self.belongs(who, leader) {
                return true;
            }
            let stands = match zab.standing() {
                Standing::Looking => false,
                Standing::Leading { serving } => serving && who == leader,
                Standing::Learning {
                    leader: id,
                    serving,
                } => serving && (place(id) == leader || self.learns_elsewhere(who, leader)),
            };
            stands
                && member.tree.len() == tree.len()
                && member.tree_end == self.members[leader].tree_end
                && member.disk.synced_end() == member.disk.end()
                && zab.history().pending().is_empty()
                && zab.config_seen().is_none()
        })
    }

    /// Whether `who` observes, through a follower of `leader` or by itself: it may take another one
    /// for the leader than its follower does, and gets what its follower has all the same.
    fn learns_elsewhere(&self, who: usize, leader: usize) -> bool {
        let epoch = |who: usize| self.members[who].zab.as_ref().map(Zab::current_epoch);
        let observes = |zab: &Zab| zab.role() == Role::Observer;
        self.config.masters
            && self.members[who].zab.as_ref().is_some_and(observes)
            && epoch(who) == epoch(leader)
    }

    /// Where everybody stands, for a message.
    pub(crate) fn portrait(&self) -> String {
        self.members
            .iter()
            .enumerate()
            .map(|(who, member)| match &member.zab {
                Some(zab) => format!(
                    "{who}: {:?} in {:?}, accepted {} current {}, log {} tree {} synced {}; ",
                    zab.standing(),
                    zab.config().text,
                    zab.accepted_epoch(),
                    zab.current_epoch(),
                    member.disk.end(),
                    member.tree_end,
                    member.disk.synced_end()
                ),
                None => format!("{who}: down; "),
            })
            .collect()
    }
}
