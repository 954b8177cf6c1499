//! Which members may stop: the leader keeps account of those that were asked to, so that of several
//! that are asked at once only as many go as the quorum can spare.
//!
//! A member that a drain or a person is about to stop asks its leader, again and again until it
//! goes. One alone decides for all of them, so no two can each count on the other. What the leader
//! has allowed ends with it: a member that still asks then is told anew by the next one, and tells
//! it who was leaving when the one before went, which may have been the first of them.

use crate::ids::ServerId;
use crate::zab::Membership;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// How long one that asks no longer is still taken to be leaving.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// Members that were asked to stop, and how long ago they asked last.
pub type Leaving = BTreeMap<ServerId, Duration>;

/// Those that were asked to stop, as their leader knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    asked: BTreeMap<ServerId, Departure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Departure {
    /// When it asked last.
    asked: Duration,
    /// It was told that it may: it counts no longer.
    allowed: bool,
    /// It no longer follows.
    gone: bool,
}

/// Who counts, as the leader sees it.
#[derive(Clone, Debug)]
pub struct Present<'a> {
    /// Who votes, and what a quorum is.
    pub membership: &'a Membership,
    /// Those who serve in sync, the leader among them.
    pub serving: &'a BTreeSet<ServerId>,
}

/// Whether a member may stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may, whatever happens to the others.
    Free(Spared),
    /// It may as long as it is told so: the others are a quorum without it.
    Go,
    /// The quorum needs it. With it, these serve and stay.
    Hold(BTreeSet<ServerId>),
}

/// Why nobody needs a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// It has no vote.
    NoVote,
    /// The others are no quorum without it even if all of them serve: nothing is to be waited for.
    NeverSpared,
    /// All were asked to stop: there is nobody to stay for.
    EveryoneLeaves,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Free(Spared::NoVote) => f.write_str("it has no vote"),
            Verdict::Free(Spared::NeverSpared) => f.write_str("so few voters can never spare it"),
            Verdict::Free(Spared::EveryoneLeaves) => f.write_str("every voter is asked to stop"),
            Verdict::Go => f.write_str("the others are a quorum without it"),
            Verdict::Hold(staying) if staying.is_empty() => {
                f.write_str("the others are no quorum without it: nobody stays")
            }
            Verdict::Hold(staying) => {
                let ids: Vec<String> = staying.iter().map(ServerId::to_string).collect();
                let ids = ids.join(", ");
                write!(f, "the others are no quorum without it: server {ids} stays")
            }
        }
    }
}

impl Departures {
    /// `who` asks whether it may stop. `heard` is what it was told of the others by the leader that
    /// it asked before; of one that serves it says nothing, since that may be back by now.
    pub fn ask(
        &mut self,
        now: Duration,
        who: ServerId,
        present: &Present<'_>,
        heard: &Leaving,
    ) -> Verdict {
        let membership = present.membership;
        if !membership.is_voter(who) {
            return Verdict::Free(Spared::NoVote);
        }
        let others = membership.voters().iter().copied().filter(|id| *id != who);
        if !membership.is_quorum(others) {
            return Verdict::Free(Spared::NeverSpared);
        }
        let known = |departure: &Departure| now.saturating_sub(departure.asked) < FORGOTTEN;
        self.asked.retain(|_, departure| known(departure));
        for (id, ago) in heard {
            if membership.is_voter(*id) && !present.serving.contains(id) && *ago < FORGOTTEN {
                self.asked.entry(*id).or_insert(Departure {
                    asked: now.saturating_sub(*ago),
                    allowed: true,
                    gone: true,
                });
            }
        }
        let staying: BTreeSet<ServerId> = { present.serving.iter().copied() }
            .filter(|id| *id != who && !self.asked.get(id).is_some_and(|other| other.allowed))
            .collect();
        let spared = membership.is_quorum(staying.iter().copied());
        let asks = |id: &ServerId| *id == who || self.asked.contains_key(id);
        let everyone = membership.voters().iter().all(asks);
        let asking = Departure {
            asked: now,
            allowed: spared || everyone,
            gone: false,
        };
        self.asked.insert(who, asking);
        if everyone {
            Verdict::Free(Spared::EveryoneLeaves)
        } else if spared {
            Verdict::Go
        } else {
            Verdict::Hold(staying)
        }
    }

