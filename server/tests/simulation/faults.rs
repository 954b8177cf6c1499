//! One random life of an ensemble: faults for a while, then peace, in which it must recover.

use super::checks::Fault;
use super::disk::Disk;
use super::random::Random;
use super::tally::Tally;
use super::world::{Config, World, trace};
use crate::ids::Zxid;
use crate::zab::{Input, Output};
use std::collections::BTreeMap;
use std::rc::Rc;

/// All that can strike.
pub(crate) const FAULTS: [&str; 23] = [
    "crash",
    "crash of the leader",
    "crash of all",
    "restart",
    "wiped disk",
    "pause",
    "isolation",
    "partition",
    "one-way cut",
    "heal",
    "broken stream",
    "skipped proposal",
    "handover",
    "slow disk",
    "stuck disk",
    "clock jump",
    "second connection",
    "snapshot",
    "death in the middle of a step",
    "death in a cut",
    "log that can't be cut",
    "reconfiguration",
    "hand-over in order",
];

fn config(random: &mut Random) -> Config {
    let voters = [1, 2, 3, 3, 3, 3, 4, 5, 5, 7][random.below(10)];
    let slow = random.chance(20);
    let tick_ms = [100, 200, 200, 500][random.below(4)];
    let spares = random.chance(35).then(|| random.below(4));
    let groups = if voters >= 3 && spares.is_none() && random.chance(30) {
        groups(random, voters)
    } else {
        Vec::new()
    };
    Config {
        voters,
        observers: [0, 0, 0, 1, 2][random.below(5)],
        spares,
        masters: false,
        groups,
        tick_ms,
        init_limit: 10,
        sync_limit: 5,
        recent_max: [0, 1, 3, 10, 500, 500][random.below(6)],
        delay_ms: if slow { (1, 60) } else { (1, 5) },
        fsync_ms: if random.chance(30) { (1, 120) } else { (1, 8) },
        dial_ms: [0, 100, 500, 1000][random.below(4)],
        loss: [0, 0, 5, 30][random.below(4)],
        duplication: [0, 10][random.below(2)],
        counter_max: [Zxid::COUNTER_MAX, Zxid::COUNTER_MAX, 30, 5][random.below(4)],
        tear: [0, 50][random.below(2)],
        double_dial: [0, 0, 20][random.below(3)],
    }
}

/// Every voter in one of a few groups, with a weight; some weigh nothing.
fn groups(random: &mut Random, voters: usize) -> Vec<Vec<(usize, i64)>> {
    let mut groups = vec![Vec::new(); random.below(3) + 1];
    let weights = [0, 1, 1, 1, 1, 2, 3];
    let count = groups.len();
    for who in 0..voters {
        let weight = weights[random.below(weights.len())];
        groups[random.below(count)].push((who, weight));
    }
    if groups.iter().flatten().all(|(_, weight)| *weight == 0) {
        return Vec::new();
    }
    groups
}

struct Run {
    world: World,
    /// How likely each of `FAULTS` is in this life.
    weights: [u64; FAULTS.len()],
    faults: BTreeMap<&'static str, u64>,
}

/// Lives through `seed`. The lines of what happened go to `trace`, where there is one.
pub(crate) fn run(seed: u64, trace: bool) -> (Result<Tally, Fault>, Vec<String>) {
    let mut random = Random::new(seed);
    let mut config = config(&mut random);
    // Not by chance, which would make another life of every seed.
    config.masters = seed.is_multiple_of(2);
    let mut world = World::new(config, random.next());
    world.trace = trace.then(Vec::new);
    let weights = std::array::from_fn(|_| [0, 1, 1, 2, 5][random.below(5)]);
    let mut run = Run {
        world,
        weights,
        faults: BTreeMap::new(),
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.live()))
        .unwrap_or_else(|_| Err("it panicked, see above".into()));
    let lines = run.world.trace.take().unwrap_or_default();
    let world = run.world;
    let tally = outcome.map(|recovery_ms| Tally {
        seeds: 1,
        steps: world.steps,
        proposals: world.proposals,
        acknowledged: world.checks.acknowledged.len() as u64,
        elections: world.elections,
        snapshots: world.snapshots,
        truncations: world.truncations,
        torn: world.torn,
        interrupted_cuts: world.interrupted_cuts,
        unusable: world.unusable,
        rollovers: world.rollovers,
        changing: u64::from(world.config.spares.is_some()),
        rosters_proposed: world.rosters_proposed,
        rosters_in_force: world.rosters_in_force,
        handed_over: world.handed_over,
        stranded: u64::from(world.stranded),
        hosted: world.hosted,
        weighed: u64::from(!world.config.groups.is_empty()),
        evaluations: world.checks.spec.evaluations,
        faults: run.faults,
        recovery_ms: vec![recovery_ms],
    });
    (tally, lines)
}

