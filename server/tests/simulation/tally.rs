//! What a run amounts to.

use super::faults::FAULTS;
use std::collections::BTreeMap;
use std::fmt;

/// Counts over many lives.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) steps: u64,
    pub(crate) proposals: u64,
    pub(crate) acknowledged: u64,
    pub(crate) elections: u64,
    pub(crate) snapshots: u64,
    pub(crate) truncations: u64,
    pub(crate) torn: u64,
    pub(crate) interrupted_cuts: u64,
    pub(crate) unusable: u64,
    pub(crate) rollovers: u64,
    pub(crate) weighed: u64,
    pub(crate) changing: u64,
    pub(crate) rosters_proposed: u64,
    pub(crate) rosters_in_force: u64,
    pub(crate) handed_over: u64,
    /// Those that a person has to help.
    pub(crate) stranded: u64,
    pub(crate) hosted: u64,
    pub(crate) evaluations: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// How long each ensemble took to agree once the faults stopped, in simulated milliseconds.
    pub(crate) recovery_ms: Vec<u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.proposals += other.proposals;
        self.acknowledged += other.acknowledged;
        self.elections += other.elections;
        self.snapshots += other.snapshots;
        self.truncations += other.truncations;
        self.torn += other.torn;
        self.interrupted_cuts += other.interrupted_cuts;
        self.unusable += other.unusable;
        self.rollovers += other.rollovers;
        self.weighed += other.weighed;
        self.changing += other.changing;
        self.rosters_proposed += other.rosters_proposed;
        self.rosters_in_force += other.rosters_in_force;
        self.handed_over += other.handed_over;
        self.stranded += other.stranded;
        self.hosted += other.hosted;
        self.evaluations += other.evaluations;
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.recovery_ms.extend(other.recovery_ms);
    }

    /// Every fault struck, and everything rare came up.
    pub(crate) fn has_met_everything(&self) {
        for fault in FAULTS {
            assert!(self.faults.contains_key(fault), "no {fault} ever struck");
        }
        let rare = [
            ("snapshots", self.snapshots),
            ("truncations", self.truncations),
            ("torn records", self.torn),
            ("interrupted cuts", self.interrupted_cuts),
            ("histories that can't be reconciled", self.unusable),
            ("epochs used up", self.rollovers),
            ("weighed ensembles", self.weighed),
            ("ensembles that change", self.changing),
            ("configurations in force", self.rosters_in_force),
            ("leaders that hand over", self.handed_over),
            ("observers behind followers", self.hosted),
        ];
        for (what, count) in rare {
            assert!(count > 0, "no {what} ever came up");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut recovery_ms = self.recovery_ms.clone();
        recovery_ms.sort_unstable();
        let percentile = |of: usize| recovery_ms[(recovery_ms.len() - 1) * of / 100];
        writeln!(
            f,
            "{} seeds, {} of them with groups and weights, {} with {} reconfigurations of which {} \
             came in force, {} leaders that handed over, {} that need a person, {} times an observer \
             behind a follower: {} steps, {} proposals, {} acknowledged, \
             {} elections, {} snapshots sent, {} truncations, {} interrupted cuts, {} torn records, \
             {} histories that could not be reconciled, {} epochs used up",
            self.seeds,
            self.weighed,
            self.changing,
            self.rosters_proposed,
            self.rosters_in_force,
            self.handed_over,
            self.stranded,
            self.hosted,
            self.steps,
            self.proposals,
            self.acknowledged,
            self.elections,
            self.snapshots,
            self.truncations,
            self.interrupted_cuts,
            self.torn,
            self.unusable,
            self.rollovers,
        )?;
        writeln!(
            f,
            "the specification's invariants: what is new after every step, all of it {} times",
            self.evaluations
        )?;
        writeln!(
            f,
            "agreement after peace: median {} ms, p99 {} ms, longest {} ms",
            percentile(50),
            percentile(99),
            percentile(100),
        )?;
        let struck = self.faults.values().sum::<u64>();
        write!(f, "{struck} faults: {:?}", self.faults)
    }
}
