//! The cases, in their order: first what a newcomer does, then faults, from mild to grave.

mod boundaries;
mod crash;
mod deletion;
mod faults;
mod gitops;
mod hostile;
mod idle;
mod install;
mod long;
mod options;
mod print;
mod reading;
mod recovery;
mod refusal;
mod reinstall;
mod roll;
mod scale;
mod users;

pub(crate) use users::Changed;

use crate::Outcome;
use crate::schedule::Lane::{self, First, Second};
use crate::suite::Suite;
use Case::{Alone, Beside, Both};

/// What a case does with one ensemble.
pub(crate) type Work = fn(&mut Suite) -> Outcome;

/// A case: it brings what it needs, and leaves Ready ensembles of three.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    /// On the first ensemble, with the cluster for itself.
    Alone(Work),
    /// On one ensemble, beside cases of the other lane.
    Beside(Lane, Work),
    /// On both ensembles, the second of which may be left with more members.
    Both(fn(&mut Suite, &mut Suite) -> Outcome),
}

/// Every case with the sentence it proves.
pub(crate) const ALL: &[(&str, Case)] = &[
    (
        "helm_install_and_the_small_example_are_all_it_takes_to_a_ready_ensemble",
        Alone(install::case),
    ),
    (
        "kazoo_writes_through_the_service_and_reads_the_same_from_every_member",
        Beside(First, reading::case),
    ),
    (
        "applying_the_same_again_shows_no_drift_and_writes_nothing",
        Beside(First, gitops::case),
    ),
    // From here on the first ensemble is left in peace, up to the case that counts it.
    (
        "kubectl_prints_the_members_the_leader_and_what_every_field_means",
        Beside(First, print::case),
    ),
    (
        "every_manifest_that_makes_no_sense_is_refused_with_what_to_change",
        Beside(First, refusal::case),
    ),
    (
        "users_are_served_by_their_passwords_and_nobody_else_is",
        Beside(First, users::log_in),
    ),
    (
        "sidecars_services_bindings_growing_volumes_and_versions_are_as_asked_for",
        Beside(First, options::case),
    ),
    (
        "nobody_writes_anything_while_nothing_changes",
        Beside(First, idle::case),
    ),
    (
        "a_new_password_counts_without_a_restart",
        Beside(First, users::new_password),
    ),
    (
        "garbage_on_every_port_disturbs_nobody",
        Beside(First, hostile::case),
    ),
    (
        "deleting_the_leader_every_member_and_the_operator_loses_nothing",
        Beside(First, deletion::case),
    ),
    (
        "two_of_three_disks_lost_are_recovered_only_with_consent_and_keep_the_survivors_data",
        Beside(First, recovery::case),
    ),
    // What the second ensemble goes through meanwhile.
    (
        "a_full_disk_in_the_middle_of_a_roll_and_of_a_growth_is_named_and_both_end_once_there_is_room",
        Beside(Second, faults::full::case),
    ),
    (
        "all_servers_killed_at_once_ten_times_under_load_lose_nothing",
        Beside(Second, crash::case),
    ),
    (
        "one_to_five_and_back_under_a_writer_loses_nothing_though_the_operator_dies",
        Beside(Second, scale::case),
    ),
    (
        "a_changed_config_rolls_every_member_leader_last_while_writes_go_on",
        Alone(roll::case),
    ),
    (
        "an_operator_killed_at_every_write_is_followed_by_one_that_ends_what_it_began",
        Alone(boundaries::case),
    ),
    // The first ensemble is in the middle of a roll, the second one in the middle of a growth.
    (
        "an_image_that_does_not_exist_given_amid_a_roll_and_a_growth_costs_one_member_and_heals",
        Both(faults::spec::image),
    ),
    (
        "a_config_that_the_server_refuses_given_amid_a_roll_and_a_growth_costs_one_member_and_heals",
        Both(faults::spec::config),
    ),
    (
        "an_api_server_that_hangs_amid_a_roll_and_a_growth_costs_the_writers_nothing",
        Both(faults::silence::case),
    ),
    (
        "a_node_drained_amid_a_roll_and_a_growth_is_waited_for_and_the_writers_go_on",
        Both(faults::drain::case),
    ),
    (
        "a_node_that_dies_amid_a_roll_and_a_growth_holds_the_roll_and_both_end_on_its_return",
        Both(faults::nodes::death),
    ),
    (
        "a_node_cut_off_amid_a_roll_and_a_growth_holds_the_roll_and_both_end_on_its_return",
        Both(faults::nodes::partition),
    ),
    (
        "members_outlive_helm_uninstall_and_a_new_install_takes_over_without_a_restart",
        Alone(reinstall::case),
    ),
];

/// Those that take minutes, and run where `E2E_LONG` is set.
pub(crate) const LONG: &[(&str, Case)] = &[(
    "a_thousand_idle_clusters_cost_next_to_nothing",
    Alone(long::a_thousand_clusters),
)];