impl Run {
    fn live(&mut self) -> Result<u64, Fault> {
        let config = self.world.config.clone();
        trace!(self.world, "{config:?}");
        // Some begin with disks that must not vote.
        if self.world.random.chance(20) && self.world.remembers_without(0) {
            self.world.members[0].disk = Disk::empty(false);
        }
        self.world.start_all()?;
        let end = self.world.random.between(8, 25) * config.tick_ms;
        let client_ms = self.world.random.between(5, 80);
        let fault_ms = self.world.random.between(1, 10) * config.tick_ms;
        let mut next_fault = 2 * config.tick_ms;
        while self.world.now < end {
            let until = self.world.now + self.world.random.between(1, client_ms);
            self.world.run_until(until)?;
            self.clients()?;
            if self.world.now >= next_fault {
                next_fault = self.world.now + self.world.random.between(1, fault_ms);
                self.fault()?;
            }
        }
        self.recover()
    }

    fn clients(&mut self) -> Result<(), Fault> {
        if self.world.random.chance(4) {
            self.world.reconfigure()?;
        }
        for who in 0..self.world.members.len() {
            let member = &self.world.members[who];
            if member.leads.is_some() && member.paused_until <= self.world.now {
                for _ in 0..self.world.random.between(0, 2) {
                    self.world.propose(who)?;
                }
            }
        }
        Ok(())
    }

    fn fault(&mut self) -> Result<(), Fault> {
        let total = self.weights.iter().sum::<u64>();
        if total == 0 {
            return Ok(());
        }
        let mut pick = self.world.random.between(0, total - 1);
        let mut kind = 0;
        while pick >= self.weights[kind] {
            pick -= self.weights[kind];
            kind += 1;
        }
        let kind = FAULTS[kind];
        trace!(self.world, "fault: {kind}");
        self.world.evaluate()?;
        if self.strike(kind)? {
            *self.faults.entry(kind).or_default() += 1;
        }
        Ok(())
    }

    /// Does it, where it can be done.
    fn strike(&mut self, kind: &'static str) -> Result<bool, Fault> {
        let world = &mut self.world;
        let members = world.members.len();
        let who = world.random.below(members);
        let tick_ms = world.config.tick_ms;
        let silent = world.random.chance(30);
        match kind {
            "crash" => {
                world.crash(who, silent);
                let ms = world.random.between(1, 20 * tick_ms);
                world.start_later(who, ms);
            }
            "crash of the leader" => {
                let Some(leader) = world.leader() else {
                    return Ok(false);
                };
                world.crash(leader, silent);
                let ms = world.random.between(1, 10 * tick_ms);
                world.start_later(leader, ms);
            }
            "crash of all" => {
                for who in 0..members {
                    world.crash(who, silent);
                    let ms = world.random.between(1, 3 * tick_ms);
                    world.start_later(who, ms);
                }
            }
            "restart" => world.start(who)?,
            "wiped disk" => return self.wipe(who),
            "pause" => {
                let ms = world.random.between(1, 12 * tick_ms);
                world.members[who].paused_until = world.now + ms;
            }
            "isolation" => {
                for other in 0..members {
                    world.network.block(who, other);
                    world.network.block(other, who);
                }
            }
            "partition" => {
                let side = world.random.next();
                for from in 0..members {
                    for to in 0..members {
                        if (side >> from) & 1 != (side >> to) & 1 {
                            world.network.block(from, to);
                        }
                    }
                }
            }
            "one-way cut" => {
                let all = world.random.chance(50);
                let one = world.random.below(members);
                let outward = world.random.chance(50);
                for other in 0..members {
                    if all || other == one {
                        let (from, to) = if outward { (who, other) } else { (other, who) };
                        world.network.block(from, to);
                    }
                }
            }
            "heal" => world.network.heal(),
            "broken stream" => {
                let streams = world.network.streams.keys().copied().collect::<Vec<_>>();
                if streams.is_empty() {
                    return Ok(false);
                }
                let stream = streams[world.random.below(streams.len())];
                world.break_stream(stream);
            }
            "skipped proposal" => {
                // No network does this, but leaders have: the learner must see the hole.
                let skipped = world.network.skip_proposal();
                return Ok(skipped);
            }
            "handover" => {
                let who = world.leader().unwrap_or(who);
                let reason = "it hands over";
                world.input(who, Input::StepDown { reason })?;
            }
            "slow disk" => {
                let high = world.random.between(1, 4 * tick_ms);
                world.members[who].fsync_ms = (high / 2, high);
            }
            "stuck disk" => {
                if world.stuck_disks.contains(&who) {
                    world.free_disk(who);
                } else {
                    world.stuck_disks.insert(who);
                }
            }
            "clock jump" => {
                let ms = world.random.between(0, 20 * tick_ms);
                let rate = world.random.between(700, 1400);
                world.jump_clock(who, ms, rate);
            }
            "second connection" => return Ok(world.connect_twice(who)),
            "snapshot" => {
                let member = &mut world.members[who];
                if !member.serving {
                    return Ok(false);
                }
                // Of committed transactions only, and with the log before the last one purged.
                let tree = Rc::new(member.tree.clone());
                member.disk.save_snapshot(member.tree_end, tree);
            }
            "death in the middle of a step" => {
                let outputs = world.random.between(0, 12);
                world.members[who].dies_after = Some(outputs);
            }
            "death in a cut" => {
                world.members[who].dies_at = Some(|output| {
                    matches!(
                        output,
                        Output::Truncate { .. } | Output::InstallSnapshot { .. }
                    )
                });
            }
            "log that can't be cut" => world.members[who].cant_truncate = true,
            "reconfiguration" => return world.reconfigure(),
            "hand-over in order" => {
                let who = world.leader().unwrap_or(who);
                world.input(who, Input::HandOver)?;
            }
            other => return Err(format!("no such fault: {other}")),
        }
        Ok(true)
    }

