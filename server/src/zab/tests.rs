//! One member at a time, message by message. Whole ensembles are in `tests/simulation`.

use super::*;
use crate::ids::Zxid;
use bytes::Bytes;

const ME: ServerId = ServerId(1);
const LEADER: ServerId = ServerId(2);
const OTHER: ServerId = ServerId(3);
const CONN: LearnerConn = LearnerConn(7);

struct Member {
    zab: Zab,
    now: NowMs,
}

fn entry(epoch: i64, counter: u32) -> Entry {
    Entry {
        zxid: Zxid::new(Epoch(epoch), counter),
        payload: Bytes::from(format!("{epoch}-{counter}")),
    }
}

fn proposal(epoch: i64, counter: u32) -> LeaderMessage {
    let Entry { zxid, payload } = entry(epoch, counter);
    LeaderMessage::Proposal { zxid, payload }
}

fn commit(epoch: i64, counter: u32) -> LeaderMessage {
    let zxid = Zxid::new(Epoch(epoch), counter);
    LeaderMessage::Commit { zxid }
}

fn new_leader(epoch: i64) -> LeaderMessage {
    LeaderMessage::NewLeader {
        zxid: Epoch(epoch).start(),
        config_text: String::new(),
    }
}

fn ack(zxid: Zxid) -> Output {
    Output::ToLeader(LearnerMessage::Ack { zxid })
}

fn durable(current_epoch: i64, log: Vec<Entry>) -> Durable {
    Durable {
        accepted_epoch: Epoch(current_epoch),
        current_epoch: Epoch(current_epoch),
        last_logged: Some(log.last().map_or(Zxid::ZERO, |entry| entry.zxid)),
        recent: log,
    }
}

impl Member {
    fn start(durable: Durable) -> (Self, Vec<Output>) {
        let settings = Settings {
            me: ME,
            config: Config::fixed(Membership::new([ME, LEADER, OTHER], [])),
            config_seen: None,
            reconfig_enabled: false,
            codec: Codec::NONE,
            tick_ms: 2000,
            init_limit: 10,
            sync_limit: 5,
            recent_max: 500,
            counter_max: Zxid::COUNTER_MAX,
        };
        let now = NowMs(1000);
        let mut out = Vec::new();
        let zab = Zab::new(settings, durable, now, &mut out);
        (Member { zab, now }, out)
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.zab.step(self.now, input, &mut out);
        out
    }

    fn hear(&mut self, message: LeaderMessage) -> Vec<Output> {
        self.step(Input::FromLeader { message })
    }

    fn notify(&mut self, from: ServerId, state: PeerState, vote: Vote) -> Vec<Output> {
        let notification = Notification {
            state,
            vote,
            config_text: String::new(),
            proposed_text: String::new(),
        };
        self.step(Input::Notification { from, notification })
    }

    /// Joins `LEADER`, which proposes `epoch`; returns what it answered to the epoch.
    fn join(&mut self, epoch: i64) -> Vec<Output> {
        let vote = Vote {
            leader: LEADER,
            zxid: Zxid::ZERO,
            peer_epoch: Epoch(epoch),
            round: 9,
        };
        self.notify(OTHER, PeerState::Following, vote);
        let out = self.notify(LEADER, PeerState::Leading, vote);
        assert_eq!(out, [Output::ConnectToLeader { leader: LEADER }]);
        self.step(Input::LeaderConnected);
        self.hear(LeaderMessage::Info {
            epoch: Epoch(epoch),
        })
    }

    fn follow(epoch: i64, log: Vec<Entry>) -> Self {
        let (mut member, _) = Member::start(durable(epoch - 1, log));
        member.join(epoch);
        let zxid = member.zab.history().end();
        member.hear(LeaderMessage::Diff { zxid });
        member
    }

    fn stands(&self) -> Standing {
        self.zab.standing()
    }
}

#[test]
fn new_leader_is_acknowledged_only_when_the_log_is_durable_and_then_the_epoch() {
    let mut member = Member::follow(2, vec![entry(1, 1)]);
    member.hear(proposal(1, 2));
    member.hear(proposal(1, 3));
    member.hear(commit(1, 2));
    assert_eq!(member.hear(new_leader(2)), []);
    let first = Zxid::new(Epoch(1), 2);
    assert_eq!(member.step(Input::Persisted { zxid: first }), []);
    let all = Zxid::new(Epoch(1), 3);
    assert_eq!(
        member.step(Input::Persisted { zxid: all }),
        [Output::WriteCurrentEpoch(Epoch(2)), ack(Epoch(2).start()),]
    );
}

