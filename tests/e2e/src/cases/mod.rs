//! The cases, in their order: first what a newcomer does, then faults, from mild to grave.

mod boundaries;
mod config;
mod crash;
mod deletion;
mod full;
mod gitops;
mod hostile;
mod idle;
mod image;
mod install;
mod long;
mod nodes;
mod options;
mod print;
mod reading;
mod recovery;
mod refusal;
mod reinstall;
mod roll;
mod scale;
mod silence;
mod users;

pub(crate) use users::Changed;

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
        "applying_the_same_again_shows_no_drift_and_writes_nothing",
        gitops::case,
    ),
    // From here on the ensemble is left in peace, up to the case that counts it.
    (
        "kubectl_prints_the_members_the_leader_and_what_every_field_means",
        print::case,
    ),
    (
        "every_manifest_that_makes_no_sense_is_refused_with_what_to_change",
        refusal::case,
    ),
    (
        "users_are_served_by_their_passwords_and_nobody_else_is",
        users::log_in,
    ),
    (
        "sidecars_services_bindings_growing_volumes_and_versions_are_as_asked_for",
        options::case,
    ),
    (
        "a_full_disk_stops_a_roll_and_both_go_on_once_there_is_room",
        full::case,
    ),
    ("nobody_writes_anything_while_nothing_changes", idle::case),
    (
        "a_new_password_counts_without_a_restart",
        users::new_password,
    ),
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
        "a_roll_to_a_config_that_the_server_refuses_stops_at_the_first_member_and_heals",
        config::case,
    ),
    (
        "an_api_server_that_hangs_during_a_roll_costs_the_writer_nothing",
        silence::case,
    ),
    (
        "a_node_is_drained_during_a_roll_and_the_writer_goes_on",
        nodes::drain,
    ),
    (
        "the_leaders_node_dies_while_three_become_five_and_is_cut_off_while_five_become_three",
        nodes::death_and_partition,
    ),
    (
        "one_to_five_and_back_under_a_writer_loses_nothing_though_the_operator_dies",
        scale::case,
    ),
    (
        "an_operator_killed_at_every_write_is_followed_by_one_that_ends_what_it_began",
        boundaries::case,
    ),
    (
        "two_of_three_disks_lost_are_recovered_only_with_consent_and_keep_the_survivors_data",
        recovery::case,
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

/// Those that take minutes, and run where `E2E_LONG` is set.
pub(crate) const LONG: &[(&str, Case)] = &[(
    "a_thousand_idle_clusters_cost_next_to_nothing",
    long::a_thousand_clusters,
)];