    /// Replaces a disk by an empty one, while a quorum of disks remains that remember. The machine
    /// stays down until nobody can take an old stream of it for alive.
    fn wipe(&mut self, who: usize) -> Result<bool, Fault> {
        let world = &mut self.world;
        if !world.remembers_without(who) {
            return Ok(false);
        }
        world.crash(who, true);
        world.members[who].disk = Disk::empty(false);
        world.members[who].cant_truncate = false;
        let ms = world.random.between(1, 10 * world.config.tick_ms);
        world.start_later(who, ms);
        Ok(true)
    }

    /// Peace: everybody runs and reaches everybody. Returns how long it took to agree.
    fn recover(&mut self) -> Result<u64, Fault> {
        let world = &mut self.world;
        trace!(world, "peace");
        world.config.loss = 0;
        world.config.duplication = 0;
        world.config.double_dial = 0;
        world.config.dial_ms = world.config.dial_ms.max(500);
        world.network.heal();
        for who in 0..world.members.len() {
            world.members[who].fsync_ms = (1, 8);
            world.members[who].dies_after = None;
            world.members[who].dies_at = None;
            world.members[who].cant_truncate = false;
            world.members[who].paused_until = world.members[who].paused_until.min(world.now);
            world.free_disk(who);
            world.start(who)?;
        }
        world.tell_the_forgotten()?;
        let began = world.now;
        // A wrong turn costs one initLimit; nobody needs to take more than a few.
        let patience = 5 * world.config.tick_ms * world.config.init_limit + 10_000;
        if !world.run_while(patience, World::agrees)? {
            if world.is_stranded() {
                world.stranded = true;
                world.evaluate()?;
                return Ok(patience);
            }
            return Err(format!(
                "no agreement {patience} ms after the faults: {}",
                world.portrait()
            ));
        }
        let took = world.now - began;
        // And it serves. Who agrees may be about to miss its leader, which was paused: what that
        // proposes then is no one's, and a client that lost it asks the next one.
        let before = world.checks.chosen_len();
        let written_by = world.now + patience;
        while world.checks.chosen_len() == before {
            let leader = world.leader().ok_or("they agree without a leader")?;
            let leads = world.members[leader].leads;
            world.propose(leader)?;
            let settled = |world: &World| {
                let leads_on =
                    world.leader() == Some(leader) && world.members[leader].leads == leads;
                world.agrees() && (world.checks.chosen_len() > before || !leads_on)
            };
            let left = written_by.saturating_sub(world.now);
            if !world.run_while(left, settled)? {
                return Err(format!("no write after the faults: {}", world.portrait()));
            }
        }
        world.evaluate()?;
        Ok(took)
    }
}
