//! The words by which conditions and Events say why. Each is explained in `docs/operations.md`, and a
//! test fails where one is not.

/// An enum whose variants' names are what people read.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $word:ident,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum $name {
            $($(#[$doc])* $word,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$word),+];

            /// The word.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Why a condition is as it is.
    Reason {
        /// All that the spec asks for serves.
        AllMembersServing,
        /// Every member is what the spec asks for.
        UpToDate,
        /// `spec.paused` holds changes back, so none is under way.
        Paused,
        /// Objects are being written.
        ApplyingObjects,
        /// The superuser's password is being drawn.
        DrawingSuperuser,
        /// A volume, or the template of new ones, is being made larger.
        GrowingVolume,
        /// The leader is asked to hand over before it goes.
        HandingOver,
        /// The ensemble changes its membership.
        ChangingMembership,
        /// Members are restarted, one at a time.
        RollingRestart,
        /// The StatefulSet controller has not seen the newest template.
        WaitingForStatefulSet,
        /// Members do not serve yet.
        WaitingForMembers,
        /// A Secret that the spec names lacks what it is named for.
        WaitingForSecret,
        /// A leader and a synced majority serve.
        SyncedMajority,
        /// Somebody leads, and too few follow in sync.
        NoSyncedMajority,
        /// Nobody leads, though somebody did before.
        NoLeader,
        /// The ensemble is being made.
        FirstQuorumPending,
        /// `spec.paused` is set.
        PausedBySpec,
        /// It is not.
        NotPaused,
        /// Nothing needs a person.
        AsExpected,
        /// Too few voters serve, for longer than an election takes.
        QuorumLost,
        /// A pod is stuck.
        MemberCannotRun,
        /// A member says what keeps it from serving.
        MemberFault,
        /// A new resource found volumes of an earlier life.
        OlderVolumes,
        /// A pod runs without serving.
        MemberDoesNotServe,
        /// Whoever answers is someone else.
        WrongMember,
        /// The image's version may not follow what runs.
        UnsupportedVersion,
        /// The storage class does not let volumes grow.
        VolumeCannotGrow,
        /// A Secret that the spec names lacks what it is named for.
        SecretMissing,
        /// The spec cannot be carried out.
        InvalidSpec,
        /// A pass failed.
        ReconcileFailed,
    }
}

words! {
    /// What an Event tells of, beside the reasons of `Degraded`.
    Told {
        /// A member's pod was deleted, to start again.
        RestartingMember,
        /// A leader was asked to hand over.
        HandingOver,
        /// The ensemble changed its membership.
        MembershipChanged,
        /// A volume was asked to grow.
        GrowingVolume,
        /// The StatefulSet was deleted without its pods, to be made again.
        RecreatingStatefulSet,
        /// The spec asks for what is allowed and unwise.
        Unwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Predicate;
    use std::collections::BTreeSet;

    const CONDITIONS: [&str; 5] = [
        "Ready",
        "QuorumAvailable",
        "Progressing",
        "Degraded",
        "Paused",
    ];

    #[test]
    fn every_word_that_people_read_is_explained_and_no_other_is() {
        let document = include_str!("../docs/operations.md");
        // A row of a table explains the word that it begins with.
        let explained: BTreeSet<&str> = document
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
            .map(|(word, _)| word)
            .collect();
        let known: BTreeSet<&str> = CONDITIONS
            .into_iter()
            .chain(Reason::ALL.iter().map(|word| word.name()))
            .chain(Told::ALL.iter().map(|word| word.name()))
            .chain(Predicate::ALL.iter().map(|word| word.name()))
            .collect();
        let silent: Vec<_> = known.difference(&explained).collect();
        assert!(
            silent.is_empty(),
            "docs/operations.md does not explain {silent:?}"
        );
        let stale: Vec<_> = explained.difference(&known).collect();
        assert!(
            stale.is_empty(),
            "docs/operations.md explains {stale:?}, which nothing says"
        );
    }
}
