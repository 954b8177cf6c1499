//! The Kubernetes objects of a cluster: one file each, pure builders that cannot fail.
//!
//! [`desired`] is the whole list in the order in which it is to be written: what
//! pods read comes before the pods.

mod config_map;
mod discovery;
mod hash;
mod merge;
mod network_policy;
mod pod;
mod pod_disruption_budget;
mod secrets;
mod service_account;
mod services;
mod stateful_set;

pub use config_map::{BOOTSTRAP_FILE, Initialize, MEMBERS_FILE, RECOVERY_FILE, zoo_cfg};
pub use hash::short_hash;
pub use pod::{CONTAINER, INIT_CONTAINER};
pub use secrets::{Password, superuser};
pub use services::of_member;
pub use stateful_set::{DATA_VOLUME, LOG_VOLUME, claim_name};

use crate::crd::names::{
    ANNOTATION_APPLIED_HASH, ANNOTATION_CERTIFICATES_HASH, ANNOTATION_CONFIG_HASH,
    ANNOTATION_TEMPLATE_HASH, GROUP, LABEL_CLUSTER, OPERATOR, PORT_CLIENT,
};
use crate::valid::{Member, Role, ValidCluster};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Every object a cluster may own, in the order of writing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// The members' identity, which may do nothing.
    ServiceAccount,
    /// The superuser's password, where the operator drew it. Made once, never changed.
    SuperuserSecret,
    /// What the members know of the superuser and the users.
    AuthSecret,
    /// zoo.cfg, the server list, and what `init` reads.
    ConfigMap,
    /// Stable names for every pod, ready or not.
    HeadlessService,
    /// Where clients connect.
    ClientService,
    /// Where clients reach the member with this ordinal, and no other.
    MemberService(u8),
    /// What applications bind to.
    BindingSecret,
    /// The same for those that need no Secret.
    DiscoveryConfigMap,
    /// At most one member is evicted at a time.
    PodDisruptionBudget,
    /// Who may reach which port.
    NetworkPolicy,
    /// The pods.
    StatefulSet,
}

impl Kind {
    /// All that a cluster owns once, in the order of writing.
    pub const SINGLE: [Self; 11] = [
        Self::ServiceAccount,
        Self::SuperuserSecret,
        Self::AuthSecret,
        Self::ConfigMap,
        Self::HeadlessService,
        Self::ClientService,
        Self::BindingSecret,
        Self::DiscoveryConfigMap,
        Self::PodDisruptionBudget,
        Self::NetworkPolicy,
        Self::StatefulSet,
    ];

    /// apiVersion, kind and plural of the resource.
    pub fn resource(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("v1", "ServiceAccount", "serviceaccounts"),
            Self::SuperuserSecret | Self::AuthSecret | Self::BindingSecret => {
                ("v1", "Secret", "secrets")
            }
            Self::ConfigMap | Self::DiscoveryConfigMap => ("v1", "ConfigMap", "configmaps"),
            Self::HeadlessService | Self::ClientService | Self::MemberService(_) => {
                ("v1", "Service", "services")
            }
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
            Self::MemberService(ordinal) => format!("{cluster}-{ordinal}"),
            Self::SuperuserSecret => format!("{cluster}-superuser"),
            Self::AuthSecret => format!("{cluster}-auth"),
            Self::BindingSecret => format!("{cluster}-binding"),
            Self::ServiceAccount
            | Self::DiscoveryConfigMap
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
    /// The resourceVersion that this was decided on, where a late write would do harm.
    pub resource_version: Option<String>,
    /// Whether it is to be made, and must not be there: nobody saw it.
    pub new: bool,
}

/// What the builders need to know beside the spec.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    /// Which empty disks may vote.
    pub initialize: Initialize,
    /// What is to be remembered of a recovery of the quorum.
    pub recovery: Option<String>,
    /// How many pods there are to be.
    pub pods: u8,
    /// The server list for disks that have none yet.
    pub list: &'a [(Member, Role)],
    /// The living StatefulSet, whose volume templates cannot be changed.
    pub living_stateful_set: Option<&'a Value>,
    /// The superuser's password, where known.
    pub password: Option<&'a Password>,
    /// The users' passwords, as far as they are known.
    pub users: BTreeMap<&'a str, &'a Password>,
    /// The members' living Secret: what cannot be read anew stays as it is there.
    pub living_auth: Option<&'a Value>,
    /// Where clients outside of Kubernetes reach each ordinal's member.
    pub client_addresses: BTreeMap<u8, String>,
    /// The ordinals that have a member service.
    pub living_member_services: Vec<u8>,
}

