//! The mutations, by what they break.

/// Consensus without one of its guards, and the test that must fail then.
pub(super) struct Mutation {
    /// What is broken.
    pub(super) breaks: &'static str,
    /// The bug of the field that the guard keeps away, where there is one.
    pub(super) bug: &'static str,
    /// A part of the file's path below `server/src/zab`; empty where the text says enough.
    pub(super) file: &'static str,
    /// What stands there, exactly once.
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    /// The test of the package `simulation` that must fail.
    pub(super) caught_by: &'static str,
}

const fn mutation(
    breaks: &'static str,
    bug: &'static str,
    (old, new): (&'static str, &'static str),
    caught_by: &'static str,
) -> Mutation {
    Mutation {
        breaks,
        bug,
        file: "",
        old,
        new,
        caught_by,
    }
}

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        "NEWLEADER is acknowledged before the log is durable",
        "3911, 4646",
        (
            "if self.stage == Stage::Persisting && core.history.is_durable() {",
            "if self.stage == Stage::Persisting {",
        ),
        "what_a_quorum_was_said_to_have_survives_the_loss_of_what_was_not_synced",
    ),
    mutation(
        "the same, for a member that lags",
        "3023",
        (
            "if self.stage == Stage::Persisting && core.history.is_durable() {",
            "if self.stage == Stage::Persisting {",
        ),
        "a_member_does_not_acknowledge_a_new_leader_before_its_log_is_synced",
    ),
    mutation(
        "the epoch file is written before the log is durable",
        "4643",
        (
            "self.stage = Stage::Persisting;",
            "self.stage = Stage::Persisting; core.enter_epoch(self.epoch, out);",
        ),
        "the_epoch_file_is_written_behind_the_log",
    ),
    mutation(
        "the epoch file is written behind NEWLEADER's acknowledgement",
        "failing epoch files",
        (
            "core.enter_epoch(self.epoch, out);\n            out.push(Output::ToLeader(LearnerMessage::Ack {\n                zxid: self.epoch.start(),\n            }));",
            "out.push(Output::ToLeader(LearnerMessage::Ack {\n                zxid: self.epoch.start(),\n            }));\n            core.enter_epoch(self.epoch, out);",
        ),
        "a_member_whose_epoch_file_cannot_be_written_dies_without_a_word",
    ),
    mutation(
        "proposals are acknowledged before NEWLEADER",
        "4685",
        (
            "if self.stage == Stage::Serving {",
            "if self.stage != Stage::Connecting {",
        ),
        "new_leader_is_acknowledged_before_any_proposal",
    ),
    mutation(
        "only what is committed must be durable for NEWLEADER",
        "4785",
        (
            "self.persisted >= self.end()",
            "self.persisted >= self.committed",
        ),
        "proposals_that_nobody_has_committed_yet_are_durable_before_new_leader_is_acknowledged",
    ),
    mutation(
        "a commit between NEWLEADER and UPTODATE is dropped",
        "4394",
        (
            "if self.is_in_snapshot(zxid) {",
            "if self.is_in_snapshot(zxid) || self.stage == Stage::AwaitingUpToDate {",
        ),
        "commits_between_new_leader_and_up_to_date_are_kept",
    ),
    mutation(
        "a hole in the proposals is overlooked",
        "4925",
        (
            "let continues = entry.zxid == end.next() || begins_epoch;",
            "let continues = entry.zxid > end || begins_epoch;",
        ),
        "a_leader_that_skips_a_proposal_is_left",
    ),
    mutation(
        "an epoch may begin with any of its proposals",
        "4925",
        (
            "entry.zxid.epoch() > end.epoch() && entry.zxid.counter() == 1",
            "entry.zxid.epoch() > end.epoch()",
        ),
        "the_first_proposal_of_an_epoch_can_be_missing_too",
    ),
    mutation(
        "the list of committed transactions has holes",
        "4925",
        (
            "self.recent.push_back(entry.clone());",
            "if entry.zxid.counter() % 8 != 0 { self.recent.push_back(entry.clone()); }",
        ),
        "what_followers_committed_they_give_on_without_a_hole",
    ),
    mutation(
        "a learner tells what it has committed for the end of its log",
        "2845",
        (
            "let last_logged = core.history.last_logged().filter(|_| !pretends);",
            "let last_logged = Some(core.history.committed()).filter(|_| !pretends);",
        ),
        "the_end_of_the_log_counts_and_not_what_was_committed_of_it",
    ),
    mutation(
        "what was cut off stays in the list of committed transactions",
        "2846",
        (
            "while self.recent.back().is_some_and(|entry| entry.zxid > to) {",
            "while false {",
        ),
        "what_was_cut_off_is_never_given_to_others",
    ),
    mutation(
        "the list of committed transactions outlives a tree that was taken over",
        "3526",
        ("self.recent.clear();", ""),
        "a_tree_that_was_taken_over_is_the_end_of_what_was_known_before",
    ),
    Mutation {
        file: "learner.rs",
        ..mutation(
            "a learner enters an epoch when it agrees to it",
            "4352",
            (
                "core.accept_epoch(epoch, out);",
                "core.accept_epoch(epoch, out); core.enter_epoch(epoch, out);",
            ),
            "a_member_with_a_part_of_the_difference_does_not_lead_by_its_epoch",
        )
    },
    mutation(
        "what was delivered stays in the tree when it is cut off the log",
        "5094",
        (
            "let undelivers = self.committed > to;",
            "let undelivers = false;",
        ),
        "an_interrupted_cut_is_made_again",
    ),
    mutation(
        "a cut is only remembered, not made",
        "5094",
        (
            "out.push(Output::Truncate { to: zxid, reload });",
            "let _ = reload;",
        ),
        "a_tail_that_was_loaded_at_a_start_is_taken_out_of_the_tree_again",
    ),
    mutation(
        "a leader goes on with its epoch's counter used up",
        "1277",
        (
            "if idle && self.last_proposed.counter() >= self.counter_max {",
            "if false {",
        ),
        "an_epoch_that_is_used_up_is_followed_by_the_next",
    ),
    mutation(
        "positions are given out past the epoch's last one",
        "1277",
        (
            "self.is_serving() && self.last_proposed.counter() < self.counter_max",
            "self.is_serving()",
        ),
        "an_epoch_that_is_used_up_is_followed_by_the_next",
    ),
    mutation(
        "half of the voters are a quorum",
        "",
        (
            "counted > self.voters.len() / 2",
            "counted >= self.voters.len() / 2",
        ),
        "two_members_need_each_other",
    ),
    mutation(
        "half of a group's weight carries the group",
        "",
        ("given > all / 2", "given >= all / 2"),
        "a_majority_that_is_most_of_one_group_only_is_no_quorum",
    ),
    mutation(
        "half of the groups are a quorum",
        "",
        (
            "won > self.groups.len() / 2",
            "won >= self.groups.len() / 2",
        ),
        "a_majority_that_is_most_of_one_group_only_is_no_quorum",
    ),
    mutation(
        "who weighs nothing may lead",
        "",
        (
            "group.get(&id).is_some_and(|weight| *weight > 0)",
            "group.contains_key(&id)",
        ),
        "a_member_without_weight_never_leads_and_still_learns",
    ),
    mutation(
        "an empty disk leads those that followed it when it was not",
        "",
        (
            "vote.round == self.round && !is_uninitialized_voter(core)",
            "vote.round == self.round",
        ),
        "an_empty_disk_is_not_made_leader_by_those_that_followed_its_old_self",
    ),
    mutation(
        "a disk's history is only worth its epoch file",
        "",
        (
            "self.current_epoch.max(self.history.end().epoch())",
            "self.current_epoch",
        ),
        "a_disk_that_was_given_the_history_does_not_help_one_without_it_to_lead",
    ),
    mutation(
        "a log is cut below what it is known to reach back to",
        "",
        ("to >= self.floor", "to >= Zxid::ZERO"),
        "a_cut_before_the_known_log_asks_the_same_leader_for_its_tree",
    ),
    mutation(
        "a log that can't be cut is not asked the same leader's tree for",
        "",
        (
            "learner.ask_for_tree(&mut self.core, out);\n                        Next::Stay",
            "let _ = learner; Next::Look(String::new())",
        ),
        "a_pair_elects_though_one_log_cannot_be_cut",
    ),
    mutation(
        "an older epoch than the one agreed to is accepted",
        "",
        ("if epoch < core.accepted_epoch {", "if false {"),
        "a_leader_of_an_epoch_older_than_the_one_agreed_to_is_left",
    ),
    mutation(
        "an answer to an epoch agreed to before counts as a vote for it",
        "",
        (
            "(epoch > core.accepted_epoch).then_some(core.history_epoch())",
            "(epoch >= core.accepted_epoch).then_some(core.history_epoch())",
        ),
        "a_cut_before_the_known_log_asks_the_same_leader_for_its_tree",
    ),
    mutation(
        "a learner ahead of its leader is counted",
        "",
        (
            "if (epoch, zxid) > ours {",
            "if (epoch, zxid) > ours && false {",
        ),
        "a_learner_whose_history_is_ahead_of_the_leaders_is_not_counted_and_sent_away",
    ),
    mutation(
        "a learner that does not acknowledge is never dropped",
        "",
        (
            "stuck || now > learner.last_heard.plus(limit_ms)",
            "(stuck && false) || now > learner.last_heard.plus(limit_ms)",
        ),
        "a_follower_that_never_acknowledges_is_dropped_and_the_others_go_on",
    ),
    mutation(
        "a commit of another proposal is taken for the next one's",
        "",
        ("Some(head) if head == zxid => {", "Some(_) => {"),
        "a_commit_of_another_proposal_ends_the_following",
    ),
    mutation(
        "a vote that ends a role is counted behind the result of the next round",
        "",
        (
            "self.election.note_early(now, from, notification);",
            "let _ = (from, &notification);",
        ),
        "a_vote_that_ends_a_role_counts_before_the_round_that_it_begins_has_a_result",
    ),
    mutation(
        "a reconfiguration needs a quorum of the old members only",
        "",
        (
            "Some(seen) if seen.version <= zxid => self.of_both >= zxid,",
            "Some(seen) if seen.version <= zxid => self.in_force >= zxid,",
        ),
        "a_reconfiguration_waits_for_quorums_of_the_old_and_of_the_new",
    ),
    mutation(
        "a leader completes a reconfiguration with the old members only",
        "",
        (
            "of(&self.active) && self.seen.iter().all(of)",
            "of(&self.active)",
        ),
        "a_crash_in_the_middle_of_a_reconfiguration_leaves_one_ensemble",
    ),
    mutation(
        "who joins a serving leader is told a configuration that is only proposed",
        "",
        (
            "let config = if self.progress == Progress::Broadcast {",
            "let config = if false {",
        ),
        "who_joins_while_a_configuration_is_in_flight_does_not_live_by_it",
    ),
    mutation(
        "who saw a configuration that lost asks for its quorum before it joins a leader",
        "",
        (
            "leads && core.configs.active().membership.is_quorum_of(follows)",
            "leads && core.configs.is_quorum_of(follows)",
        ),
        "who_saw_a_configuration_that_lost_comes_back",
    ),
    mutation(
        "a configuration in force counts as proposed again",
        "",
        (
            "if config.version <= self.configs.active.version {",
            "if false {",
        ),
        "who_lags_comes_past_a_configuration_that_it_knows_to_be_in_force",
    ),
    mutation(
        "a leader that is none by the new configuration leads on",
        "",
        (
            "if leader != core.settings.me {\n                return Next::Follow(leader, \"the reconfiguration names another leader\");",
            "if false {\n                return Next::Follow(leader, \"the reconfiguration names another leader\");",
        ),
        "a_leader_that_is_removed_names_the_next_and_serves_no_longer",
    ),
    mutation(
        "a leader hands over to nobody in particular",
        "",
        (
            "(vote.leader, vote.zxid, vote.peer_epoch) = (id, zxid, epoch);",
            "let _ = (id, zxid, epoch, &mut vote);",
        ),
        "a_leader_hands_over_to_the_follower_that_has_most",
    ),
    mutation(
        "who has no vote yet insists on a round of its own",
        "",
        (
            "let goes_along = self.proposal.leader == NOBODY;",
            "let goes_along = false;",
        ),
        "who_is_about_to_get_a_vote_helps_to_elect_where_it_is_needed",
    ),
    mutation(
        "an observer that is about to get a vote is not counted",
        "",
        (
            "if core.configs.is_voter(learner.id) {\n                    self.following",
            "if learner.role == Role::Participant && core.configs.is_voter(learner.id) {\n                    self.following",
        ),
        "an_observer_that_is_about_to_get_a_vote_counts_as_one_that_follows",
    ),
    mutation(
        "observers that come to vote are not named for the lead",
        "",
        (
            "synced.filter(|learner| learner.stage == Stage::Synced);",
            "synced.filter(|learner| learner.role == Role::Participant && learner.stage == Stage::Synced);",
        ),
        "observers_that_replace_the_last_voter_lead_once_that_is_in_force",
    ),
    mutation(
        "the vote of one that follows does not count for one that is still to lead",
        "",
        (
            "// Who follows that one already voted for it in this round, as the one that is\n                    // about to lead may have to hear from us first.\n                    self.count(core, now);",
            "",
        ),
        "a_vote_of_one_that_follows_already_counts_for_one_that_is_still_to_be_heard",
    ),
    mutation(
        "who could not lead helps nobody else to",
        "",
        (
            "leader.better().map_or(Begin::Anew, Begin::For)",
            "Begin::Anew",
        ),
        "the_last_voter_helps_those_that_replace_it_where_it_has_lost_the_end_of_its_log",
    ),
    mutation(
        "a voter does not believe another one who may lead",
        "",
        ("|| configs.may_lead_as_heard(vote.leader)", ""),
        "a_voter_helps_to_elect_one_that_it_knows_by_hearsay_alone_to_get_a_vote",
    ),
    mutation(
        "a configuration whose transaction was lost is waited for",
        "",
        (
            "if seen.is_some_and(|seen| seen.counter() > 0 && seen > self.history.end()) {",
            "if seen.is_none() && seen.is_some() {",
        ),
        "a_configuration_whose_transaction_was_lost_is_not_waited_for",
    ),
    mutation(
        "an observer lives by a configuration that its leader has only proposed",
        "",
        (
            ".filter(|config| !to_come(config.version));",
            ".filter(|config| !to_come(config.version) || true);",
        ),
        "an_observer_lives_by_no_configuration_whose_transaction_has_not_come",
    ),
    mutation(
        "a follower has its observer cut off what is on its own way here",
        "",
        (
            "if end > core.history.committed()",
            "if end.counter() == 0 && end > core.history.committed()",
        ),
        "an_observer_that_has_more_than_this_follower_knows_to_be_committed_waits_for_it",
    ),
];
