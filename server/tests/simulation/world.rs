//! The engine of the simulation: events in the order of their time, each member's outputs carried
//! out strictly in order, as the real engine does.

use super::checks::{Checks, Fault};
use super::disk::{Disk, Tree};
use super::member::{Clock, Member};
use super::network::{Network, Packet, Stream};
use super::random::Random;
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;
use zookeeper_server::ids::{ServerId, Zxid};
use zookeeper_server::zab::{
    Entry, Input, LeaderMessage, LearnerConn, LearnerMessage, Membership, Notification, Output,
    Settings, Standing, Zab,
};

/// What an ensemble is made of. Times in milliseconds, odds in percent.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) voters: usize,
    pub(crate) observers: usize,
    pub(crate) tick_ms: u64,
    pub(crate) init_limit: u64,
    pub(crate) sync_limit: u64,
    pub(crate) recent_max: usize,
    pub(crate) delay_ms: (u64, u64),
    pub(crate) fsync_ms: (u64, u64),
    /// How long a learner tries to reach its leader.
    pub(crate) dial_ms: u64,
    /// Election messages lost, and delivered twice.
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
}

impl Config {
    /// An ensemble on a good network, with ZooKeeper's usual limits.
    pub(crate) fn calm(voters: usize, observers: usize) -> Self {
        Config {
            voters,
            observers,
            tick_ms: 2000,
            init_limit: 10,
            sync_limit: 5,
            recent_max: 500,
            delay_ms: (1, 3),
            fsync_ms: (1, 8),
            dial_ms: 2000,
            loss: 0,
            duplication: 0,
        }
    }
}

