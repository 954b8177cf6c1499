//! End to end: the chart, the operator and the server on a real Kubernetes.
//!
//! The cases share one ensemble and run one after the other, in the order
//! listed in `cases`; each can also be run alone, by a part of its name. What
//! judges the data is kazoo, a client that shares no code with ours.

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
mod small_volumes;
mod suite;
mod wait;
mod writer;

use environment::Environment;
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use suite::Suite;

/// What a step came to: an error is a sentence for a person.
pub(crate) type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share an ensemble, and their order is on purpose.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    let suite = match Environment::read().and_then(|environment| Suite::new(&environment)) {
        Ok(suite) => Arc::new(Mutex::new(suite)),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&suite)));
    suite
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .tear_down();
    conclusion.exit_code()
}

fn trials(suite: Option<&Arc<Mutex<Suite>>>) -> Vec<Trial> {
    let long = if Environment::is_long() {
        cases::LONG
    } else {
        &[]
    };
    cases::ALL
        .iter()
        .chain(long)
        .map(|(name, case)| {
            let suite = suite.cloned();
            Trial::test(*name, move || {
                let Some(suite) = suite else {
                    return Err("only listed".into());
                };
                let mut suite = suite.lock().unwrap_or_else(PoisonError::into_inner);
                let started = Instant::now();
                let outcome = case(&mut suite);
                println!("{name}: {:.1} s", started.elapsed().as_secs_f32());
                outcome.map_err(|error| {
                    eprintln!("\n{name} failed: {error}\n");
                    diagnosis::print(&suite);
                    error.into()
                })
            })
        })
        .collect()
}
