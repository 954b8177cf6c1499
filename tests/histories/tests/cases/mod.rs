//! What is done, each in a file of its own.

mod addresses;
mod disks;
mod doctored;
mod leaders;
mod random;
mod scene;
mod sessions;

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
        run: |environment| random::run(environment, 5, false),
    },
    Case {
        name: "three_members_under_all_faults",
        run: |environment| random::run(environment, 3, false),
    },
    Case {
        name: "five_members_that_come_and_go_under_all_faults",
        run: |environment| random::run(environment, 5, true),
    },
    Case {
        name: "a_leader_that_nobody_hears_is_replaced_and_follows",
        run: leaders::mute,
    },
    Case {
        name: "a_leader_that_hears_nobody_is_replaced_and_follows",
        run: leaders::deaf,
    },
    Case {
        name: "a_leader_that_stood_still_acknowledges_nothing_and_follows",
        run: leaders::paused,
    },
    Case {
        name: "all_members_killed_at_once_come_back_with_everything",
        run: leaders::restarted,
    },
    Case {
        name: "members_find_each_other_when_addresses_change",
        run: addresses::run,
    },
    Case {
        name: "slow_disks_slow_nobody_but_themselves",
        run: disks::run,
    },
    Case {
        name: "a_write_of_a_session_that_has_moved_on_comes_too_late",
        run: sessions::run,
    },
    Case {
        name: "a_leader_that_stood_still_ends_no_session",
        run: sessions::slept_through,
    },
    Case {
        name: "doctored_histories_are_rejected",
        run: doctored::run,
    },
];

/// Beside Apache's servers, where `HISTORIES_JAVA_CLASSPATH` says what theirs are: a long form, since
/// what Java does under some faults is Java's.
pub(crate) const MIXED: &[Case] = &[
    Case {
        name: "two_of_java_and_one_of_ours_under_all_faults",
        run: |environment| random::mixed(environment, "JSJ"),
    },
    Case {
        name: "two_of_ours_and_one_of_java_under_all_faults",
        run: |environment| random::mixed(environment, "SJS"),
    },
];
