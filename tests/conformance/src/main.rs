//! Conformance: the same random requests through real sockets to Apache ZooKeeper's server and to
//! ours, compared reply by reply.
//!
//! `CONFORMANCE_JAVA_CLASSPATH` names Java's jars, `CONFORMANCE_SERVER` our binary. A difference is
//! printed as the shortest sequence that shows it, with its seed.

mod call;
mod environment;
mod generate;
mod lanes;
mod run;
mod said;
mod server;
mod shrink;
mod side;
mod tree;
mod wire;

use environment::Environment;
use lanes::{Plan, carry_out};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// What something came to: an error is a sentence for a person.
pub(crate) type Outcome<T = ()> = Result<T, String>;

const PLANS: [(&str, Plan); 3] = [
    (
        "a_server_with_everything_on",
        Plan {
            config: "extendedTypesEnabled=true\nenforceQuota=true\n",
            is_ensemble: false,
            alone: 1500,
            beside: 8000,
        },
    ),
    (
        "a_server_as_it_comes",
        Plan {
            config: "",
            is_ensemble: false,
            alone: 300,
            beside: 700,
        },
    ),
    (
        "three_members",
        Plan {
            config: "extendedTypesEnabled=true\n",
            is_ensemble: true,
            alone: 0,
            beside: 250,
        },
    ),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each case takes the whole machine.
    arguments.test_threads = Some(1);
    let environment = match Environment::read() {
        Ok(environment) => Some(environment),
        Err(_) if arguments.list => None,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = PLANS
        .into_iter()
        .map(|(name, plan)| {
            let environment = environment.clone();
            Trial::test(name, move || {
                let environment = environment.ok_or("only listed")?;
                let told = carry_out(&environment, plan)?;
                println!("{name}: {told}");
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
