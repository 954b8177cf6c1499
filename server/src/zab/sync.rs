//! How a learner is brought to where its leader stands: DIFF, TRUNC or SNAP.
//! Source: `LearnerHandler.java` syncFollower and queueCommittedProposals.

use super::history::{Entry, History};
use super::membership::Role;
use super::message::LeaderMessage;
use super::{LearnerConn, Output};
use crate::ids::Zxid;

/// Sends a learner whose log ends at `last_logged` what is committed and not there, and says up to
/// where that is.
pub(super) fn bring(
    history: &History,
    conn: LearnerConn,
    role: Role,
    last_logged: Option<Zxid>,
    out: &mut Vec<Output>,
) -> Zxid {
    let committed = history.committed();
    let send = |message| Output::ToLearner { conn, message };
    let missing = match plan(history, last_logged) {
        Plan::Diff(missing) => {
            out.push(send(LeaderMessage::Diff { zxid: committed }));
            missing
        }
        Plan::Trunc(zxid, missing) => {
            out.push(send(LeaderMessage::Trunc { zxid }));
            missing
        }
        Plan::Snap => {
            out.push(Output::SnapshotToLearner {
                conn,
                zxid: committed,
            });
            Vec::new()
        }
    };
    for Entry { zxid, payload } in missing {
        match role {
            Role::Participant => {
                out.push(send(LeaderMessage::Proposal { zxid, payload }));
                out.push(send(LeaderMessage::Commit { zxid }));
            }
            Role::Observer => out.push(send(LeaderMessage::Inform { zxid, payload })),
        }
    }
    committed
}

/// The way to synchronise one learner.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Send DIFF and these committed transactions.
    Diff(Vec<Entry>),
    /// Send TRUNC to this position, then these committed transactions.
    Trunc(Zxid, Vec<Entry>),
    /// Send the tree.
    Snap,
}

/// Decides by where the learner's log ends.
fn plan(history: &History, learner_end: Option<Zxid>) -> Plan {
    let Some(end) = learner_end else {
        // A disk that was never initialised holds nothing that could go on.
        return Plan::Snap;
    };
    let committed = history.committed();
    if end == committed {
        return Plan::Diff(Vec::new());
    }
    let recent = history.recent();
    // Without transactions in memory, all that we know of our history is its end.
    let oldest = recent.front().map_or(committed, |entry| entry.zxid);
    let newest = recent.back().map_or(committed, |entry| entry.zxid);
    // An epoch's first position has no transaction of its own: who stands there synchronised with
    // that epoch's leader and received nothing since. It can't be found in the log, and can't be
    // cut at.
    let at_epoch_start = end.counter() == 0;
    if end > newest && !at_epoch_start {
        return Plan::Trunc(newest, Vec::new());
    }
    if end > newest || end < oldest {
        return Plan::Snap;
    }
    let split = recent.partition_point(|entry| entry.zxid <= end);
    let missing = recent.iter().skip(split).cloned().collect::<Vec<_>>();
    let before = split.checked_sub(1).and_then(|index| recent.get(index));
    match before {
        Some(entry) if entry.zxid == end => Plan::Diff(missing),
        _ if at_epoch_start => Plan::Diff(missing),
        // The learner has what we never had. TRUNC never crosses an epoch: a learner can't cut
        // into an epoch that it has nothing of.
        Some(entry) if entry.zxid.epoch() == end.epoch() => Plan::Trunc(entry.zxid, missing),
        _ => Plan::Snap,
    }
}