    /// Who was asked to stop, for whoever asks the next leader.
    #[must_use]
    pub fn leaving(&self, now: Duration) -> Leaving {
        let asked = self.asked.iter();
        let ago = asked.map(|(id, departure)| (*id, now.saturating_sub(departure.asked)));
        ago.filter(|(_, ago)| *ago < FORGOTTEN).collect()
    }

    /// Takes note of who follows now. One that was gone and is back is leaving no longer.
    pub fn note(&mut self, present: &BTreeSet<ServerId>) {
        self.asked.retain(|id, departure| {
            let is_here = present.contains(id);
            let is_back = departure.gone && is_here;
            departure.gone |= !is_here;
            !is_back
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i64]) -> BTreeSet<ServerId> {
        ids.iter().copied().map(ServerId).collect()
    }

    /// An ensemble of voters, and those of them that serve.
    struct Scene {
        membership: Membership,
        serving: BTreeSet<ServerId>,
        departures: Departures,
        now: Duration,
    }

    impl Scene {
        fn of(voters: &[i64]) -> Self {
            Scene {
                membership: Membership::new(ids(voters), ids(&[9])),
                serving: ids(voters),
                departures: Departures::default(),
                now: Duration::from_secs(100),
            }
        }

        fn ask(&mut self, id: i64) -> Verdict {
            self.ask_having_heard(id, &Leaving::new())
        }

        fn ask_having_heard(&mut self, id: i64, heard: &Leaving) -> Verdict {
            let present = Present {
                membership: &self.membership,
                serving: &self.serving,
            };
            self.departures.ask(self.now, ServerId(id), &present, heard)
        }

        /// These serve now.
        fn serve(&mut self, serving: &[i64]) {
            self.serving = ids(serving);
            self.departures.note(&self.serving);
        }
    }

    #[test]
    fn one_goes_while_the_others_are_a_quorum_in_sync() {
        for (voters, serving, asks, may) in [
            (&[1, 2, 3][..], &[1, 2, 3][..], 1, true),
            (&[1, 2, 3], &[1, 2], 1, false),
            (&[1, 2, 3], &[1, 2], 2, false),
            // It serves nobody: it can't be missed.
            (&[1, 2, 3], &[1, 2], 3, true),
            (&[1, 2, 3, 4], &[1, 2, 3, 4], 4, true),
            (&[1, 2, 3, 4], &[1, 2, 3], 3, false),
            (&[1, 2, 3, 4, 5], &[1, 2, 3, 4], 2, true),
            (&[1, 2, 3, 4, 5], &[1, 2, 3], 2, false),
        ] {
            let mut scene = Scene::of(voters);
            scene.serve(serving);
            let verdict = scene.ask(asks);
            assert_eq!(verdict == Verdict::Go, may, "{asks} of {serving:?}");
        }
    }

    #[test]
    fn those_whom_nobody_needs_are_never_held() {
        for voters in [&[1][..], &[1, 2]] {
            let mut scene = Scene::of(voters);
            assert_eq!(scene.ask(1), Verdict::Free(Spared::NeverSpared));
        }
        let mut scene = Scene::of(&[1, 2, 3]);
        scene.serve(&[1, 2]);
        assert_eq!(scene.ask(9), Verdict::Free(Spared::NoVote));
        assert_eq!(scene.ask(4), Verdict::Free(Spared::NoVote));
    }

    #[test]
    fn of_two_that_ask_at_once_one_goes_and_the_other_waits_until_it_is_back() {
        let mut scene = Scene::of(&[1, 2, 3]);
        assert_eq!(scene.ask(3), Verdict::Go);
        assert_eq!(scene.ask(1), Verdict::Hold(ids(&[2])));
        // Who was allowed stays so while it still serves on for a moment.
        assert_eq!(scene.ask(3), Verdict::Go);
        scene.serve(&[1, 2]);
        assert_eq!(scene.ask(1), Verdict::Hold(ids(&[2])));
        scene.serve(&[1, 2, 3]);
        assert_eq!(scene.ask(1), Verdict::Go);
    }

    #[test]
    fn five_spare_two_at_once_and_no_third() {
        let mut scene = Scene::of(&[1, 2, 3, 4, 5]);
        assert_eq!(scene.ask(5), Verdict::Go);
        assert_eq!(scene.ask(4), Verdict::Go);
        assert_eq!(scene.ask(3), Verdict::Hold(ids(&[1, 2])));
    }

    #[test]
    fn one_that_was_allowed_is_held_once_another_fails() {
        let mut scene = Scene::of(&[1, 2, 3]);
        assert_eq!(scene.ask(3), Verdict::Go);
        scene.serve(&[1, 3]);
        assert_eq!(scene.ask(3), Verdict::Hold(ids(&[1])));
    }

    #[test]
    fn nobody_is_held_where_all_are_asked_even_if_some_have_gone() {
        let mut scene = Scene::of(&[1, 2, 3]);
        assert_eq!(scene.ask(2), Verdict::Go);
        assert_eq!(scene.ask(3), Verdict::Hold(ids(&[1])));
        scene.serve(&[1, 3]);
        let all = Verdict::Free(Spared::EveryoneLeaves);
        assert_eq!(scene.ask(1), all);
        assert_eq!(scene.ask(3), all);
    }

    #[test]
    fn the_next_leader_is_told_who_was_leaving_when_the_one_before_went() {
        let mut before = Scene::of(&[1, 2, 3]);
        assert_eq!(before.ask(3), Verdict::Go);
        assert_eq!(before.ask(1), Verdict::Hold(ids(&[2])));
        let heard = before.departures.leaving(before.now);

        let mut scene = Scene::of(&[1, 2, 3]);
        scene.serve(&[1, 2]);
        assert_eq!(scene.ask_having_heard(1, &heard), Verdict::Hold(ids(&[2])));
        // The last one asks: nobody is left to stay for.
        let all = Verdict::Free(Spared::EveryoneLeaves);
        assert_eq!(scene.ask_having_heard(2, &Leaving::new()), all);
        // One that came back was leaving once, and does so no longer.
        scene.serve(&[1, 2, 3]);
        assert_eq!(scene.ask(1), Verdict::Hold(ids(&[3])));
        assert_eq!(scene.ask_having_heard(1, &heard), Verdict::Hold(ids(&[3])));
    }

    #[test]
    fn what_is_told_from_leader_to_leader_grows_old_and_is_forgotten() {
        let mut scene = Scene::of(&[1, 2, 3]);
        scene.serve(&[1, 2]);
        let heard = Leaving::from([(ServerId(3), Duration::from_secs(20))]);
        scene.ask_having_heard(1, &heard);
        scene.now += Duration::from_secs(9);
        let all = scene.departures.leaving(scene.now);
        assert_eq!(all.get(&ServerId(3)), Some(&Duration::from_secs(29)));
        scene.now += Duration::from_secs(2);
        assert_eq!(scene.ask(2), Verdict::Hold(ids(&[1])));
        assert!(
            !scene
                .departures
                .leaving(scene.now)
                .contains_key(&ServerId(3))
        );
    }

    #[test]
    fn one_that_failed_without_being_asked_is_waited_for() {
        let mut scene = Scene::of(&[1, 2, 3]);
        scene.serve(&[1, 3]);
        assert_eq!(scene.ask(1), Verdict::Hold(ids(&[3])));
        assert_eq!(scene.ask(3), Verdict::Hold(ids(&[1])));
    }

    #[test]
    fn one_that_asked_long_ago_and_stayed_counts_again() {
        let mut scene = Scene::of(&[1, 2, 3]);
        assert_eq!(scene.ask(3), Verdict::Go);
        scene.now += Duration::from_secs(29);
        assert_eq!(scene.ask(1), Verdict::Hold(ids(&[2])));
        scene.now += Duration::from_secs(2);
        assert_eq!(scene.ask(1), Verdict::Go);
    }
}