/// Every object of the cluster, in the order of writing.
pub fn desired(cluster: &ValidCluster, context: &Context<'_>) -> Vec<Desired> {
    let mut all = Vec::new();
    let mut add = |kind: Kind, body: Option<Value>| {
        all.push(Desired {
            kind,
            name: kind.name(&cluster.name),
            body: body.map(with_applied_hash),
            resource_version: None,
            new: false,
        });
    };
    for kind in Kind::SINGLE {
        let body = match kind {
            Kind::ServiceAccount => Some(json(&service_account::service_account(cluster))),
            // Drawn by an action of its own; and a password that cannot be read changes nothing.
            Kind::SuperuserSecret => continue,
            Kind::AuthSecret => match secrets::auth(cluster, context) {
                Some(secret) => Some(json(&secret)),
                None => continue,
            },
            Kind::ConfigMap => Some(json(&config_map::config_map(cluster, context))),
            Kind::HeadlessService => Some(json(&services::headless_service(cluster))),
            Kind::ClientService => Some(json(&services::client_service(cluster))),
            // They are no single ones.
            Kind::MemberService(_) => continue,
            Kind::BindingSecret => {
                for ordinal in 0..context.pods {
                    let service = services::member_service(cluster, ordinal);
                    if let Some(service) = service {
                        add(Kind::MemberService(ordinal), Some(json(&service)));
                    }
                }
                Some(json(&secrets::binding(cluster, context)))
            }
            Kind::DiscoveryConfigMap => Some(json(&discovery::discovery(cluster, context))),
            Kind::PodDisruptionBudget => {
                Some(json(&pod_disruption_budget::pod_disruption_budget(cluster)))
            }
            Kind::NetworkPolicy => network_policy::network_policy(cluster).as_ref().map(json),
            Kind::StatefulSet => Some(stateful_set::stateful_set(cluster, context)),
        };
        add(kind, body);
    }
    for ordinal in &context.living_member_services {
        if cluster.member_services.is_none() || *ordinal >= context.pods {
            add(Kind::MemberService(*ordinal), None);
        }
    }
    all
}

/// The hashes that a pod of the newest template carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TemplateHashes<'a> {
    /// Of its configuration.
    pub config: Option<&'a str>,
    /// Of its certificates, where it has any.
    pub certificates: Option<&'a str>,
    /// Of the template.
    pub template: Option<&'a str>,
}

/// What the newest template's hashes are.
pub fn template_hashes(stateful_set: &Value) -> TemplateHashes<'_> {
    let annotations = &stateful_set["spec"]["template"]["metadata"]["annotations"];
    TemplateHashes {
        config: annotations[ANNOTATION_CONFIG_HASH].as_str(),
        certificates: annotations[ANNOTATION_CERTIFICATES_HASH].as_str(),
        template: annotations[ANNOTATION_TEMPLATE_HASH].as_str(),
    }
}

fn json(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("Kubernetes types have string keys only, so they serialize")
}

fn with_applied_hash(mut body: Value) -> Value {
    let hash = short_hash(body.to_string().as_bytes());
    body["metadata"]["annotations"][ANNOTATION_APPLIED_HASH] = Value::String(hash);
    body
}

/// Every member as host:port: clients that know all of them find another one by themselves.
fn connect_string(cluster: &ValidCluster, context: &Context<'_>) -> String {
    let hosts: Vec<String> = context
        .list
        .iter()
        .map(|(member, _)| format!("{}:{PORT_CLIENT}", cluster.host(member)))
        .collect();
    hosts.join(",")
}

/// Whether a living object is the cluster's own, and not another's of the same name.
pub fn is_own(cluster: &ValidCluster, living: &Value) -> bool {
    let owners = living["metadata"]["ownerReferences"].as_array();
    owners
        .into_iter()
        .flatten()
        .any(|owner| owner["uid"].as_str() == Some(cluster.owner.uid.as_str()))
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