#[test]
fn commits_between_new_leader_and_up_to_date_are_delivered_and_acknowledged() {
    let mut member = Member::follow(2, vec![entry(1, 1)]);
    member.hear(new_leader(2));
    member.hear(proposal(2, 1));
    assert_eq!(member.hear(commit(2, 1)), [Output::Deliver(entry(2, 1))]);
    let zxid = Zxid::new(Epoch(2), 1);
    assert_eq!(member.step(Input::Persisted { zxid }), []);
    assert_eq!(
        member.hear(LeaderMessage::UpToDate),
        [ack(Epoch(2).start()), Output::Serve, ack(zxid)]
    );
}

#[test]
fn a_hole_in_the_proposals_ends_the_following() {
    for (epoch, counter) in [(1, 3), (1, 1), (2, 2)] {
        let mut member = Member::follow(2, vec![entry(1, 1)]);
        let out = member.hear(proposal(epoch, counter));
        assert!(
            matches!(out[0], Output::Looking { .. }),
            "{epoch} {counter}"
        );
        assert_eq!(member.stands(), Standing::Looking);
    }
}

#[test]
fn a_commit_of_another_proposal_ends_the_following() {
    let mut member = Member::follow(2, vec![entry(1, 1)]);
    member.hear(proposal(1, 2));
    member.hear(proposal(1, 3));
    assert!(matches!(
        member.hear(commit(1, 3))[0],
        Output::Looking { .. }
    ));
}

#[test]
fn proposals_that_a_snapshot_holds_already_are_passed_over() {
    let (mut member, _) = Member::start(durable(1, vec![]));
    member.join(2);
    let zxid = Zxid::new(Epoch(2), 10);
    member.hear(LeaderMessage::Snap { zxid });
    assert_eq!(member.hear(proposal(2, 9)), []);
    assert_eq!(member.hear(proposal(2, 10)), []);
    assert_eq!(member.hear(commit(2, 9)), []);
    assert_eq!(member.hear(proposal(2, 11)), [Output::Append(entry(2, 11))]);
    assert_eq!(member.hear(commit(2, 10)), []);
    assert_eq!(member.hear(commit(2, 11)), [Output::Deliver(entry(2, 11))]);
}

#[test]
fn a_cut_before_the_known_log_asks_the_same_leader_for_its_tree() {
    let mut past = durable(1, vec![]);
    past.last_logged = Some(Zxid::new(Epoch(1), 9));
    let (mut member, _) = Member::start(past);
    let answer = member.join(2);
    let honest = LearnerMessage::AckEpoch {
        last_logged: Some(Zxid::new(Epoch(1), 9)),
        current_epoch: Some(Epoch(1)),
    };
    assert_eq!(answer.last(), Some(&Output::ToLeader(honest)));
    let zxid = Zxid::new(Epoch(1), 5);
    let out = member.hear(LeaderMessage::Trunc { zxid });
    assert_eq!(out, [Output::ConnectToLeader { leader: LEADER }]);
    member.step(Input::LeaderConnected);
    let empty = LearnerMessage::AckEpoch {
        last_logged: None,
        current_epoch: None,
    };
    let epoch = Epoch(2);
    assert_eq!(
        member.hear(LeaderMessage::Info { epoch }),
        [Output::ToLeader(empty)]
    );
}

#[test]
fn a_log_ahead_of_the_epoch_file_vouches_for_its_epoch() {
    let mut past = durable(1, vec![entry(1, 1), entry(3, 1)]);
    past.accepted_epoch = Epoch(4);
    let (member, out) = Member::start(past);
    assert_eq!(out[0], Output::WriteCurrentEpoch(Epoch(3)));
    assert_eq!(member.zab.current_epoch(), Epoch(3));
    assert!(out.iter().any(|output| matches!(output,
        Output::Notify { notification, .. } if notification.vote.peer_epoch == Epoch(3))));
}

#[test]
fn an_empty_disk_is_not_made_leader_by_those_that_followed_its_old_self() {
    let mut past = durable(0, vec![]);
    past.last_logged = None;
    let (mut member, _) = Member::start(past);
    let vote = Vote {
        leader: ME,
        zxid: Zxid::ZERO,
        peer_epoch: Epoch(0),
        round: 1,
    };
    member.notify(LEADER, PeerState::Following, vote);
    member.notify(OTHER, PeerState::Following, vote);
    assert_eq!(member.stands(), Standing::Looking);
}

