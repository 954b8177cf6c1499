//! What this member is right now: written by the node, read by whoever asks from outside.

use crate::departures::Departures;
use crate::ids::{Epoch, ServerId, Zxid};
use std::net::IpAddr;
use std::time::Instant;

/// In what capacity clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// As the leader of an ensemble.
    Leader,
    /// As a voting member that follows.
    Follower,
    /// As a member that follows without a vote.
    Observer,
    /// Alone.
    Standalone,
    /// Cut off from its quorum: reads only, for clients that asked for it.
    ReadOnly,
}

impl Serving {
    /// A number for an atomic; 0 stands for not serving.
    pub(super) fn code(self) -> u8 {
        match self {
            Serving::Leader => 1,
            Serving::Follower => 2,
            Serving::Observer => 3,
            Serving::Standalone => 4,
            Serving::ReadOnly => 5,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Serving::Leader,
            2 => Serving::Follower,
            3 => Serving::Observer,
            4 => Serving::Standalone,
            5 => Serving::ReadOnly,
            _ => return None,
        })
    }

    /// Java's word for it in `srvr`, `stat` and `mntr`. Source: `*ZooKeeperServer.java` getState.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Serving::Leader => "leader",
            Serving::Follower => "follower",
            Serving::Observer => "observer",
            Serving::Standalone => "standalone",
            Serving::ReadOnly => "read-only",
        }
    }
}

/// What the member is doing about its ensemble: the `state` of `/member`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// Leads.
    Leading,
    /// Follows with a vote.
    Following,
    /// Follows without a vote.
    Observing,
    /// Looks for a leader.
    Looking,
    /// Needs no ensemble.
    Standalone,
    /// Reads its disk.
    #[default]
    Starting,
}

/// Whether the member votes: the `role` of `/member`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It votes.
    #[default]
    Participant,
    /// It does not.
    Observer,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnerStatus {
    /// Which.
    pub id: ServerId,
    /// Whether it votes.
    pub role: Role,
    /// Whether it has acknowledged all that it was sent at the start, and follows live.
    pub synced: bool,
    /// The last position it acknowledged.
    pub zxid: Zxid,
}

/// All of it. The node writes; the admin pages and the four-letter words read.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// This member.
    pub server_id: ServerId,
    /// What it is doing.
    pub state: MemberState,
    /// Whether it votes.
    pub role: Role,
    /// Its leader, where it has one.
    pub leader_id: Option<ServerId>,
    /// Where the member that it learns from was reached.
    pub leader_ip: Option<IpAddr>,
    /// From its epoch file.
    pub current_epoch: Epoch,
    /// From its epoch file.
    pub accepted_epoch: Epoch,
    /// The version of its membership configuration.
    pub config_version: i64,
    /// Its membership configuration as `/zookeeper/config` has it.
    pub config_text: String,
    /// The port of its clients, where a reconfiguration has set it.
    pub client_port: Option<u16>,
    /// The cluster it was made for.
    pub cluster_id: Option<String>,
    /// Members that vote.
    pub voters: Vec<ServerId>,
    /// On the leader: who could take over at once.
    pub successor: Option<ServerId>,
    /// On the leader: who follows. On a follower: who observes through it.
    pub learners: Vec<LearnerStatus>,
    /// On the leader: who was asked to stop.
    pub departures: Departures,
    /// Why it takes no part for now, as a full disk: a sentence for people.
    pub fault: Option<String>,
    /// When the node's loop last came round. `/live` fails where it is too old.
    pub heartbeat: Instant,
    /// Proposals' sizes in bytes on the leader: last, smallest, largest; -1 before the first.
    pub proposal_bytes: (i64, i64, i64),
    /// Bytes of snapshots.
    pub data_dir_bytes: u64,
    /// Bytes of logs.
    pub log_dir_bytes: u64,
}

impl Default for NodeStatus {
    fn default() -> Self {
        NodeStatus {
            server_id: ServerId(0),
            state: MemberState::default(),
            role: Role::default(),
            leader_id: None,
            leader_ip: None,
            current_epoch: Epoch(0),
            accepted_epoch: Epoch(0),
            config_version: 0,
            config_text: String::new(),
            client_port: None,
            cluster_id: None,
            voters: Vec::new(),
            successor: None,
            learners: Vec::new(),
            departures: Departures::default(),
            fault: None,
            heartbeat: Instant::now(),
            proposal_bytes: (-1, -1, -1),
            data_dir_bytes: 0,
            log_dir_bytes: 0,
        }
    }
}
