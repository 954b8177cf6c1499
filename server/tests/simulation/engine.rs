//! A member's engine: it starts and dies, its inputs are stepped one by one and its outputs carried
//! out strictly in order, as the real engine does.

use super::checks::Fault;
use super::disk::{Tree, Uncut};
use super::member::Clock;
use super::network::Packet;
use super::world::{Event, World, place, server_id, trace};
use crate::ids::Zxid;
use crate::zab::{Entry, Input, LeaderMessage, Output, Settings, Zab};
use std::rc::Rc;

impl World {
    pub(crate) fn start_sync(&mut self, who: usize) {
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

    pub(crate) fn synced(&mut self, who: usize, life: u64, generation: u64) {
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

    pub(crate) fn settings(&self, who: usize) -> Settings {
        Settings {
            me: server_id(who),
            config: self.config_on_disk(who),
            config_seen: self.members[who].disk.config_seen.as_deref().cloned(),
            reconfig_enabled: self.config.spares.is_some(),
            codec: self.codec(),
            tick_ms: self.config.tick_ms,
            init_limit: self.config.init_limit,
            sync_limit: self.config.sync_limit,
            recent_max: self.config.recent_max,
            counter_max: self.config.counter_max,
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
        let (durable, tree, torn) = member.disk.recover(settings.recent_max);
        self.torn += u64::from(torn);
        member.life += 1;
        member.clock = Clock::new(0);
        member.clock.jump(now, local, 1000);
        member.tree = tree;
        member.tree_end = member.disk.end();
        member.wake_at = None;
        // Nothing of it was on the disk.
        member.forgotten = false;
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
        let tears = self.random.chance(self.config.tear);
        member.disk.crash(&mut self.random, tears);
        member.leave_role();
        self.checks.spec.dies(who);
        self.network.outbox.retain(|(from, _), _| *from != who);
        self.close_streams(who, silent);
    }

    pub(crate) fn close_streams(&mut self, who: usize, silent: bool) {
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

    pub(crate) fn after_step(&mut self, who: usize) -> Result<(), Fault> {
        let member = &self.members[who];
        let Some(zab) = &member.zab else {
            return Ok(());
        };
        zab.invariants()?;
        let (end, committed) = (zab.history().end(), zab.history().committed());
        if member.forgotten {
            // The disk and the tree stay as they are until a leader sends another.
            self.schedule_wake(who);
            return Ok(());
        }
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

    pub(crate) fn schedule_wake(&mut self, who: usize) {
        let now = self.now;
        let member = &mut self.members[who];
        let Some(zab) = &member.zab else { return };
        let at = member.clock.global(zab.next_deadline()).max(now + 1);
        // A wake that comes early looks again.
        if member.wake_at.is_none_or(|earlier| at < earlier) {
            member.wake_at = Some(at);
            self.at(at, Event::Wake { who, at });
        }
    }

    pub(crate) fn carry_out(&mut self, who: usize, out: &mut Vec<Output>) -> Result<(), Fault> {
        for output in out.drain(..) {
            if !self.members[who].is_up() {
                break;
            }
            trace!(self, "{who} -> {output:?}");
            if self.members[who].dies_now(&output) {
                self.dies_in_the_middle(who, &output);
                break;
            }
            let looks = matches!(output, Output::Looking { .. });
            self.one_output(who, output)?;
            if looks && self.members[who].forgotten {
                // The leader went before its tree came: it goes on from its disk as it is.
                self.crash(who, false);
                self.start_later(who, 1);
                break;
            }
        }
        Ok(())
    }

    /// The machine dies before it has carried this out, or half-way through it.
    fn dies_in_the_middle(&mut self, who: usize, output: &Output) {
        let member = &mut self.members[who];
        match output {
            Output::Truncate { to, .. } => {
                member.disk.truncate_partly(*to, &mut self.random);
                self.interrupted_cuts += 1;
            }
            Output::InstallSnapshot { zxid } => {
                if let Some(tree) = member.incoming.take() {
                    member.disk.install_partly(*zxid, tree);
                }
            }
            _ => {}
        }
        self.crash(who, true);
        let ms = self.random.between(1, 10 * self.config.tick_ms);
        self.start_later(who, ms);
    }

    pub(crate) fn one_output(&mut self, who: usize, output: Output) -> Result<(), Fault> {
        match output {
            Output::Notify { to, notification } => self.send_notification(who, to, notification),
            Output::Looking { reason } => {
                self.rollovers += u64::from(reason.contains("used up"));
                self.handed_over += u64::from(reason.contains("hand over"));
                self.members[who].reconfigured = reason.contains("configuration");
                self.members[who].leave_role();
                self.checks.spec.leaves(who);
                self.close_streams(who, false);
            }
            Output::Lead => self.members[who].listening = true,
            Output::ConnectToLeader { leader } => {
                self.members[who].acked_newleader = false;
                self.members[who].dial += 1;
                self.members[who].leader = Some(place(leader));
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
            Output::CloseLearner { conn, reason } => {
                self.check_closing(who, reason)?;
                self.close_end(conn.0, true);
            }
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
                if self.members[who].listening {
                    self.checks.elected(who, epoch)?;
                }
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
                member.forgotten = false;
                member.disk.install(zxid, tree);
            }
            Output::Deliver(entry) => self.deliver(who, entry)?,
            Output::ConfigSeen(seen) => self.members[who].disk.config_seen = seen,
            // Here everybody knows where everybody is.
            Output::ConfigHeard(_) => {}
            Output::ConfigActivated(config) => self.activated(who, config)?,
            Output::Serve => self.serve(who)?,
        }
        Ok(())
    }

    pub(crate) fn truncate(&mut self, who: usize, to: Zxid, reload: bool) -> Result<(), Fault> {
        self.truncations += 1;
        let member = &mut self.members[who];
        let cut = if std::mem::take(&mut member.cant_truncate) {
            Err(Uncut::CantTruncate)
        } else {
            member.disk.truncate(to)
        };
        match cut {
            Ok(()) if reload => {
                member.tree = member.disk.tree();
                member.tree_end = member.disk.end();
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(Uncut::CantTruncate) => {
                self.unusable += 1;
                member.forgotten = true;
                self.input(who, Input::HistoryUnusable)
            }
            Err(Uncut::Fault(fault)) => Err(fault),
        }
    }

    pub(crate) fn deliver(&mut self, who: usize, entry: Entry) -> Result<(), Fault> {
        let member = &mut self.members[who];
        if member.forgotten {
            // Behind a cut that could not be made: the tree is replaced before it is shown.
            return Ok(());
        }
        let txn = self.checks.delivered(&member.tree, &entry)?;
        let zxid = txn.zxid;
        member.tree.push(txn);
        member.tree_end = zxid;
        let (serving, leads) = (member.serving, member.leads);
        if leads == Some(zxid.epoch()) {
            self.check_quorum(who, zxid)?;
        }
        if serving {
            self.checks.shows(who, txn)?;
        }
        if leads == Some(zxid.epoch()) {
            self.checks.acknowledged(zxid)?;
        }
        Ok(())
    }

    pub(crate) fn serve(&mut self, who: usize) -> Result<(), Fault> {
        let member = &mut self.members[who];
        member.serving = true;
        let zab = member.zab.as_ref().expect("it has just spoken");
        let epoch = zab.current_epoch();
        let leader = member.leader.filter(|_| !member.listening);
        if leader.is_none() {
            member.leads = Some(epoch);
            self.elections += 1;
            self.led_at = self.now;
            self.checks.leads(who, epoch, &member.tree)?;
            let config = self.config_on_disk(who);
            self.check_followed(who, epoch, &config)?;
        }
        let tree = &self.members[who].tree;
        self.checks.serves(who, leader, epoch, tree)
    }
}