#[test]
fn a_vote_that_ends_a_role_counts_before_the_round_that_it_begins_has_a_result() {
    let (mut member, _) = Member::start(durable(1, vec![entry(1, 1)]));
    let settled = Vote {
        leader: LEADER,
        zxid: Zxid::new(Epoch(1), 9),
        peer_epoch: Epoch(1),
        round: 9,
    };
    member.notify(OTHER, PeerState::Following, settled);
    member.notify(LEADER, PeerState::Leading, settled);
    // One that has lost the leader already votes for us; with it we would be elected at once.
    let for_us = Vote {
        leader: ME,
        zxid: Zxid::new(Epoch(1), 1),
        peer_epoch: Epoch(1),
        round: 10,
    };
    member.notify(OTHER, PeerState::Looking, for_us);
    let better = Vote {
        round: 10,
        ..settled
    };
    let out = member.notify(LEADER, PeerState::Looking, better);
    assert_eq!(member.stands(), Standing::Looking);
    let last = out.last();
    let told = |notification: &Notification| notification.vote == better;
    assert!(matches!(last, Some(Output::Notify { notification, .. }) if told(notification)));
}

/// A leader with one follower that is synchronised.
fn leading() -> Member {
    let (mut member, _) = Member::start(durable(1, vec![entry(1, 1)]));
    let vote = Vote {
        leader: ME,
        zxid: Zxid::new(Epoch(1), 1),
        peer_epoch: Epoch(1),
        round: 1,
    };
    member.notify(OTHER, PeerState::Looking, vote);
    member.notify(LEADER, PeerState::Looking, vote);
    assert_eq!(member.stands(), Standing::Leading { serving: false });
    member.learn(LearnerMessage::Info {
        id: OTHER,
        role: Role::Participant,
        accepted_epoch: Epoch(1),
        config_version: 0,
    });
    member.learn(LearnerMessage::AckEpoch {
        last_logged: Some(Zxid::new(Epoch(1), 1)),
        current_epoch: Some(Epoch(1)),
    });
    let zxid = Epoch(2).start();
    member.learn(LearnerMessage::Ack { zxid });
    assert_eq!(member.stands(), Standing::Leading { serving: true });
    member
}

impl Member {
    fn learn(&mut self, message: LearnerMessage) -> Vec<Output> {
        self.step(Input::FromLearner {
            conn: CONN,
            message,
        })
    }
}

#[test]
fn a_leader_commits_what_a_quorum_has_made_durable_and_not_before() {
    let mut member = leading();
    member.step(Input::Propose { entry: entry(2, 1) });
    let zxid = Zxid::new(Epoch(2), 1);
    assert_eq!(member.step(Input::Persisted { zxid }), []);
    let out = member.learn(LearnerMessage::Ack { zxid });
    assert!(out.contains(&Output::Deliver(entry(2, 1))));
}

#[test]
fn an_acknowledgement_of_what_nobody_proposed_closes_the_connection() {
    let mut member = leading();
    let zxid = Zxid::new(Epoch(2), 1);
    let out = member.learn(LearnerMessage::Ack { zxid });
    assert!(matches!(out[..], [Output::CloseLearner { conn: CONN, .. }]));
}

#[test]
fn a_leader_whose_counter_is_used_up_steps_down_once_all_is_committed() {
    let mut member = leading();
    let Phase::Leading(leader) = &mut member.zab.phase else {
        panic!("it leads");
    };
    leader.pretend_proposed(Zxid::new(Epoch(2), u32::MAX - 1));
    let last = Entry {
        zxid: member.zab.next_zxid().expect("one is left"),
        payload: Bytes::new(),
    };
    let zxid = last.zxid;
    member.step(Input::Propose { entry: last });
    assert_eq!(member.zab.next_zxid(), None);
    assert_eq!(member.stands(), Standing::Leading { serving: true });
    member.step(Input::Persisted { zxid });
    let out = member.learn(LearnerMessage::Ack { zxid });
    assert!(
        out.iter()
            .any(|output| matches!(output, Output::Deliver(_)))
    );
    assert_eq!(member.stands(), Standing::Looking);
}

