//! Histories of real ensembles under faults.
//!
//! `HISTORIES_SERVER` names our binary, `HISTORIES_CHECKER` the program that `checker/` makes. The
//! short form is for every change; `HISTORIES_SECONDS=N` lengthens each random run,
//! `HISTORIES_SEED=N` chooses its faults and requests, and `HISTORIES_KEEP=DIRECTORY` keeps what a
//! failed run leaves behind. `HISTORIES_JAVA_CLASSPATH`, Apache ZooKeeper's jars, adds ensembles of
//! both servers.

mod cases;

use cases::Case;
use histories::environment::Environment;
use histories::network;
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Ensembles mostly wait; two at a time don't hurt each other.
    arguments.test_threads.get_or_insert(2);
    let environment = if arguments.list {
        None
    } else {
        let ready = Environment::read().and_then(|environment| {
            network::leave_the_machines_network()?;
            Ok(environment)
        });
        match ready {
            Ok(environment) => Some(environment),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
    };
    let beside_java = environment
        .as_ref()
        .is_some_and(|known| known.classpath.is_some());
    let mixed = if beside_java { cases::MIXED } else { &[] };
    let trials = cases::ALL
        .iter()
        .chain(mixed)
        .map(|case| trial(case, environment.clone()))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(case: &'static Case, environment: Option<Environment>) -> Trial {
    Trial::test(case.name, move || {
        let environment = environment.ok_or("only listed")?;
        let begun = Instant::now();
        let told = (case.run)(&environment).map_err(Failed::from)?;
        println!(
            "{}: {told}; {:.1} s",
            case.name,
            begun.elapsed().as_secs_f32()
        );
        Ok(())
    })
}
