//! Many sequences against one pair of servers, in lanes side by side.

use crate::Outcome;
use crate::call::Step;
use crate::environment::Environment;
use crate::generate::{Scope, sequence};
use crate::run::{Difference, Figures, Place, run};
use crate::said::Numbering;
use crate::server::{Flavor, Servers};
use crate::shrink::shrink;
use crate::side::{Route, SLOTS};
use crate::tree;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What is run against one pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Lines of both servers' configurations.
    pub(crate) config: &'static str,
    /// Three members instead of a server that is alone; each slot has a member of its own.
    pub(crate) is_ensemble: bool,
    /// Sequences that run alone, with the nodes that all share and every zxid exact.
    pub(crate) alone: u64,
    /// Sequences that run beside others.
    pub(crate) beside: u64,
}

/// Runs a plan; says what it came to.
pub(crate) fn carry_out(environment: &Environment, plan: Plan) -> Outcome<String> {
    let mut java = Servers::start(environment, Flavor::Java, plan)?;
    let mut ours = Servers::start(environment, Flavor::Ours, plan)?;
    let begun = Instant::now();
    let course = Course {
        environment,
        java: java.ports(),
        ours: ours.ports(),
        is_ensemble: plan.is_ensemble,
        roots: AtomicU64::new(0),
        failures: Mutex::default(),
    };
    let first = environment.seed;
    let alone = environment.sequences.unwrap_or(plan.alone).min(plan.alone);
    let mut figures = course.lanes(1, Numbering::Exact, first, alone, None);
    let beside = environment.sequences.unwrap_or(plan.beside);
    let until = environment.long.map(|long| begun + long);
    figures.add(course.lanes(environment.lanes, Numbering::Shared, first, beside, until));
    let sequences = course.roots.load(Ordering::Relaxed);
    for (name, server) in [("Java's", &mut java), ("our", &mut ours)] {
        if !server.are_alive() {
            return Err(format!("{name} server has ended"));
        }
    }
    let failures = course.failures.into_inner().unwrap_or_default();
    if !failures.is_empty() {
        return Err(failures.join("\n\n"));
    }
    let mut nodes = String::new();
    if plan.is_ensemble {
        nodes = format!(
            ", {} nodes equal at all members",
            equal_trees(&java, &ours)?
        );
    }
    let Figures {
        requests,
        events,
        refusals,
        connects,
    } = figures;
    Ok(format!(
        "{sequences} sequences from seed {first}, {requests} replies ({refusals} refusals), \
         {events} events, {connects} connects, no difference{nodes}, {:.1} s",
        begun.elapsed().as_secs_f32()
    ))
}

/// The number of nodes that all members have, and have alike.
fn equal_trees(java: &Servers, ours: &Servers) -> Outcome<usize> {
    let model = tree::read(java.ports()[0])?;
    let others = java
        .ports()
        .into_iter()
        .skip(1)
        .map(|port| ("Java's", port));
    for (whose, port) in others.chain(ours.ports().map(|port| ("our", port))) {
        if let Some(difference) = tree::difference(&model, &tree::read(port)?) {
            return Err(format!(
                "Java's first member and {whose} at {port}: {difference}"
            ));
        }
    }
    Ok(model.len())
}

struct Course<'a> {
    environment: &'a Environment,
    java: [u16; SLOTS],
    ours: [u16; SLOTS],
    is_ensemble: bool,
    /// Each run has a root of its own.
    roots: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Course<'_> {
    fn lanes(
        &self,
        count: usize,
        numbering: Numbering,
        first: u64,
        sequences: u64,
        until: Option<Instant>,
    ) -> Figures {
        let next = AtomicU64::new(0);
        let total = Mutex::new(Figures::default());
        std::thread::scope(|scope| {
            for lane in 0..count {
                let (next, total) = (&next, &total);
                scope.spawn(move || {
                    let figures = self.lane(lane, numbering, || {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let wanted = match until {
                            Some(until) => Instant::now() < until,
                            None => at < sequences,
                        };
                        wanted.then(|| first.wrapping_add(at))
                    });
                    if let Ok(mut total) = total.lock() {
                        total.add(figures);
                    }
                });
            }
        });
        total.into_inner().unwrap_or_default()
    }

    fn lane(
        &self,
        lane: usize,
        numbering: Numbering,
        mut next: impl FnMut() -> Option<u64>,
    ) -> Figures {
        // An address of its own: access lists name addresses.
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(lane + 1).unwrap_or(255));
        let route = |ports| Route { from, ports };
        let place = Place {
            java: route(self.java),
            ours: route(self.ours),
            numbering,
        };
        let scope = Scope {
            shared_nodes: numbering == Numbering::Exact,
            is_ensemble: self.is_ensemble,
        };
        let mut figures = Figures::default();
        while !self.given_up()
            && let Some(seed) = next()
        {
            let steps = sequence(seed, scope);
            match run(&place, &self.root(), &steps) {
                Ok(Ok(came_to)) => figures.add(came_to),
                Ok(Err(difference)) => self.fail(&place, seed, steps, difference),
                Err(error) => self.note(format!("seed {seed}: {error}")),
            }
        }
        figures
    }

    /// Of the same length every time: sizes are compared.
    fn root(&self) -> String {
        format!("/c{:08}", self.roots.fetch_add(1, Ordering::Relaxed))
    }

    fn given_up(&self) -> bool {
        let failures = self.failures.lock();
        failures.is_ok_and(|failures| failures.len() >= self.environment.failures)
    }

    fn note(&self, failure: String) {
        if let Ok(mut failures) = self.failures.lock() {
            failures.push(failure);
        }
    }

    fn fail(&self, place: &Place, seed: u64, steps: Vec<Step>, difference: Difference) {
        let mut last = difference;
        let steps = shrink(steps, |candidate| {
            match run(place, &self.root(), candidate) {
                Ok(Err(found)) => {
                    last = found;
                    true
                }
                _ => false,
            }
        });
        let mut text = format!(
            "seed {seed} ({:?}, CONFORMANCE_SEED={seed} CONFORMANCE_SEQUENCES=1 runs it): {last}",
            place.numbering
        );
        for (at, step) in steps.iter().enumerate() {
            let _ = write!(text, "\n  {at} {step}");
        }
        self.note(text);
    }
}
