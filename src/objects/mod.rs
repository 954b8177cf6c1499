//! The Kubernetes objects of a cluster: one file each, pure builders that cannot fail.
//!
//! [`desired`] is the whole list in the order in which it is to be written: what
//! pods read comes before the pods.

mod config_map;
mod hash;
mod network_policy;
mod pod;
mod pod_disruption_budget;
mod service_account;
mod services;
mod stateful_set;

pub use config_map::zoo_cfg;
pub use hash::short_hash;
pub use stateful_set::{DATA_VOLUME, LOG_VOLUME, claim_name};

use crate::crd::names::{ANNOTATION_APPLIED_HASH, GROUP, LABEL_CLUSTER, OPERATOR};
use crate::valid::ValidCluster;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Every object a cluster may own, in the order of writing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// The members' identity, which may do nothing.
    ServiceAccount,
    /// zoo.cfg and what `init` reads.
    ConfigMap,
    /// Stable names for every pod, ready or not.
    HeadlessService,
    /// Where clients connect.
    ClientService,
    /// At most one member is evicted at a time.
    PodDisruptionBudget,
    /// Who may reach which port.
    NetworkPolicy,
    /// The pods.
    StatefulSet,
}

impl Kind {
    /// All of them, in the order of writing.
    pub const ALL: [Self; 7] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::HeadlessService,
        Self::ClientService,
        Self::PodDisruptionBudget,
        Self::NetworkPolicy,
        Self::StatefulSet,
    ];

    /// apiVersion, kind and plural of the resource.
    pub fn resource(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("v1", "ConfigMap", "configmaps"),
            Self::HeadlessService | Self::ClientService => ("v1", "Service", "services"),
            Self::PodDisruptionBudget => {
                ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
            }
            Self::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
            Self::StatefulSet => ("apps/v1", "StatefulSet", "statefulsets"),
        }
    }

    /// The object's name in the cluster named `cluster`.
    pub fn name(self, cluster: &str) -> String {
        match self {
            Self::ConfigMap => format!("{cluster}-config"),
            Self::HeadlessService => format!("{cluster}-headless"),
            Self::ClientService => format!("{cluster}-client"),
            Self::ServiceAccount
            | Self::PodDisruptionBudget
            | Self::NetworkPolicy
            | Self::StatefulSet => cluster.to_owned(),
        }
    }
}

/// What one object is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Which object.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its whole applied configuration; None: it must not exist.
    pub body: Option<Value>,
}

/// What the builders need to know beside the spec.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    /// Whether an empty disk may vote.
    pub bootstrap: bool,
    /// The living StatefulSet, whose volume templates cannot be changed.
    pub living_stateful_set: Option<&'a Value>,
}

/// Every object of the cluster, in the order of writing.
pub fn desired(cluster: &ValidCluster, context: &Context<'_>) -> Vec<Desired> {
    Kind::ALL
        .map(|kind| {
            let body = match kind {
                Kind::ServiceAccount => Some(json(&service_account::service_account(cluster))),
                Kind::ConfigMap => Some(json(&config_map::config_map(cluster, context.bootstrap))),
                Kind::HeadlessService => Some(json(&services::headless_service(cluster))),
                Kind::ClientService => Some(json(&services::client_service(cluster))),
                Kind::PodDisruptionBudget => {
                    Some(json(&pod_disruption_budget::pod_disruption_budget(cluster)))
                }
                Kind::NetworkPolicy => network_policy::network_policy(cluster).as_ref().map(json),
                Kind::StatefulSet => Some(json(&stateful_set::stateful_set(
                    cluster,
                    context.living_stateful_set,
                ))),
            };
            Desired {
                kind,
                name: kind.name(&cluster.name),
                body: body.map(with_applied_hash),
            }
        })
        .into()
}

/// The hashes a pod of the newest template carries: of its configuration, and of the template.
pub fn template_hashes(stateful_set: &Value) -> (Option<&str>, Option<&str>) {
    let annotations = &stateful_set["spec"]["template"]["metadata"]["annotations"];
    (
        annotations[crate::crd::names::ANNOTATION_CONFIG_HASH].as_str(),
        annotations[crate::crd::names::ANNOTATION_TEMPLATE_HASH].as_str(),
    )
}

fn json(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("Kubernetes types have string keys only, so they serialize")
}

fn with_applied_hash(mut body: Value) -> Value {
    let hash = short_hash(body.to_string().as_bytes());
    body["metadata"]["annotations"][ANNOTATION_APPLIED_HASH] = Value::String(hash);
    body
}

/// The well-known labels, and ours.
fn labels(cluster: &ValidCluster) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "zookeeper"),
        ("app.kubernetes.io/instance", cluster.name.as_str()),
        ("app.kubernetes.io/component", "server"),
        ("app.kubernetes.io/managed-by", OPERATOR),
        ("app.kubernetes.io/part-of", GROUP),
        (LABEL_CLUSTER, cluster.name.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn selector_labels(cluster: &ValidCluster) -> BTreeMap<String, String> {
    [(LABEL_CLUSTER.to_owned(), cluster.name.clone())].into()
}

fn selector(cluster: &ValidCluster) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector_labels(cluster)),
        ..Default::default()
    }
}

fn metadata(cluster: &ValidCluster, kind: Kind) -> ObjectMeta {
    ObjectMeta {
        name: Some(kind.name(&cluster.name)),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(labels(cluster)),
        owner_references: Some(vec![cluster.owner.clone()]),
        ..Default::default()
    }
}
