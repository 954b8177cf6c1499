//! `status`: the operator's report, derived afresh on every pass.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw of the ensemble.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZooKeeperClusterStatus {
    /// The metadata.generation that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: every member serves and is up to date. Progressing: a change is
    /// being carried out. Degraded: something needs a person. QuorumAvailable:
    /// a leader and a synced majority serve clients. Paused: spec.paused is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// Serving members of wanted members, as in `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// How many voting members serve clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// How many members vote; before the first quorum, how many pods there are for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The label selector of the members' pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The leader's pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The version that serves; during an upgrade the oldest one still serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Every member, as it described itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<MemberStatus>>,
    /// Where clients inside Kubernetes connect, as host:port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_endpoint: Option<String>,
    /// Where applications find all of it: a Secret by the service-binding convention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// The version of the ensemble's committed membership, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_version: Option<String>,
    /// The ensemble's identity. Once set, a quorum has been seen, and an empty
    /// disk is never again allowed to vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// What is allowed, and still unwise or not as one might expect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
    /// What stands in the way of the next step, each with the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<Vec<BlockedBy>>,
}

/// The Secret that applications bind to: `type`, `provider`, `host`, `port`, `uri`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The Secret's name.
    pub name: String,
}

/// A safety check that does not pass yet.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockedBy {
    /// The check's name, such as OthersAreQuorum.
    pub predicate: String,
    /// What it found.
    pub message: String,
}

/// One member of the ensemble.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// The member's pod.
    pub pod: String,
    /// The member's server id (myid).
    pub id: i32,
    /// participant or observer; `joining` while it is no part of the ensemble yet.
    pub role: String,
    /// leading, following, observing, looking, standalone, starting, or unknown.
    pub mode: String,
    /// The last transaction it had applied when this status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zxid: Option<String>,
    /// The server's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where clients outside of Kubernetes reach it, as host:port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_address: Option<String>,
}
