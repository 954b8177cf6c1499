//! The cases, in their order: first what a newcomer does, then faults, from mild to grave.

mod crash;
mod deletion;
mod hostile;
mod idle;
mod image;
mod install;
mod print;
mod reading;
mod refusal;
mod reinstall;
mod roll;

use crate::Outcome;
use crate::suite::Suite;

/// A case: it brings what it needs, and leaves a Ready ensemble.
pub(crate) type Case = fn(&mut Suite) -> Outcome;

/// Every case with the sentence it proves.
pub(crate) const ALL: &[(&str, Case)] = &[
    (
        "helm_install_and_the_small_example_are_all_it_takes_to_a_ready_ensemble",
        install::case,
    ),
    (
        "kazoo_writes_through_the_service_and_reads_the_same_from_every_member",
        reading::case,
    ),
    (
        "kubectl_prints_the_members_the_leader_and_what_every_field_means",
        print::case,
    ),
    (
        "every_manifest_that_makes_no_sense_is_refused_with_what_to_change",
        refusal::case,
    ),
    ("nobody_writes_anything_while_nothing_changes", idle::case),
    ("garbage_on_every_port_disturbs_nobody", hostile::case),
    (
        "deleting_the_leader_every_member_and_the_operator_loses_nothing",
        deletion::case,
    ),
    (
        "a_changed_config_rolls_every_member_leader_last_while_writes_go_on",
        roll::case,
    ),
    (
        "a_roll_to_an_image_that_does_not_exist_stops_at_the_first_member_and_heals",
        image::case,
    ),
    (
        "all_servers_killed_at_once_ten_times_under_load_lose_nothing",
        crash::case,
    ),
    (
        "members_outlive_helm_uninstall_and_a_new_install_takes_over_without_a_restart",
        reinstall::case,
    ),
];
