//! [`Observed`]: everything the planner may know, as of one pass.
//!
//! `observe.rs` fills it from the API server and the members; tests make it up.

use crate::objects::{Kind, Password};
use crate::valid::ServerId;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

pub use crate::valid::Role;

/// What was seen of one cluster.
#[derive(Clone, Debug)]
pub struct Observed {
    /// When this was seen.
    pub now: Timestamp,
    /// The latched identity from status: once set, a quorum has been seen.
    pub cluster_id: Option<String>,
    /// The owned objects that exist, as JSON.
    pub objects: BTreeMap<Kind, Value>,
    /// The pods that belong to the StatefulSet, by name.
    pub pods: BTreeMap<String, PodView>,
    /// The volumes' claims, by name.
    pub claims: BTreeMap<String, ClaimView>,
    /// What each member said about itself; where it said nothing, why.
    pub members: BTreeMap<ServerId, Result<MemberReport, Silence>>,
    /// The passwords.
    pub secrets: Secrets,
}

impl Observed {
    /// Nothing at all was seen.
    pub fn nothing() -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH,
            cluster_id: None,
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            claims: BTreeMap::new(),
            members: BTreeMap::new(),
            secrets: Secrets::default(),
        }
    }
}

/// The passwords, as far as they could be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Secrets {
    /// The superuser's.
    pub superuser: Superuser,
    /// That of each user of the spec, by name.
    pub users: BTreeMap<String, UserPassword>,
}

/// A user's password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UserPassword {
    /// It is known.
    Known(Password),
    /// The Secret is not there, or has no such key.
    Missing,
    /// What stands there can be no password, for this reason.
    Unusable(&'static str),
}

impl UserPassword {
    /// The password, where known.
    pub fn known(&self) -> Option<&Password> {
        match self {
            Self::Known(password) => Some(password),
            Self::Missing | Self::Unusable(_) => None,
        }
    }
}

/// The superuser's password, as far as it could be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Superuser {
    /// It is known.
    Known(Password),
    /// The Secret that the spec names is not there, or has no `password`.
    Missing(String),
    /// The operator is to draw one.
    #[default]
    NotDrawn,
}

impl Superuser {
    /// The password, where known.
    pub fn password(&self) -> Option<&Password> {
        match self {
            Self::Known(password) => Some(password),
            Self::Missing(_) | Self::NotDrawn => None,
        }
    }
}

/// A pod, reduced to what decides about it.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// metadata.uid: which pod of this name it is.
    pub uid: String,
    /// metadata.resourceVersion: a delete names it, so that it hits what was seen.
    pub resource_version: String,
    /// Its address, once it has one.
    pub ip: Option<String>,
    /// Its node's address, once it has a node.
    pub node_ip: Option<String>,
    /// The StatefulSet revision it was made from.
    pub revision: Option<String>,
    /// The hash of the zoo.cfg it was made for.
    pub config_hash: Option<String>,
    /// The hash of the certificates it was made for, where there were any.
    pub certificates_hash: Option<String>,
    /// The hash of the template it was made from.
    pub template_hash: Option<String>,
    /// Whether a person asked for this very pod to be restarted.
    pub restart_requested: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// What the kubelet last said about the server's container.
    pub container: ContainerView,
    /// Since when the pod has not been ready; None while it is.
    pub unready_since: Option<Timestamp>,
}

/// What the kubelet last said about a pod's server.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerView {
    /// It runs; `ready` is the readiness probe's word.
    Running {
        /// Whether the readiness probe passes.
        ready: bool,
    },
    /// It does not run yet, and nothing is wrong so far.
    Starting,
    /// It does not run and will not by itself: the reason and the message.
    Stuck {
        /// Such as CrashLoopBackOff, ImagePullBackOff or Unschedulable.
        reason: String,
        /// Kubernetes' own words.
        message: String,
    },
}

/// A volume's claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimView {
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The size it asks for.
    pub requested: Option<String>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether its storage class lets it grow, where that was asked and answered.
    pub expandable: Option<bool>,
    /// Its storage class.
    pub storage_class: Option<String>,
    /// metadata.resourceVersion.
    pub resource_version: String,
}

/// Why a member said nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Silence {
    /// Its pod has no address, or there is no pod.
    #[error("it has no address yet")]
    NoAddress,
    /// It did not answer, or not in time.
    #[error("GET /member failed: {0}")]
    Unreachable(String),
    /// Whoever answered is someone else, such as the next owner of its address.
    #[error("{0}")]
    Impostor(String),
}

/// The body of `GET /member`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MemberReport {
    /// Its own id.
    pub server_id: u8,
    /// What it is doing.
    pub state: MemberState,
    /// participant or observer.
    pub role: Role,
    /// Whether it serves clients.
    pub serving: bool,
    /// Whom it follows, or itself.
    pub leader_id: Option<u8>,
    /// Its program's version.
    pub version: String,
    /// The last transaction it applied, in hexadecimal.
    pub last_zxid: String,
    /// The version of the membership it goes by, in hexadecimal.
    pub config_version: String,
    /// What keeps it from serving, in its own words, such as a full disk.
    #[serde(default)]
    pub fault: Option<String>,
    /// The membership it goes by, as in `/zookeeper/config`.
    #[serde(default)]
    pub config: Option<String>,
    /// The identity on its disk.
    pub cluster_id: Option<String>,
    /// Who votes, as it knows it.
    #[serde(default)]
    pub voters: Vec<u8>,
    /// Who follows it, where it leads.
    #[serde(default)]
    pub learners: Vec<Learner>,
}

/// One who follows the leader, in the leader's words.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Learner {
    /// Its server id.
    pub id: u8,
    /// participant or observer.
    pub role: Role,
    /// Whether it has all the leader has and follows live.
    pub synced: bool,
}

/// What a member is doing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// It leads.
    Leading,
    /// It follows and votes.
    Following,
    /// It follows without a vote.
    Observing,
    /// It looks for a leader.
    Looking,
    /// It is alone by configuration.
    Standalone,
    /// It reads its disk.
    Starting,
}

/// The zxid of a member whose disk is empty and was not initialized: -1, as in its votes, which
/// nobody counts.
const NO_VOTE: &str = "0xffffffffffffffff";

impl MemberReport {
    /// Whether its disk has nothing, so that it has no vote.
    pub fn is_empty(&self) -> bool {
        self.last_zxid == NO_VOTE
    }
}

impl MemberState {
    /// The word in `/member` and in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leading => "leading",
            Self::Following => "following",
            Self::Observing => "observing",
            Self::Looking => "looking",
            Self::Standalone => "standalone",
            Self::Starting => "starting",
        }
    }
}
