//! Faults, drawn from a deck that a seed has shuffled, so that a run of any length has many kinds.

use crate::Outcome;
use crate::ensemble::Ensemble;
use crate::member::PATIENCE;
use crate::membership::{Changes, Membership};
use crate::network::Cuts;
use crate::random::Random;
use crate::workload::Workload;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A recovery that is worth a line.
const SLOW: Duration = Duration::from_secs(3);

/// What can happen to an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of the leader.
    KillLeader,
    /// kill -9 of any member.
    KillOne,
    /// kill -9 of so many that no quorum is left.
    KillMajority,
    /// kill -9 of all at once.
    KillAll,
    /// SIGTERM of the leader.
    EndLeader,
    /// SIGSTOP of the leader.
    PauseLeader,
    /// SIGSTOP of any member.
    PauseOne,
    /// SIGSTOP of so many that no quorum is left.
    PauseMajority,
    /// Nothing passes between the leader and the other members.
    IsolateLeader,
    /// Nothing that the leader says reaches the other members.
    MuteLeader,
    /// Nothing that the other members say reaches the leader.
    DeafLeader,
    /// Nothing that a member says reaches the others.
    MuteOne,
    /// Nothing that the others say reaches a member.
    DeafOne,
    /// Two parts that don't hear each other.
    Split,
    /// No member hears another.
    Shatter,
    /// Two parts that only one member hears both of.
    Bridge,
    /// Clients don't reach a member, nor it them.
    CutOffClients,
    /// Every member loses some of the packets that come to it.
    LosePackets,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Fault; 18] = [
        Fault::KillLeader,
        Fault::KillOne,
        Fault::KillMajority,
        Fault::KillAll,
        Fault::EndLeader,
        Fault::PauseLeader,
        Fault::PauseOne,
        Fault::PauseMajority,
        Fault::IsolateLeader,
        Fault::MuteLeader,
        Fault::DeafLeader,
        Fault::MuteOne,
        Fault::DeafOne,
        Fault::Split,
        Fault::Shatter,
        Fault::Bridge,
        Fault::CutOffClients,
        Fault::LosePackets,
    ];
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::KillLeader => "leader killed",
            Fault::KillOne => "member killed",
            Fault::KillMajority => "majority killed",
            Fault::KillAll => "all killed",
            Fault::EndLeader => "leader ended",
            Fault::PauseLeader => "leader paused",
            Fault::PauseOne => "member paused",
            Fault::PauseMajority => "majority paused",
            Fault::IsolateLeader => "leader isolated",
            Fault::MuteLeader => "leader mute",
            Fault::DeafLeader => "leader deaf",
            Fault::MuteOne => "member mute",
            Fault::DeafOne => "member deaf",
            Fault::Split => "split",
            Fault::Shatter => "shattered",
            Fault::Bridge => "bridged",
            Fault::CutOffClients => "clients cut off",
            Fault::LosePackets => "packets lost",
        })
    }
}

/// What faults came to.
#[derive(Clone, Debug, Default)]
pub struct Suffered {
    /// How many of each kind.
    pub faults: BTreeMap<Fault, u32>,
    /// The longest that it took from the end of a fault to the next acknowledged write.
    pub slowest_recovery: Duration,
    /// What became of changes of the membership, where there were any.
    pub changes: Option<Changes>,
}

/// A source of faults.
#[derive(Debug)]
pub struct Nemesis {
    random: Random,
    deck: Vec<Fault>,
    cuts: Cuts,
    /// Packets of a hundred that members lose.
    loss_percent: u8,
    suffered: Suffered,
    membership: Option<Membership>,
}