/// What can happen.
enum Event {
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
    /// When the newest leader began to serve.
    pub(crate) led_at: u64,
    /// What happened, where somebody wants to read it.
    pub(crate) trace: Option<Vec<String>>,
    /// Disks that never complete an fsync.
    pub(crate) stuck_disks: BTreeSet<usize>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
    next_stream: u64,
    next_payload: u64,
    out: Vec<Output>,
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

fn place(id: ServerId) -> usize {
    usize::try_from(id.0 - 1).expect("a member's id")
}

impl World {
    /// Members on empty, initialised disks; nobody has started.
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let members = (0..config.voters + config.observers)
            .map(|_| Member::new(Disk::empty(true), config.fsync_ms))
            .collect();
        World {
            config,
            random: Random::new(seed),
            now: 0,
            members,
            network: Network::default(),
            checks: Checks::default(),
            steps: 0,
            proposals: 0,
            elections: 0,
            snapshots: 0,
            truncations: 0,
            led_at: 0,
            trace: None,
            stuck_disks: BTreeSet::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            next_stream: 0,
            next_payload: 0,
            out: Vec::new(),
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((time, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn delay(&mut self) -> u64 {
        let (low, high) = self.config.delay_ms;
        self.random.between(low, high)
    }

    /// Lets everything happen up to `until`.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<(), Fault> {
        while let Some(Reverse((time, _))) = self.queue.peek()
            && *time <= until
        {
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
            match self.queue.peek() {
                Some(Reverse((time, _))) if *time <= end => self.one_event()?,
                _ => {
                    self.now = end;
                    return Ok(done(self));
                }
            }
        }
        Ok(true)
    }

    fn one_event(&mut self) -> Result<(), Fault> {
        let Some(Reverse((time, sequence))) = self.queue.pop() else {
            return Ok(());
        };
        self.now = time;
        let event = self
            .events
            .remove(&sequence)
            .expect("every place in the queue has its event");
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

    fn wake(&mut self, who: usize, at: u64) -> Result<(), Fault> {
        if self.members[who].wake_at != Some(at) {
            return Ok(());
        }
        self.members[who].wake_at = None;
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

    fn is_due(&self, who: usize) -> bool {
        let member = &self.members[who];
        let now = member.clock.local(self.now);
        let zab = member.zab.as_ref();
        zab.is_some_and(|zab| zab.next_deadline() <= now)
    }

    // Election messages.

    fn notify(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        if !self.network.outbox.contains_key(&(from, to)) {
            return Ok(());
        }
        let reachable = self.members[to].is_up() && !self.network.is_blocked(from, to);
        let lost = self.random.chance(self.config.loss);
        if !reachable && !lost {
            // The network layer sends the newest message once it has a connection again.
            let again = self.now + self.random.between(20, 200);
            self.at(again, Event::Notify { from, to });
            return Ok(());
        }
        let notification = self.network.outbox.remove(&(from, to));
        match notification {
            Some(notification) if !lost => {
                if self.random.chance(self.config.duplication) {
                    let again = self.now + self.random.between(1, 1000);
                    let notification = notification.clone();
                    self.at(
                        again,
                        Event::NotifyAgain {
                            from,
                            to,
                            notification,
                        },
                    );
                }
                self.notification(from, to, notification)
            }
            _ => Ok(()),
        }
    }

    fn notification(
        &mut self,
        from: usize,
        to: usize,
        notification: Notification,
    ) -> Result<(), Fault> {
        let from = server_id(from);
        self.input(to, Input::Notification { from, notification })
    }

    // Streams.

    fn push(&mut self, stream: u64, to_leader: bool, packet: Packet) {
        let mut at = self.now + self.delay();
        if let Packet::Leader(_, Some(tree)) = &packet {
            // A snapshot takes its time.
            at += tree.len() as u64 / 4;
        }
        if let Some(found) = self.network.streams.get_mut(&stream)
            && !found.broken
        {
            let at = found.way(to_leader).push(at, packet);
            self.at(at, Event::Pump { stream, to_leader });
        }
    }

    fn pump(&mut self, id: u64, to_leader: bool) -> Result<(), Fault> {
        let Some(stream) = self.network.streams.get(&id) else {
            return Ok(());
        };
        let (sender, receiver) = stream.ends(to_leader);
        if self.network.is_blocked(sender, receiver) {
            // What is sent again and again arrives once the way is free.
            let again = self.now + 50;
            self.at(
                again,
                Event::Pump {
                    stream: id,
                    to_leader,
                },
            );
            return Ok(());
        }
        let now = self.now;
        let stream = self
            .network
            .streams
            .get_mut(&id)
            .expect("it was there just now");
        let open = stream.is_open_at(to_leader);
        let sender_open = stream.is_open_at(!to_leader);
        let way = stream.way(to_leader);
        if way.packets.front().is_none_or(|(at, _)| *at > now) {
            return Ok(());
        }
        let Some((_, packet)) = way.packets.pop_front() else {
            return Ok(());
        };
        if !open {
            // A machine that runs refuses what it knows nothing of; a dead one says nothing.
            if self.members[receiver].is_up() && sender_open {
                let at = self.now + self.delay();
                self.at(
                    at,
                    Event::Gone {
                        stream: id,
                        leader_end: !to_leader,
                    },
                );
            }
            return Ok(());
        }
        let conn = LearnerConn(id);
        match packet {
            Packet::Learner(message) => self.input(receiver, Input::FromLearner { conn, message }),
            Packet::PingAnswer => self.input(receiver, Input::LearnerHeard { conn }),
            Packet::Leader(message, tree) => {
                if let Some(tree) = tree {
                    self.members[receiver].incoming = Some(tree);
                }
                self.input(receiver, Input::FromLeader { message })
            }
            Packet::Fin => self.gone(id, to_leader),
        }
    }

    fn gone(&mut self, id: u64, leader_end: bool) -> Result<(), Fault> {
        let Some(stream) = self.network.streams.get_mut(&id) else {
            return Ok(());
        };
        if !stream.is_open_at(leader_end) {
            return Ok(());
        }
        let (_, who) = stream.ends(leader_end);
        self.close_end(id, leader_end);
        if leader_end {
            let conn = LearnerConn(id);
            self.input(who, Input::LearnerGone { conn })
        } else if self.members[who].leader_stream == Some(id) {
            self.members[who].leader_stream = None;
            self.input(who, Input::LeaderGone)
        } else {
            Ok(())
        }
    }

    /// Closes one end and lets the other know: behind all in flight, or instead of it.
    fn close_end(&mut self, id: u64, leader_end: bool) {
        let reset = self.random.chance(30);
        let Some(stream) = self.network.streams.get_mut(&id) else {
            return;
        };
        if !stream.is_open_at(leader_end) {
            return;
        }
        stream.close_at(leader_end);
        if !stream.learner_open && !stream.leader_open {
            self.network.streams.remove(&id);
            return;
        }
        if reset {
            stream.way(!leader_end).packets.clear();
        }
        self.push(id, !leader_end, Packet::Fin);
    }

    /// Breaks a stream in the middle: what is in flight is lost, and each end learns of it at its
    /// own time, or never.
    pub(crate) fn break_stream(&mut self, id: u64) {
        let Some(stream) = self.network.streams.get_mut(&id) else {
            return;
        };
        stream.broken = true;
        stream.to_leader.packets.clear();
        stream.to_learner.packets.clear();
        let untold = self.random.between(0, 3);
        for leader_end in [true, false] {
            let at = self.now + self.random.between(0, 300);
            if untold != u64::from(leader_end) {
                self.at(
                    at,
                    Event::Gone {
                        stream: id,
                        leader_end,
                    },
                );
            }
        }
    }

    fn dial(&mut self, who: usize, dial: u64, leader: usize, until: u64) -> Result<(), Fault> {
        if self.members[who].dial != dial || !self.members[who].is_up() {
            return Ok(());
        }
        let answers = self.members[leader].is_up()
            && self.members[leader].listening
            && !self.network.is_blocked(who, leader)
            && !self.network.is_blocked(leader, who);
        if answers {
            self.next_stream += 1;
            let id = self.next_stream;
            self.network.streams.insert(
                id,
                Stream {
                    learner: who,
                    leader,
                    learner_open: true,
                    leader_open: true,
                    broken: false,
                    to_leader: Default::default(),
                    to_learner: Default::default(),
                },
            );
            self.members[who].leader_stream = Some(id);
            self.input(who, Input::LeaderConnected)
        } else if self.now >= until {
            self.input(who, Input::LeaderGone)
        } else {
            let again = self.now + self.random.between(10, 40);
            self.at(
                again,
                Event::Dial {
                    who,
                    dial,
                    leader,
                    until,
                },
            );
            Ok(())
        }
    }

    // Disks.

    fn start_sync(&mut self, who: usize) {
        let member = &mut self.members[who];
        if self.stuck_disks.contains(&who) || !member.disk.start_sync() {
            return;
        }
        let (life, generation) = (member.life, member.disk.generation);
        let (low, high) = member.fsync_ms;
        let at = self.now + self.random.between(low, high);
        self.at(
            at,
            Event::Synced {
                who,
                life,
                generation,
            },
        );
    }

    fn synced(&mut self, who: usize, life: u64, generation: u64) {
        let member = &mut self.members[who];
        if member.life != life || member.disk.generation != generation {
            return;
        }
        if let Some(zxid) = member.disk.finish_sync() {
            // The word of it takes its way through the engine's queues.
            let at = self.now + self.random.between(0, 2);
            self.at(
                at,
                Event::Persisted {
                    who,
                    life,
                    generation,
                    zxid,
                },
            );
        }
        self.start_sync(who);
    }

    /// A disk that was stuck goes on.
    pub(crate) fn free_disk(&mut self, who: usize) {
        self.stuck_disks.remove(&who);
        self.start_sync(who);
    }

    // Processes.

    pub(crate) fn settings(&self, who: usize) -> Settings {
        let voters = (0..self.config.voters).map(server_id);
        let observers = (self.config.voters..self.members.len()).map(server_id);
        Settings {
            me: server_id(who),
            membership: Membership::new(voters, observers),
            config_text: String::new(),
            tick_ms: self.config.tick_ms,
            init_limit: self.config.init_limit,
            sync_limit: self.config.sync_limit,
            recent_max: self.config.recent_max,
        }
    }

    pub(crate) fn start(&mut self, who: usize) -> Result<(), Fault> {
        if self.members[who].is_up() {
            return Ok(());
        }
        trace!(self, "{who} starts");
        let settings = self.settings(who);
        let now = self.now;
        let local = self.random.between(0, 5000);
        let member = &mut self.members[who];
        let (durable, tree) = member.disk.recover(settings.recent_max);
        member.life += 1;
        member.clock = Clock::new(0);
        member.clock.jump(now, local, 1000);
        member.tree = tree;
        member.tree_end = member.disk.end();
        member.wake_at = None;
        member.leave_role();
        let mut out = std::mem::take(&mut self.out);
        let zab = Zab::new(settings, durable, member.clock.local(now), &mut out);
        self.members[who].zab = Some(zab);
        self.carry_out(who, &mut out)?;
        self.out = out;
        self.after_step(who)
    }

    pub(crate) fn start_all(&mut self) -> Result<(), Fault> {
        (0..self.members.len()).try_for_each(|who| self.start(who))
    }

    pub(crate) fn start_later(&mut self, who: usize, ms: u64) {
        let life = self.members[who].life;
        let at = self.now + ms;
        self.at(at, Event::Start { who, life });
    }

    /// The process dies. A silent death is the whole machine's: nobody is told.
    pub(crate) fn crash(&mut self, who: usize, silent: bool) {
        if !self.members[who].is_up() {
            return;
        }
        trace!(self, "{who} dies (silently: {silent})");
        let member = &mut self.members[who];
        member.zab = None;
        member.life += 1;
        member.paused_until = 0;
        member.disk.crash(&mut self.random);
        member.leave_role();
        self.network.outbox.retain(|(from, _), _| *from != who);
        self.close_streams(who, silent);
    }

    fn close_streams(&mut self, who: usize, silent: bool) {
        let ends = self
            .network
            .streams
            .iter()
            .flat_map(|(id, stream)| {
                let leads = (stream.leader == who).then_some((*id, true));
                let learns = (stream.learner == who).then_some((*id, false));
                leads.into_iter().chain(learns)
            })
            .collect::<Vec<_>>();
        for (id, leader_end) in ends {
            if silent {
                if let Some(stream) = self.network.streams.get_mut(&id) {
                    stream.close_at(leader_end);
                    stream.way(!leader_end).packets.clear();
                }
            } else {
                self.close_end(id, leader_end);
            }
        }
    }

    /// A member's clock jumps forward and goes on at another speed.
    pub(crate) fn jump_clock(&mut self, who: usize, ms: u64, rate: u64) {
        let now = self.now;
        self.members[who].clock.jump(now, ms, rate);
        self.members[who].wake_at = None;
        self.schedule_wake(who);
    }

    pub(crate) fn input(&mut self, who: usize, input: Input) -> Result<(), Fault> {
        let now = self.now;
        let member = &mut self.members[who];
        let Some(zab) = &mut member.zab else {
            return Ok(());
        };
        self.steps += 1;
        trace!(self, "{who} <- {input:?}");
        let mut out = std::mem::take(&mut self.out);
        zab.step(member.clock.local(now), input, &mut out);
        let carried = self.carry_out(who, &mut out);
        self.out = out;
        carried?;
        self.after_step(who)
    }

    fn after_step(&mut self, who: usize) -> Result<(), Fault> {
        let member = &self.members[who];
        let Some(zab) = &member.zab else {
            return Ok(());
        };
        zab.invariants()?;
        let (end, committed) = (zab.history().end(), zab.history().committed());
        if end != member.disk.end() || committed != member.tree_end {
            return Err(format!(
                "member {who} believes its log ends at {end} and its tree at {committed}, \
                 but they end at {} and {}",
                member.disk.end(),
                member.tree_end
            ));
        }
        if zab.history().durable() > member.disk.synced_end() {
            return Err(format!(
                "member {who} takes {} for durable, but its disk has synced {}",
                zab.history().durable(),
                member.disk.synced_end()
            ));
        }
        self.schedule_wake(who);
        Ok(())
    }

    fn schedule_wake(&mut self, who: usize) {
        let now = self.now;
        let member = &mut self.members[who];
        let Some(zab) = &member.zab else { return };
        let at = member.clock.global(zab.next_deadline()).max(now + 1);
        if member.wake_at != Some(at) {
            member.wake_at = Some(at);
            self.at(at, Event::Wake { who, at });
        }
    }

    fn carry_out(&mut self, who: usize, out: &mut Vec<Output>) -> Result<(), Fault> {
        for output in out.drain(..) {
            trace!(self, "{who} -> {output:?}");
            self.one_output(who, output)?;
        }
        Ok(())
    }

    fn one_output(&mut self, who: usize, output: Output) -> Result<(), Fault> {
        match output {
            Output::Notify { to, notification } => self.send_notification(who, to, notification),
            Output::Looking { .. } => {
                self.members[who].leave_role();
                self.close_streams(who, false);
            }
            Output::Lead => self.members[who].listening = true,
            Output::ConnectToLeader { leader } => {
                self.members[who].acked_newleader = false;
                self.members[who].dial += 1;
                if let Some(old) = self.members[who].leader_stream.take() {
                    self.close_end(old, false);
                }
                let (dial, leader) = (self.members[who].dial, place(leader));
                let at = self.now + self.delay();
                let until = self.now + self.config.dial_ms;
                self.at(
                    at,
                    Event::Dial {
                        who,
                        dial,
                        leader,
                        until,
                    },
                );
            }
            Output::ToLeader(message) => {
                self.check_ack(who, &message)?;
                if let Some(stream) = self.members[who].leader_stream {
                    self.push(stream, true, Packet::Learner(message));
                }
            }
            Output::AnswerPing => {
                if let Some(stream) = self.members[who].leader_stream {
                    self.push(stream, true, Packet::PingAnswer);
                }
            }
            Output::ToLearner { conn, message } => {
                self.push(conn.0, false, Packet::Leader(message, None));
            }
            Output::SnapshotToLearner { conn, zxid } => {
                self.snapshots += 1;
                let member = &self.members[who];
                if member.tree_end != zxid {
                    return Err(format!(
                        "member {who} sends its tree at {} as {zxid}",
                        member.tree_end
                    ));
                }
                let tree = Rc::new(member.tree.clone());
                let message = LeaderMessage::Snap { zxid };
                self.push(conn.0, false, Packet::Leader(message, Some(tree)));
            }
            Output::CloseLearner { conn, .. } => self.close_end(conn.0, true),
            Output::WriteAcceptedEpoch(epoch) => {
                let disk = &mut self.members[who].disk;
                if epoch < disk.accepted_epoch {
                    return Err(format!("member {who} takes its accepted epoch back"));
                }
                disk.accepted_epoch = epoch;
            }
            Output::WriteCurrentEpoch(epoch) => {
                let disk = &mut self.members[who].disk;
                if epoch < disk.current_epoch || epoch > disk.accepted_epoch {
                    return Err(format!("member {who} enters {epoch} out of turn"));
                }
                if disk.synced_end() != disk.end() {
                    return Err(format!(
                        "member {who} enters {epoch} before its log is synced"
                    ));
                }
                disk.current_epoch = epoch;
            }
            Output::Append(entry) => {
                self.members[who].disk.append(entry)?;
                self.start_sync(who);
            }
            Output::Truncate { to, reload } => self.truncate(who, to, reload)?,
            Output::InstallSnapshot { zxid } => {
                let member = &mut self.members[who];
                let tree = member
                    .incoming
                    .take()
                    .ok_or_else(|| format!("member {who} installs a snapshot that never came"))?;
                member.tree = Tree::clone(&tree);
                member.tree_end = zxid;
                member.disk.install(zxid, tree);
            }
            Output::Deliver(entry) => self.deliver(who, entry)?,
            Output::Serve => self.serve(who)?,
        }
        Ok(())
    }

    fn send_notification(&mut self, who: usize, to: ServerId, notification: Notification) {
        let to = place(to);
        if self
            .network
            .outbox
            .insert((who, to), notification)
            .is_none()
        {
            let at = self.now + self.delay();
            self.at(at, Event::Notify { from: who, to });
        }
    }

    fn truncate(&mut self, who: usize, to: Zxid, reload: bool) -> Result<(), Fault> {
        self.truncations += 1;
        let member = &mut self.members[who];
        member.disk.truncate(to)?;
        if reload {
            member.tree = member.disk.tree();
            member.tree_end = member.disk.end();
        }
        Ok(())
    }

    fn deliver(&mut self, who: usize, entry: Entry) -> Result<(), Fault> {
        let member = &mut self.members[who];
        self.checks.delivered(&member.tree, &entry)?;
        let zxid = entry.zxid;
        member.tree.push(entry);
        member.tree_end = zxid;
        if member.serving {
            self.checks
                .shows(who, &member.tree, member.tree.len() - 1)?;
        }
        if member.leads == Some(zxid.epoch()) {
            self.checks.acknowledged(zxid)?;
        }
        Ok(())
    }

    fn serve(&mut self, who: usize) -> Result<(), Fault> {
        let member = &mut self.members[who];
        member.serving = true;
        self.checks.shows(who, &member.tree, 0)?;
        let zab = member.zab.as_ref().expect("it has just spoken");
        if let Standing::Leading { .. } = zab.standing() {
            let epoch = zab.current_epoch();
            member.leads = Some(epoch);
            self.elections += 1;
            self.led_at = self.now;
            self.checks.leads(who, epoch, &member.tree)?;
        }
        Ok(())
    }

    /// A learner acknowledges only what its disk has synced.
    fn check_ack(&mut self, who: usize, message: &LearnerMessage) -> Result<(), Fault> {
        let LearnerMessage::Ack { zxid } = message else {
            return Ok(());
        };
        let member = &mut self.members[who];
        let epoch_begins = zxid.counter() == 0;
        let durable = if epoch_begins && !member.acked_newleader {
            member.acked_newleader = true;
            member.disk.synced_end() == member.disk.end()
        } else {
            epoch_begins || *zxid <= member.disk.synced_end()
        };
        if !durable || (epoch_begins && member.disk.current_epoch != zxid.epoch()) {
            return Err(format!(
                "member {who} acknowledges {zxid} with {} of {} synced in epoch {}",
                member.disk.synced_end(),
                member.disk.end(),
                member.disk.current_epoch
            ));
        }
        Ok(())
    }

    // Clients.

    /// A client has the leader propose something nobody ever proposed. False where it does not lead.
    pub(crate) fn propose(&mut self, who: usize) -> Result<bool, Fault> {
        let Some(zab) = &self.members[who].zab else {
            return Ok(false);
        };
        let Some(zxid) = zab.next_zxid() else {
            return Ok(false);
        };
        self.next_payload += 1;
        self.proposals += 1;
        let payload = Bytes::copy_from_slice(&self.next_payload.to_be_bytes());
        let entry = Entry { zxid, payload };
        self.checks.proposed(&entry)?;
        self.input(who, Input::Propose { entry })?;
        Ok(true)
    }

    // What one sees from outside.

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
            let stands = match zab.standing() {
                Standing::Looking => false,
                Standing::Leading { serving } => serving && who == leader,
                Standing::Learning {
                    leader: id,
                    serving,
                } => serving && place(id) == leader,
            };
            stands
                && member.tree.len() == tree.len()
                && member.tree_end == self.members[leader].tree_end
                && member.disk.synced_end() == member.disk.end()
                && zab.history().pending().is_empty()
        })
    }

    /// Where everybody stands, for a message.
    pub(crate) fn portrait(&self) -> String {
        self.members
            .iter()
            .enumerate()
            .map(|(who, member)| match &member.zab {
                Some(zab) => format!(
                    "{who}: {:?}, accepted {} current {}, log {} tree {} synced {}; ",
                    zab.standing(),
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
