//! Interoperation: our members and Apache ZooKeeper's in one ensemble, and on each other's disks.
//!
//! `INTEROP_JAVA_CLASSPATH` names Java's jars, `INTEROP_SERVER` our binary. The short form is for
//! every change; `INTEROP_FORM=long` runs the whole matrix.

mod cases;
mod client;
mod ensemble;
mod environment;
mod load;
mod member;
mod raw;
mod sessions;
mod tree;
mod workload;

use environment::Environment;
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::time::Instant;

/// What a step came to: an error is a sentence for a person.
pub(crate) type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each case has an ensemble of its own; two at a time would disturb each other's timing.
    arguments.test_threads = Some(1);
    let environment = match Environment::read() {
        Ok(environment) => Some(environment),
        Err(_) if arguments.list => None,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials(environment.as_ref())).exit_code()
}

fn trials(environment: Option<&Environment>) -> Vec<Trial> {
    let long = environment.is_none_or(|environment| environment.long);
    cases::all()
        .into_iter()
        .filter(|case| case.short || long)
        .map(|case| {
            let environment = environment.cloned();
            let name = case.name.clone();
            Trial::test(case.name, move || {
                let environment = environment.ok_or("only listed")?;
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()?;
                let begun = Instant::now();
                let told = runtime.block_on((case.run)(environment))?;
                println!("{name}: {told}; {:.1} s", begun.elapsed().as_secs_f32());
                Ok(())
            })
        })
        .collect()
}