impl Nemesis {
    /// The faults of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Nemesis {
            random: Random::of_part(seed, 1),
            deck: Vec::new(),
            cuts: Cuts::new(),
            loss_percent: 0,
            suffered: Suffered::default(),
            membership: None,
        }
    }

    /// The same, with members that come and go between and during the faults.
    #[must_use]
    pub fn that_changes_members(seed: u64) -> Self {
        Nemesis {
            membership: Some(Membership::new(seed)),
            ..Nemesis::new(seed)
        }
    }

    /// Has the ensemble suffer for `length`, and leaves it healed.
    ///
    /// # Errors
    /// Where it does not recover, or a member ends by itself.
    pub fn torment(
        mut self,
        ensemble: &mut Ensemble,
        workload: &Workload,
        length: Duration,
    ) -> Outcome<Suffered> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            let faults = if self.random.chance(25) { 2 } else { 1 };
            let mut story = String::new();
            self.begin_change(ensemble);
            for _ in 0..faults {
                let fault = self.draw();
                story += &format!("{fault}, ");
                self.inflict(fault, ensemble)
                    .map_err(|error| format!("{fault}: {error}"))?;
                *self.suffered.faults.entry(fault).or_default() += 1;
                self.rest(150, 2_000);
            }
            self.cuts.clear();
            self.loss_percent = 0;
            ensemble.network.heal()?;
            ensemble
                .start_all()
                .map_err(|error| format!("after {story}{error}"))?;
            let recovery = self
                .await_recovery(workload)
                .map_err(|error| format!("after {story}{error}"))?;
            if recovery >= SLOW {
                let seconds = recovery.as_secs_f32();
                println!("{story}then {seconds:.1} s to the next write");
            }
            if let Some(membership) = &mut self.membership {
                membership.end();
            }
            self.rest(0, 900);
        }
        if let Some(membership) = self.membership.take() {
            self.suffered.changes = Some(membership.restore(ensemble)?);
        }
        Ok(self.suffered)
    }

    /// Most faults come a moment after a change was asked for: before it is proposed, while it is,
    /// or once it is done.
    fn begin_change(&mut self, ensemble: &Ensemble) {
        let Some(membership) = &mut self.membership else {
            return;
        };
        if self.random.chance(80) {
            membership.begin(ensemble);
            let moment = [0, 5, 30, 300][self.random.below(4)];
            std::thread::sleep(Duration::from_millis(moment));
        }
    }

    fn draw(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = Fault::ALL.to_vec();
            for place in (1..self.deck.len()).rev() {
                let other = self.random.below(place + 1);
                self.deck.swap(place, other);
            }
        }
        self.deck.pop().unwrap_or(Fault::KillOne)
    }

    fn rest(&mut self, from_ms: u64, to_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.random.between(from_ms, to_ms)));
    }

    /// A member that runs, the leader if that is asked for and there is one.
    fn pick(&mut self, ensemble: &Ensemble, leader: bool) -> Option<usize> {
        if leader && let Some(leader) = ensemble.leader_now() {
            return Some(leader);
        }
        let running = ensemble.running();
        (!running.is_empty()).then(|| running[self.random.below(running.len())])
    }

    /// So many of those that run that the others are no quorum.
    fn pick_majority(&mut self, ensemble: &Ensemble) -> Vec<usize> {
        let count = ensemble.members.len();
        let mut picked = ensemble.running();
        while picked.len() > count.div_ceil(2) {
            let place = self.random.below(picked.len());
            picked.swap_remove(place);
        }
        picked
    }

    fn inflict(&mut self, fault: Fault, ensemble: &mut Ensemble) -> Outcome {
        match fault {
            Fault::KillLeader | Fault::KillOne => {
                if let Some(member) = self.pick(ensemble, fault == Fault::KillLeader) {
                    ensemble.members[member].kill();
                }
            }
            Fault::KillMajority => {
                for member in self.pick_majority(ensemble) {
                    ensemble.members[member].kill();
                }
            }
            Fault::KillAll => {
                for member in &mut ensemble.members {
                    member.kill();
                }
            }
            Fault::EndLeader => {
                if let Some(member) = self.pick(ensemble, true) {
                    ensemble.members[member].terminate()?;
                }
            }
            Fault::PauseLeader | Fault::PauseOne => {
                if let Some(member) = self.pick(ensemble, fault == Fault::PauseLeader) {
                    ensemble.members[member].pause()?;
                }
            }
            Fault::PauseMajority => {
                for member in self.pick_majority(ensemble) {
                    ensemble.members[member].pause()?;
                }
            }
            Fault::LosePackets => {
                self.loss_percent = [5, 20, 40][self.random.below(3)];
                ensemble.network.spoil(&self.cuts, self.loss_percent)?;
            }
            _ => self.partition(fault, ensemble)?,
        }
        Ok(())
    }

    fn partition(&mut self, fault: Fault, ensemble: &Ensemble) -> Outcome {
        let of_leader = matches!(
            fault,
            Fault::IsolateLeader | Fault::MuteLeader | Fault::DeafLeader
        );
        let Some(member) = self.pick(ensemble, of_leader) else {
            return Ok(());
        };
        let count = ensemble.members.len();
        let cuts = match fault {
            Fault::IsolateLeader => ensemble.isolate(member, true, true),
            Fault::MuteLeader | Fault::MuteOne => ensemble.isolate(member, true, false),
            Fault::DeafLeader | Fault::DeafOne => ensemble.isolate(member, false, true),
            Fault::Shatter => ensemble.split(|index| index),
            Fault::Split => {
                let rotation = self.random.below(count);
                ensemble.split(|index| usize::from((index + rotation) % count < count / 2))
            }
            Fault::Bridge => {
                // Everybody hears `member`; the others are two parts.
                let place = |index: usize| (index + count - member) % count;
                let mut cuts = ensemble.split(|index| usize::from(place(index) <= count / 2));
                let bridge = ensemble.network.host(member);
                cuts.retain(|(from, to)| *from != bridge && *to != bridge);
                cuts
            }
            _ => {
                let (member, clients) = (ensemble.network.host(member), ensemble.network.clients());
                Cuts::from([(member, clients), (clients, member)])
            }
        };
        self.cuts.extend(cuts);
        ensemble.network.spoil(&self.cuts, self.loss_percent)
    }

    fn await_recovery(&mut self, workload: &Workload) -> Outcome<Duration> {
        let begun = Instant::now();
        let before = workload.acknowledged();
        crate::ensemble::wait_for("an acknowledged write", PATIENCE, || {
            (workload.acknowledged() > before).then_some(())
        })?;
        let took = begun.elapsed();
        self.suffered.slowest_recovery = self.suffered.slowest_recovery.max(took);
        Ok(took)
    }
}
