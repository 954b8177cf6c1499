//! What is done, each in a file of its own.

mod doctored;
mod random;

use histories::Outcome;
use histories::environment::Environment;

/// Something that is done with an ensemble of its own; it tells what it came to.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Environment) -> Outcome<String>,
}

/// All of them, the longest first.
pub(crate) const ALL: &[Case] = &[
    Case {
        name: "five_members_under_all_faults",
        run: |environment| random::run(environment, 5),
    },
    Case {
        name: "three_members_under_all_faults",
        run: |environment| random::run(environment, 3),
    },
    Case {
        name: "doctored_histories_are_rejected",
        run: doctored::run,
    },
];
