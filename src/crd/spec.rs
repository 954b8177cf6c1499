//! `spec`: what a user asks for. Only `replicas` has to be there.
//!
//! No field has a default in the schema: what the operator assumes is not
//! written into the user's resource, and can improve with the operator. The
//! descriptions name the assumptions, for `kubectl explain`.

// The derive macros write private twins of these public types.
#![allow(unreachable_pub)]

use super::rules;
use super::status::ZooKeeperClusterStatus;
use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The ensemble you want; `spec: {replicas: 3}` is a good one.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "zookeeper.ensemble.dev",
    version = "v1alpha1",
    kind = "ZooKeeperCluster",
    plural = "zookeeperclusters",
    shortname = "zk",
    category = "all",
    category = "zookeeper",
    namespaced,
    doc = "A ZooKeeper ensemble: its members, their storage and configuration, kept in quorum by the operator.",
    status = "ZooKeeperClusterStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.ready",
        description = "Members that serve, of members wanted"
    ),
    printcolumn(
        name = "Leader",
        type_ = "string",
        json_path = ".status.leader",
        description = "The leader's pod"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "The server's version"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why the ensemble is ready, or is not"
    ),
    printcolumn(
        name = "Quorum",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"QuorumAvailable\")].status",
        description = "Whether a synced majority serves clients",
        priority = 1
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.clientEndpoint",
        description = "Where clients connect",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::name_fits()
)]
#[x_kube(
    validation = rules::ids_fit(),
    validation = rules::first_server_id_stays(),
    validation = rules::volume_never_shrinks("data"),
    validation = rules::volume_never_shrinks("log"),
    validation = rules::storage_class_stays("data"),
    validation = rules::storage_class_stays("log"),
    validation = rules::log_volume_stays(),
    validation = rules::ephemeral_stays(),
    validation = rules::ephemeral_or_volumes()
)]
#[serde(rename_all = "camelCase")]
pub struct ZooKeeperClusterSpec {
    /// How many voting members the ensemble has: 3 survive the loss of one, 5 of
    /// two. With 1 or 2, every restart interrupts service, and an even number
    /// survives no more than the odd one below it. A change brings members in, or
    /// takes them out, one at a time; `kubectl scale` changes it too.
    #[x_kube(validation = rules::replicas_in_range())]
    pub replicas: i32,

    /// How many members follow without a vote: they answer reads, and writes do
    /// not wait for them. Their pods come after the voters'. Unset: 0.
    #[x_kube(validation = rules::observers_in_range())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observers: Option<i32>,

    /// The server's image. Unset: the server of the operator's own release. A
    /// change restarts the members one by one, the leader last.
    #[schemars(length(min = 1, max = 512))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// When the image is pulled. Unset: IfNotPresent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Secrets of this namespace with which to pull the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,

    /// zoo.cfg keys as they are, such as `tickTime: 2000`. Those that the
    /// operator owns are refused. Unset ones: tickTime 2000, initLimit 10,
    /// syncLimit 5, autopurge.purgeInterval 24, autopurge.snapRetainCount 3. A
    /// change restarts the members one by one, the leader last.
    #[schemars(schema_with = "config_schema")]
    #[x_kube(
        validation = rules::no_reserved_key(),
        validation = rules::no_tls_key(),
        validation = rules::no_password_in_config(),
        validation = rules::no_property_prefix(),
        validation = rules::no_member_line(),
        validation = rules::no_misspelt_key(),
        validation = rules::values_are_lines(),
        validation = rules::number_within("tickTime", 100, 60_000, "it is the heartbeat in milliseconds that every timeout is counted in"),
        validation = rules::number_within("initLimit", 1, 10_000, "it is how many ticks a member may take to catch up with the leader"),
        validation = rules::number_within("syncLimit", 1, 10_000, "it is how many ticks a member may lag behind the leader")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<BTreeMap<String, IntOrString>>,

    /// The members' volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,

    /// How the members' pods are placed and what they may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodOptions>,

    /// How clients reach the ensemble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Services>,

    /// Whether traffic between members is closed to everyone else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicyOptions>,

    /// The superuser, by whom the operator changes the membership, and the users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,

    /// Reserved for encryption between clients, members and the operator. This
    /// release has none, and refuses the field, as it refuses zoo.cfg's keys of TLS.
    #[x_kube(validation = rules::no_tls_yet())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// The server id of the first pod; the others count on from it. Unset: 1.
    /// Immutable: ids are written on the members' disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_server_id: Option<i32>,

    /// Leave everything as it is: nothing is written or restarted, status goes
    /// on being reported. Unset: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// A map of bounded size, so that rules over it have a bounded cost.
fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": rules::CONFIG_KEYS_MAX,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "maxLength": rules::CONFIG_VALUE_LENGTH_MAX
        }
    })
}

