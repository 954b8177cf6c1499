//! The order of the cases: some have the cluster for themselves, others run two at a time, each on an
//! ensemble of its own.

use crate::cases::{Case, Work};
use crate::suite::Suite;
use crate::{Outcome, diagnosis, notes};
use libtest_mimic::{Arguments, Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

/// Which of the two ensembles a case is about that others may run beside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lane {
    First,
    Second,
}

/// What came of a case, and what it told.
struct Report {
    notes: String,
    outcome: Outcome,
}

/// A case that was asked for, and who waits for its report.
struct Planned {
    name: &'static str,
    case: Case,
    report: Sender<Report>,
}

/// All that was asked for, in order.
pub(crate) struct Schedule(Vec<Planned>);

/// A schedule of those cases that the arguments ask for, and a trial for each case: a trial waits for
/// its case.
pub(crate) fn schedule(
    cases: &[(&'static str, Case)],
    arguments: &Arguments,
) -> (Schedule, Vec<Trial>) {
    let (planned, trials) = cases
        .iter()
        .map(|(name, case)| {
            let (report, reports) = channel();
            let planned = Planned {
                name,
                case: *case,
                report,
            };
            (planned, trial(name, reports))
        })
        .unzip::<_, _, Vec<_>, Vec<_>>();
    let asked = |planned: &Planned| is_asked_for(planned.name, arguments);
    (
        Schedule(planned.into_iter().filter(asked).collect()),
        trials,
    )
}

fn trial(name: &'static str, reports: Receiver<Report>) -> Trial {
    Trial::test(name, move || {
        let report = reports.recv().map_err(|_| Failed::from("it did not run"))?;
        print!("{}", report.notes);
        report.outcome.map_err(Failed::from)
    })
}

/// As libtest-mimic decides it.
fn is_asked_for(name: &str, arguments: &Arguments) -> bool {
    let matches = |part: &String| match arguments.exact {
        true => name == part,
        false => name.contains(part.as_str()),
    };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

impl Planned {
    /// Runs the case and reports; whether it failed.
    fn fails(self, case: impl FnOnce() -> Outcome) -> bool {
        let started = Instant::now();
        let outcome =
            catch_unwind(AssertUnwindSafe(case)).unwrap_or_else(|_| Err("it panicked".to_owned()));
        let took = started.elapsed().as_secs_f32();
        notes::add(&format!("{}: {took:.1} s", self.name));
        if let Err(error) = &outcome {
            eprintln!("\n{} failed: {error}\n", self.name);
        }
        let failed = outcome.is_err();
        let notes = notes::take();
        // Nobody listens where libtest-mimic judged otherwise who was asked for.
        let _ = self.report.send(Report { notes, outcome });
        failed
    }
}

impl Schedule {
    /// Runs the cases; their trials hear of it.
    pub(crate) fn run(self, first: &mut Suite, second: &mut Suite) {
        let mut left = self.0.into_iter().peekable();
        while let Some(planned) = left.next() {
            match planned.case {
                Case::Alone(case) => {
                    if planned.fails(|| case(first)) {
                        diagnosis::print(first);
                    }
                }
                Case::Both(case) => {
                    if planned.fails(|| case(first, second)) {
                        diagnosis::print(first);
                        diagnosis::print(second);
                    }
                }
                Case::Beside(lane, case) => {
                    let mut all = vec![(planned, lane, case)];
                    while let Some(Case::Beside(lane, case)) = left.peek().map(|next| next.case) {
                        all.extend(left.next().map(|planned| (planned, lane, case)));
                    }
                    let (ones, others) = all
                        .into_iter()
                        .partition(|(_, lane, _)| *lane == Lane::First);
                    thread::scope(|scope| {
                        scope.spawn(|| in_order(ones, first));
                        scope.spawn(|| in_order(others, second));
                    });
                }
            }
        }
    }
}

fn in_order(cases: Vec<(Planned, Lane, Work)>, suite: &mut Suite) {
    for (planned, _, case) in cases {
        if planned.fails(|| case(suite)) {
            diagnosis::print(suite);
        }
    }
}