#[test]
fn a_learner_whose_history_is_ahead_of_the_leaders_is_not_counted_and_sent_away() {
    let (mut member, _) = Member::start(durable(1, vec![entry(1, 1)]));
    let vote = Vote {
        leader: ME,
        zxid: Zxid::new(Epoch(1), 1),
        peer_epoch: Epoch(1),
        round: 1,
    };
    member.notify(OTHER, PeerState::Looking, vote);
    member.notify(LEADER, PeerState::Looking, vote);
    member.learn(LearnerMessage::Info {
        id: OTHER,
        role: Role::Participant,
        accepted_epoch: Epoch(1),
        config_version: 0,
    });
    let out = member.learn(LearnerMessage::AckEpoch {
        last_logged: Some(Zxid::new(Epoch(1), 2)),
        current_epoch: Some(Epoch(1)),
    });
    assert!(matches!(out[..], [Output::CloseLearner { conn: CONN, .. }]));
}

#[test]
fn a_leader_of_an_epoch_older_than_the_one_agreed_to_is_left() {
    let mut past = durable(1, vec![entry(1, 1)]);
    past.accepted_epoch = Epoch(5);
    let (mut member, _) = Member::start(past);
    let out = member.join(4);
    assert!(matches!(out[0], Output::Looking { .. }));
    assert_eq!(member.zab.accepted_epoch(), Epoch(5));
}

#[test]
fn what_is_left_after_a_cut_is_durable_without_another_word() {
    let mut member = Member::follow(2, vec![entry(1, 1)]);
    member.hear(proposal(1, 2));
    member.hear(proposal(1, 3));
    member.step(Input::LeaderGone);
    member.join(3);
    let zxid = Zxid::new(Epoch(1), 2);
    member.hear(LeaderMessage::Trunc { zxid });
    assert_eq!(
        member.hear(new_leader(3)),
        [Output::WriteCurrentEpoch(Epoch(3)), ack(Epoch(3).start())]
    );
}

const OBSERVER: ServerId = ServerId(9);

/// A follower that serves, its log `1-1, 1-2` committed and `2-1` proposed.
fn serving() -> Member {
    let mut member = Member::follow(2, vec![entry(1, 1), entry(1, 2)]);
    member.hear(new_leader(2));
    member.hear(LeaderMessage::UpToDate);
    member.hear(proposal(2, 1));
    member
}

fn info(role: Role, accepted_epoch: i64) -> LearnerMessage {
    LearnerMessage::Info {
        id: OBSERVER,
        role,
        accepted_epoch: Epoch(accepted_epoch),
        config_version: 0,
    }
}

fn ack_epoch(end: Entry) -> LearnerMessage {
    LearnerMessage::AckEpoch {
        last_logged: Some(end.zxid),
        current_epoch: Some(Epoch(1)),
    }
}

fn to_observer(message: LeaderMessage) -> Output {
    let conn = CONN;
    Output::ToLearner { conn, message }
}

fn inform(Entry { zxid, payload }: Entry) -> Output {
    to_observer(LeaderMessage::Inform { zxid, payload })
}

#[test]
fn a_follower_tells_its_observers_what_is_committed_and_nothing_else() {
    let mut member = serving();
    let epoch = Epoch(2);
    assert_eq!(
        member.learn(info(Role::Observer, 1)),
        [to_observer(LeaderMessage::Info { epoch })]
    );
    assert_eq!(
        member.learn(ack_epoch(entry(1, 1))),
        [
            to_observer(LeaderMessage::Diff {
                zxid: entry(1, 2).zxid
            }),
            inform(entry(1, 2)),
            to_observer(new_leader(2)),
        ]
    );
    let begun = LearnerMessage::Ack {
        zxid: epoch.start(),
    };
    assert_eq!(
        member.learn(begun.clone()),
        [to_observer(LeaderMessage::UpToDate)]
    );
    assert_eq!(member.learn(begun), []);
    assert_eq!(
        member.hear(commit(2, 1)),
        [Output::Deliver(entry(2, 1)), inform(entry(2, 1))]
    );
    assert_eq!(member.zab.learner_id(CONN), Some(OBSERVER));
    // It has its pings, and is let go where it does not answer them.
    let ping = to_observer(LeaderMessage::Ping {
        zxid: entry(2, 1).zxid,
    });
    assert!(member.step(Input::Tick).contains(&ping));
    member.now = member.now.plus(5 * 2000 + 1);
    member.step(Input::LeaderHeard);
    let out = member.step(Input::Tick);
    assert!(matches!(out[..], [Output::CloseLearner { conn: CONN, .. }]));
    assert_eq!(member.zab.learners(), []);
}

