//! What a leader and its learners say to each other about the log, without the bytes. Session
//! traffic (REQUEST, REVALIDATE, SYNC) goes past consensus: see `quorum_proto`.
//! Source: `Leader.java` packet types, `Learner.java`, `LearnerHandler.java`.

use super::membership::Role;
use crate::ids::{Epoch, ServerId, Zxid};
use bytes::Bytes;

/// From a learner to its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearnerMessage {
    /// FOLLOWERINFO or OBSERVERINFO: who we are and what we agreed to.
    Info {
        /// The learner.
        id: ServerId,
        /// FOLLOWERINFO for a participant, OBSERVERINFO for an observer.
        role: Role,
        /// The newest epoch that it agreed to.
        accepted_epoch: Epoch,
        /// The version of its configuration.
        config_version: i64,
    },
    /// ACKEPOCH.
    AckEpoch {
        /// The end of its log, `None` for a disk never initialised (-1 on the wire).
        last_logged: Option<Zxid>,
        /// Its current epoch; `None` (-1 on the wire) where it agreed to this epoch before, so
        /// that this does not count as a vote for it.
        current_epoch: Option<Epoch>,
    },
    /// ACK of a proposal, or of NEWLEADER and UPTODATE by the epoch's first zxid.
    Ack {
        /// What is durable.
        zxid: Zxid,
    },
}

/// From a leader to a learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderMessage {
    /// LEADERINFO: the epoch to agree to.
    Info {
        /// The new epoch.
        epoch: Epoch,
    },
    /// DIFF: what follows goes on where your log ends.
    Diff {
        /// The leader's last committed transaction.
        zxid: Zxid,
    },
    /// TRUNC: cut your log behind this.
    Trunc {
        /// The last position to keep.
        zxid: Zxid,
    },
    /// SNAP: the whole tree follows outside the packets.
    Snap {
        /// The tree's position.
        zxid: Zxid,
    },
    /// PROPOSAL: append this.
    Proposal {
        /// Its position.
        zxid: Zxid,
        /// Its bytes.
        payload: Bytes,
    },
    /// COMMIT: this proposal is on a quorum's disks.
    Commit {
        /// Which.
        zxid: Zxid,
    },
    /// COMMITANDACTIVATE: this reconfiguration is on the disks of a quorum of both the old and the
    /// new configuration; put it in force.
    CommitAndActivate {
        /// Which.
        zxid: Zxid,
        /// Who leads from now on.
        leader: ServerId,
    },
    /// INFORM: proposal and commit in one, for observers.
    Inform {
        /// Its position.
        zxid: Zxid,
        /// Its bytes.
        payload: Bytes,
    },
    /// INFORMANDACTIVATE: proposal and commit of a reconfiguration, for observers.
    InformAndActivate {
        /// Its position.
        zxid: Zxid,
        /// Its bytes.
        payload: Bytes,
        /// Who leads from now on.
        leader: ServerId,
    },
    /// NEWLEADER: you have what I have; make it durable and say so.
    NewLeader {
        /// The first zxid of the epoch.
        zxid: Zxid,
        /// The configuration as text.
        config_text: String,
    },
    /// UPTODATE: a quorum has followed; serve.
    UpToDate,
    /// PING.
    Ping {
        /// The leader's last proposal.
        zxid: Zxid,
    },
}