/// When the image is pulled: Always, at every start; IfNotPresent, where the node does not have it;
/// Never. Unset: IfNotPresent.
// What stands here is what `kubectl explain` says of the field: of an enum, the CRD keeps no other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ImagePullPolicy {
    /// On every start.
    Always,
    /// Where the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

/// The members' volumes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The volume for snapshots and, without a log volume, the transaction log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Volume>,
    /// A second volume for the transaction log alone. Writes wait for this disk:
    /// a fast one of its own is the best thing one can do for their latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Volume>,
    /// What becomes of the volumes when a member is taken out or the cluster is
    /// deleted. Unset: Retain; a member or cluster of the same name takes them
    /// over again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Keep the data in the pods instead of in volumes, for tests: a pod that goes
    /// takes its data with it, and a majority that goes takes all of it. Unset:
    /// false. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
}

/// One volume of each member.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its size. Unset: 10Gi. It can grow where the storage class allows, and
    /// never shrink.
    #[schemars(length(max = 32))]
    #[x_kube(validation = rules::size_is_a_quantity())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Its storage class. Unset: the cluster's default class. Immutable.
    #[schemars(length(max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

/// What becomes of the volumes when a member is taken out or the cluster is deleted: Retain, they stay,
/// and a member or cluster of the same name takes them over again; Delete, they go along with their
/// data. Unset: Retain.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Retention {
    /// They stay.
    #[default]
    Retain,
    /// They are deleted with the member, and with the cluster.
    Delete,
}

/// How the members' pods are placed and what they may use.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodOptions {
    /// CPU and memory. Unset: requests of 100m and 256Mi, no limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Replaces the operator's own affinity, which prefers to keep members on
    /// different nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Replaces the operator's own constraint, which spreads members over zones
    /// where that is possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Taints that the members tolerate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Labels a node must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// More labels for the pods; the operator's own win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// More annotations for the pods; the operator's own win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The priority class of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// How long a member may take to hand over and close, in seconds. Unset: 60.
    #[schemars(range(min = 1, max = 3600))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
    /// A pod template (`metadata` and `spec`) laid over the operator's own by
    /// strategic merge, as `kubectl patch` does: a container named `zookeeper`
    /// changes the server's, any other name adds a sidecar. What you change here
    /// is yours to answer for; the labels and hashes that the operator goes by stay.
    #[schemars(schema_with = "any_object")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<serde_json::Value>,
}

/// An object that the API server keeps as it is.
fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true
    })
}

/// How clients reach the ensemble.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Services {
    /// The service `<name>-client`, which leads to serving members only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientService>,
    /// A service of its own for every member, named as its pod, for clients outside
    /// of Kubernetes: they must reach each member by itself. Unset: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<MemberServices>,
}

/// A service for every member.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberServices {
    /// Their type. Unset: ClusterIP.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Their annotations; `{pod}` and `{ordinal}` in a value become the member's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The host by which clients reach a member, such as `{pod}.zk.example.com`.
    /// Unset: what the service got from its load balancer, or its node's address.
    #[schemars(length(min = 1, max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Who may do what.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = rules::required_users_are_there())]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// A Secret of this namespace whose key `password` is the superuser's (`super`).
    /// Unset: the operator draws one into the Secret `<name>-superuser`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superuser: Option<SecretName>,
    /// Users whose passwords stand in Secrets of this namespace. They log in by SASL
    /// DIGEST-MD5, and access lists name them `sasl:<name>`. A new password holds
    /// without a restart; the first user and the last one restart the members one by
    /// one. Users of the scheme `digest` (`addauth`) need no entry: what the server
    /// goes by is the hash in the access list. Unset: nobody can log in by SASL.
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<User>>,
    /// Serve nothing to a client that has not logged in as one of the users; the
    /// superuser is let in by its password, too. A change restarts the members one by
    /// one. Unset: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_authentication: Option<bool>,
}

/// A user who logs in by a password.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The name that the user logs in by.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = rules::user_name_fits())]
    pub name: String,
    /// The name of the Secret, in this namespace, that has the password.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Which of the Secret's keys is the password. Unset: `password`.
    #[schemars(length(min = 1, max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A Secret of the resource's namespace.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Reserved for encryption.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Tls {}

/// The service that clients use.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientService {
    /// Its type. Unset: ClusterIP.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Its annotations, such as a cloud's load balancer asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// How the service is reached: ClusterIP, inside Kubernetes only; NodePort, through a port of every
/// node; LoadBalancer, through a load balancer of the cloud. Unset: ClusterIP.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ServiceType {
    /// Inside Kubernetes only.
    #[default]
    ClusterIP,
    /// Through a port of every node.
    NodePort,
    /// Through a load balancer of the cloud.
    LoadBalancer,
}

impl ServiceType {
    /// The type's name in a Service.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Whether traffic between members is closed to everyone else.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicyOptions {
    /// Only members may reach the quorum and election ports, and only the
    /// operator's namespace the AdminServer. Unset: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}