#[test]
fn an_observer_that_has_more_than_this_follower_knows_to_be_committed_waits_for_it() {
    let mut member = serving();
    member.learn(info(Role::Observer, 2));
    assert_eq!(member.learn(ack_epoch(entry(2, 2))), []);
    assert_eq!(
        member.hear(commit(2, 1)),
        [Output::Deliver(entry(2, 1))],
        "it is not told of what it has"
    );
    member.hear(proposal(2, 2));
    assert_eq!(
        member.hear(commit(2, 2)),
        [
            Output::Deliver(entry(2, 2)),
            to_observer(LeaderMessage::Diff {
                zxid: entry(2, 2).zxid
            }),
            to_observer(new_leader(2)),
        ]
    );
}

#[test]
fn what_only_an_observer_has_of_an_earlier_epoch_is_cut_off_by_a_follower_too() {
    let mut member = serving();
    member.learn(info(Role::Observer, 1));
    let out = member.learn(ack_epoch(entry(1, 9)));
    let trunc = to_observer(LeaderMessage::Trunc {
        zxid: entry(1, 2).zxid,
    });
    assert_eq!(out[0], trunc);
}

#[test]
fn only_observers_learn_from_a_follower_and_only_while_it_serves() {
    let refused = |out: Vec<Output>| matches!(out[..], [Output::CloseLearner { conn: CONN, .. }]);
    assert!(refused(serving().learn(info(Role::Participant, 1))));
    assert!(refused(serving().learn(info(Role::Observer, 3))));
    let mut joining = Member::follow(2, vec![entry(1, 1)]);
    assert!(refused(joining.learn(info(Role::Observer, 1))));
    let (mut looking, _) = Member::start(durable(1, vec![entry(1, 1)]));
    assert!(refused(looking.learn(info(Role::Observer, 1))));
}

/// A configuration whose text is its version alone.
fn config_at(text: &str) -> Option<Config> {
    let version = i64::from_str_radix(text.strip_prefix("version=")?, 16).ok()?;
    Some(Config {
        version: Zxid(version),
        text: text.to_owned(),
        ..Config::fixed(Membership::new([LEADER, OTHER], [ME]))
    })
}

/// An observer in epoch 2 whose leader has told it `text` with NEWLEADER, behind `2-1`; with what
/// UPTODATE brought about.
fn observing(text: &str) -> (Member, Vec<Output>) {
    let past = durable(1, vec![entry(1, 1)]);
    let (member, mut out) = Member::start(past.clone());
    let settings = Settings {
        config: Config::fixed(Membership::new([LEADER, OTHER], [ME])),
        reconfig_enabled: true,
        codec: Codec {
            of_text: config_at,
            of_proposal: |payload| config_at(std::str::from_utf8(payload).ok()?),
        },
        ..member.zab.settings()
    };
    let now = member.now;
    let zab = Zab::new(settings, past, now, &mut out);
    let mut member = Member { zab, now };
    member.join(2);
    let Entry { zxid, payload } = entry(2, 1);
    member.hear(LeaderMessage::Diff { zxid });
    member.hear(LeaderMessage::Inform { zxid, payload });
    member.hear(LeaderMessage::NewLeader {
        zxid: Epoch(2).start(),
        config_text: text.to_owned(),
    });
    member.step(Input::Persisted { zxid });
    let out = member.hear(LeaderMessage::UpToDate);
    assert!(out.contains(&Output::Serve));
    (member, out)
}

fn activates(out: &[Output]) -> bool {
    let mut out = out.iter();
    out.any(|output| matches!(output, Output::ConfigActivated(_)))
}

#[test]
fn an_observer_lives_by_no_configuration_whose_transaction_has_not_come() {
    let (_, out) = observing("version=200000001");
    assert!(activates(&out), "{out:?}");
    let (mut member, out) = observing("version=200000002");
    assert!(!activates(&out), "{out:?}");
    assert!(member.zab.config_seen().is_none());
    let out = member.hear(LeaderMessage::InformAndActivate {
        zxid: Zxid::new(Epoch(2), 2),
        payload: Bytes::from("version=200000002"),
        leader: LEADER,
    });
    assert!(activates(&out), "{out:?}");
}
