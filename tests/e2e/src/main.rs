//! End to end: the chart, the operator and the server on a real Kubernetes.
//!
//! The cases share two ensembles and run in the order listed in `cases`, some of
//! them two at a time; each can also be run alone, by a part of its name. What
//! judges the data is kazoo, a client that shares no code with ours.

#[macro_use]
mod notes;

mod cases;
mod diagnosis;
mod ensemble;
mod environment;
mod gate;
mod kube;
mod network;
mod objects;
mod operator;
mod processes;
mod registry;
mod resource;
mod schedule;
mod small_volumes;
mod suite;
mod wait;
mod writer;

use environment::Environment;
use libtest_mimic::{Arguments, Conclusion};
use std::process::ExitCode;
use std::thread;
use suite::Suite;

/// What a step came to: an error is a sentence for a person.
pub(crate) type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The schedule decides what runs when; the trials only wait for their cases.
    arguments.test_threads = Some(1);
    let cases: Vec<_> = match Environment::is_long() {
        true => [cases::ALL, cases::LONG].concat(),
        false => cases::ALL.to_vec(),
    };
    let (schedule, trials) = schedule::schedule(&cases, &arguments);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let suites = Environment::read().and_then(|environment| {
        let first = Suite::new(&environment, "")?;
        Ok((first, Suite::new(&environment, "-second")?))
    });
    let (mut first, mut second) = match suites {
        Ok(suites) => suites,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion: Conclusion = thread::scope(|scope| {
        scope.spawn(|| schedule.run(&mut first, &mut second));
        libtest_mimic::run(&arguments, trials)
    });
    first.tear_down();
    second.tear_down();
    conclusion.exit_code()
}
