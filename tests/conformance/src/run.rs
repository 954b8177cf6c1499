//! A sequence, run at both servers and compared.

use crate::Outcome;
use crate::call::{Call, Connect, Step, Whose, op};
use crate::said::{Names, Numbering};
use crate::side::{Heard, Route, SLOTS, Side};
use std::fmt;

/// Where a sequence runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) java: Route,
    pub(crate) ours: Route,
    pub(crate) numbering: Numbering,
}

/// The first thing that the two servers do not agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) slot: usize,
    pub(crate) step: usize,
    pub(crate) java: String,
    pub(crate) ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            slot,
            step,
            java,
            ours,
        } = self;
        write!(
            f,
            "slot {slot}, step {step}\n  Java: {java}\n  ours: {ours}"
        )
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    pub(crate) refusals: u64,
    pub(crate) connects: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, other: Figures) {
        let Figures {
            requests,
            events,
            refusals,
            connects,
        } = other;
        self.requests += requests;
        self.events += events;
        self.refusals += refusals;
        self.connects += connects;
    }
}

/// Both servers' answers to one sequence.
pub(crate) struct Run<'a> {
    java: Side<'a>,
    ours: Side<'a>,
    numbering: Numbering,
    /// The slot of the last step, in an ensemble.
    last_slot: Option<usize>,
}

/// Runs the steps below `root`, and closes all sessions in the end.
///
/// # Errors
/// A sentence where a server can't be reached at all.
pub(crate) fn run(
    place: &Place,
    root: &str,
    steps: &[Step],
) -> Outcome<Result<Figures, Difference>> {
    let mut run = Run {
        java: Side::new(place.java, root),
        ours: Side::new(place.ours, root),
        numbering: place.numbering,
        last_slot: None,
    };
    let is_ensemble = place.java.ports[0] != place.java.ports[1];
    let mut at = 0;
    for step in steps {
        if is_ensemble {
            run.catch_up(at, step);
        }
        run.step(at, step)?;
        at += 1;
        if !run.goes_on() {
            break;
        }
    }
    for slot in 0..SLOTS {
        for step in run.ending(slot) {
            if is_ensemble {
                run.catch_up(at, &step);
            }
            run.step(at, &step)?;
            at += 1;
        }
    }
    let compared = run.compare();
    run.java.close_abandoned(at)?;
    run.ours.close_abandoned(at)?;
    Ok(compared)
}

impl Run<'_> {
    fn step(&mut self, at: usize, step: &Step) -> Outcome {
        let there = |who: &'static str| move |error| format!("{who}: {error}");
        self.java.begin(step).map_err(there("Java"))?;
        self.ours.begin(step).map_err(there("ours"))?;
        self.java.finish(at, step);
        self.ours.finish(at, step);
        Ok(())
    }

    /// What other members did has to have come to this one before it is asked.
    fn catch_up(&mut self, at: usize, step: &Step) {
        let (slot, sends) = match step {
            Step::Connect(slot, _) => (*slot, false),
            Step::Send { slot, .. } => (*slot, true),
            Step::Drop(_) => return,
        };
        let last = self.last_slot.replace(slot);
        if sends && last != Some(slot) {
            self.java.catch_up(at, slot);
            self.ours.catch_up(at, slot);
        }
        if !sends {
            // Its first request has to catch up, too.
            self.last_slot = None;
        }
    }

    /// Whether both are in the same situation, so that going on makes sense.
    fn goes_on(&self) -> bool {
        (0..SLOTS).all(|slot| {
            self.java.is_open(slot) == self.ours.is_open(slot)
                && self.java.session(slot).is_some() == self.ours.session(slot).is_some()
                && self.java.logs()[slot].len() == self.ours.logs()[slot].len()
        })
    }

    /// How a slot's session comes to its end.
    fn ending(&self, slot: usize) -> Vec<Step> {
        let close = Step::Send {
            slot,
            calls: vec![Call::bare(op::CLOSE_SESSION)],
            probe: false,
        };
        let has_one = self.java.session(slot).is_some() || self.ours.session(slot).is_some();
        if self.java.is_open(slot) && self.ours.is_open(slot) {
            vec![close]
        } else if has_one {
            vec![Step::Connect(slot, Connect::new(Whose::Of(slot))), close]
        } else {
            Vec::new()
        }
    }

    fn compare(&self) -> Result<Figures, Difference> {
        let (java, ours) = (self.java.logs(), self.ours.logs());
        let base = |logs: &[&[crate::side::Entry]]| {
            let mut connects = logs.iter().copied().flatten().filter_map(|entry| {
                let Heard::Reply { frame, .. } = &entry.heard else {
                    return None;
                };
                let zxid = crate::wire::In(frame.get(4..)?).long()?;
                (zxid > 0).then_some((entry.step, zxid))
            });
            let first = connects.next();
            connects.chain(first).min().map_or(0, |(_, zxid)| zxid)
        };
        let mut java_names = Names::learn(self.numbering, base(&java), &java);
        let mut ours_names = Names::learn(self.numbering, base(&ours), &ours);
        let mut figures = Figures::default();
        let mut first: Option<Difference> = None;
        for slot in 0..SLOTS {
            for entry in java[slot] {
                count_in(&mut figures, &entry.heard);
            }
            let java = java_names.name_all(java[slot]);
            let ours = ours_names.name_all(ours[slot]);
            let length = java.len().max(ours.len());
            let at = (0..length).find(|at| java.get(*at) != ours.get(*at));
            let Some(at) = at else {
                continue;
            };
            let (there, here) = (java.get(at), ours.get(at));
            let step = there.or(here).map_or(0, |(step, _)| *step);
            if first.as_ref().is_none_or(|known| step < known.step) {
                let named = |what: Option<&(usize, String)>| match what {
                    Some((at, named)) if *at == step => named.clone(),
                    Some((at, named)) => format!("at step {at}: {named}"),
                    None => "nothing".to_owned(),
                };
                first = Some(Difference {
                    slot,
                    step,
                    java: named(there),
                    ours: named(here),
                });
            }
        }
        first.map_or(Ok(figures), Err)
    }
}

fn count_in(figures: &mut Figures, heard: &Heard) {
    match heard {
        Heard::Connected(_) => figures.connects += 1,
        Heard::Event(_) => figures.events += 1,
        Heard::Reply { frame, .. } => {
            figures.requests += 1;
            if frame.get(12..16) != Some(&[0; 4]) {
                figures.refusals += 1;
            }
        }
        Heard::Closed | Heard::Silence => {}
    }
}
