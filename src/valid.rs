//! `spec` to [`ValidCluster`]: parsed once, every assumption filled in.
//!
//! The API server refuses nearly everything that is wrong, by the rules in
//! `crd::rules`. What gets past it (an older CRD, a spelling no rule can bound)
//! is an [`InvalidSpec`] here, which becomes a condition and never a crash loop.

use crate::crd::ZooKeeperCluster;
use crate::crd::names::{
    ANNOTATION_ALLOW_VERSION, ANNOTATION_BOOTSTRAP, ANNOTATION_RECOVER, ANNOTATION_RESTART,
    LABEL_CLUSTER, RECOVERY_CONSENT,
};
use crate::crd::rules::{
    CONFIG_KEYS_MAX, CONFIG_VALUE_LENGTH_MAX, DEFAULT_VOLUME_SIZE, NAME_LENGTH_MAX, OBSERVERS_MAX,
    REPLICAS_MAX, RESERVED_KEYS, RESERVED_PREFIXES, SECRET_PREFIXES, TLS_KEYS, TLS_PREFIXES,
    USER_NAME_LENGTH_MAX, USERS_MAX,
};
use crate::crd::spec::{
    Auth, ImagePullPolicy, MemberServices, PodOptions, Retention, ServiceType, Volume,
};
use k8s_openapi::api::core::v1::{LocalObjectReference, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What holds for every cluster of this operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's image where a cluster names none.
    pub default_image: String,
    /// The DNS domain of the Kubernetes cluster.
    pub cluster_domain: String,
    /// The operator's own namespace, where known: members let it alone at the AdminServer.
    pub operator_namespace: Option<String>,
}

/// A ZooKeeper server id (`myid`), from 1 to 255 (`QuorumPeerConfig.java`, `parseProperties`
/// reads any number; 255 is what a session id has room for, `SessionTrackerImpl.java`
/// `initializeNextSessionId`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerId(pub u8);

impl fmt::Display for ServerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A member's part in elections.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It votes.
    Participant,
    /// It only listens.
    Observer,
}

impl Role {
    /// The word in a server list.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        }
    }
}

/// A member: one that the spec asks for, or one that is on its way out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its pod's ordinal in the StatefulSet.
    pub ordinal: u8,
    /// Its server id: `firstServerId` + ordinal.
    pub id: ServerId,
    /// Its pod's name.
    pub pod: String,
    /// The part that the spec gives its ordinal: voters come first.
    pub role: Role,
}

/// One volume of each member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValidVolume {
    /// The requested size, a Kubernetes quantity.
    pub size: String,
    /// The storage class; None: the default one.
    pub storage_class: Option<String>,
}

/// A user who logs in by SASL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValidUser {
    /// The name: no character in it needs an escape in any file.
    pub name: String,
    /// The Secret that has the password.
    pub secret: String,
    /// Under which key.
    pub key: String,
}

/// A cluster whose spec makes sense: builders and planner take nothing else.
#[derive(Clone, Debug)]
pub struct ValidCluster {
    /// metadata.name.
    pub name: String,
    /// metadata.namespace.
    pub namespace: String,
    /// Makes an object the cluster's own, so that it goes with it.
    pub owner: OwnerReference,
    /// When the resource was made; older volumes are from an earlier life.
    pub created: Option<k8s_openapi::jiff::Timestamp>,
    /// The members that the spec asks for, in order of their ordinals: voters, then observers.
    pub members: Vec<Member>,
    /// How many of them vote.
    pub voters: u8,
    /// The first member's id.
    pub first_server_id: ServerId,
    /// The server's image.
    pub image: String,
    /// When it is pulled.
    pub image_pull_policy: ImagePullPolicy,
    /// With what it is pulled.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// zoo.cfg: the operator's assumptions under the user's keys.
    pub config: BTreeMap<String, String>,
    /// Whether data lives and dies with the pods.
    pub ephemeral: bool,
    /// The data volume.
    pub data: ValidVolume,
    /// The log volume, where there is one.
    pub log: Option<ValidVolume>,
    /// What becomes of volumes.
    pub retention: Retention,
    /// The pods' options, as given.
    pub pod: PodOptions,
    /// The client service's type.
    pub client_service_type: ServiceType,
    /// The client service's annotations.
    pub client_service_annotations: BTreeMap<String, String>,
    /// A service for each member, where there are to be any.
    pub member_services: Option<MemberServices>,
    /// The Secret of the superuser's password; None: the operator draws one.
    pub superuser_secret: Option<String>,
    /// Those who log in by SASL, by name.
    pub users: Vec<ValidUser>,
    /// Whether nothing is served to those who have not.
    pub authentication_required: bool,
    /// Whether a NetworkPolicy closes the members' ports.
    pub network_policy: bool,
    /// Whether nothing may be changed.
    pub paused: bool,
    /// The value of the restart annotation, where set.
    pub restart: Option<String>,
    /// Whether the bootstrap annotation is `"true"`.
    pub bootstrap_wanted: bool,
    /// A person's consent to what recovering a lost quorum costs, word for word: it counts once.
    pub recovery_consent: Option<String>,
    /// Whether a person lets any version follow any other.
    pub any_version_wanted: bool,
    /// The ensemble's identity, the same for every cluster of this namespace and name.
    pub cluster_id: String,
    /// What holds for all clusters.
    pub settings: Settings,
}

/// A spec that cannot be carried out, in a sentence that says what to change.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{sentence}")]
pub struct InvalidSpec {
    sentence: String,
}

fn invalid(sentence: impl Into<String>) -> InvalidSpec {
    InvalidSpec {
        sentence: sentence.into(),
    }
}

impl ValidCluster {
    /// Parses a resource. The error is meant for the resource's author.
    pub fn parse(cluster: &ZooKeeperCluster, settings: &Settings) -> Result<Self, InvalidSpec> {
        let name = cluster.name_any();
        if name.len() > NAME_LENGTH_MAX
            || !name.starts_with(|c: char| c.is_ascii_lowercase())
            || !name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        {
            return Err(invalid(format!(
                "the name '{name}' does not fit: at most {NAME_LENGTH_MAX} lower-case letters, digits and \
                 '-', beginning with a letter. Create the cluster under another name"
            )));
        }
        let namespace = cluster
            .namespace()
            .ok_or_else(|| invalid("the resource has no namespace: create it in one"))?;
        let owner = cluster.controller_owner_ref(&()).ok_or_else(|| {
            invalid("the resource has no UID: it was never stored by an API server")
        })?;
        let spec = &cluster.spec;
        let first_server_id = spec.first_server_id.unwrap_or(1);
        let observers = spec.observers.unwrap_or(0);
        let members = members(&name, spec.replicas, observers, first_server_id)?;
        let storage = spec.storage.clone().unwrap_or_default();
        let services = spec.services.clone().unwrap_or_default();
        let client_service = services.client.unwrap_or_default();
        let auth = spec.auth.clone().unwrap_or_default();
        let users = users(&auth)?;
        let annotation = |key: &str| cluster.annotations().get(key).cloned();
        Ok(Self {
            owner,
            created: cluster
                .meta()
                .creation_timestamp
                .as_ref()
                .map(|time| time.0),
            first_server_id: members[0].id,
            // It fits: replicas was found to be at most 15.
            voters: spec.replicas as u8,
            members,
            image: spec
                .image
                .clone()
                .unwrap_or_else(|| settings.default_image.clone()),
            image_pull_policy: spec
                .image_pull_policy
                .unwrap_or(ImagePullPolicy::IfNotPresent),
            image_pull_secrets: spec.image_pull_secrets.clone().unwrap_or_default(),
            config: config(spec.config.as_ref())?,
            ephemeral: storage.ephemeral.unwrap_or(false),
            data: volume(storage.data),
            log: storage.log.map(|log| volume(Some(log))),
            retention: storage.retention.unwrap_or_default(),
            pod: pod_options(spec.pod.as_ref())?,
            client_service_type: client_service.type_.unwrap_or_default(),
            client_service_annotations: client_service.annotations.unwrap_or_default(),
            member_services: services.members,
            superuser_secret: auth.superuser.map(|secret| secret.secret_name),
            users,
            authentication_required: auth.require_authentication.unwrap_or(false),
            network_policy: spec
                .network_policy
                .as_ref()
                .and_then(|p| p.enabled)
                .unwrap_or(true),
            paused: spec.paused.unwrap_or(false),
            restart: annotation(ANNOTATION_RESTART),
            bootstrap_wanted: annotation(ANNOTATION_BOOTSTRAP).as_deref() == Some("true"),
            recovery_consent: annotation(ANNOTATION_RECOVER)
                .filter(|consent| consent.starts_with(RECOVERY_CONSENT) && consent.len() <= 200),
            any_version_wanted: annotation(ANNOTATION_ALLOW_VERSION).as_deref() == Some("true"),
            cluster_id: cluster_id(&namespace, &name),
            settings: settings.clone(),
            name,
            namespace,
        })
    }

    /// The member at an ordinal, whether the spec asks for it or not. None past the last id.
    pub fn member(&self, ordinal: u8) -> Option<Member> {
        Some(Member {
            ordinal,
            id: ServerId(self.first_server_id.0.checked_add(ordinal)?),
            pod: format!("{}-{ordinal}", self.name),
            role: if ordinal < self.voters {
                Role::Participant
            } else {
                Role::Observer
            },
        })
    }

    /// The member with this id, whether the spec asks for it or not. None below the first id.
    pub fn member_with_id(&self, id: ServerId) -> Option<Member> {
        self.member(id.0.checked_sub(self.first_server_id.0)?)
    }

    /// The member whose pod has this name.
    pub fn member_of_pod(&self, pod: &str) -> Option<Member> {
        let ordinal = pod.strip_prefix(self.name.as_str())?.strip_prefix('-')?;
        self.member(ordinal.parse().ok()?)
            .filter(|member| member.pod == pod)
    }

    /// `<name>-headless`.
    pub fn headless_service(&self) -> String {
        format!("{}-headless", self.name)
    }

    /// `<name>-client`.
    pub fn client_service(&self) -> String {
        format!("{}-client", self.name)
    }

    /// Where clients inside Kubernetes connect.
    pub fn client_endpoint(&self) -> String {
        format!(
            "{}.{}.svc.{}:{}",
            self.client_service(),
            self.namespace,
            self.settings.cluster_domain,
            crate::crd::names::PORT_CLIENT
        )
    }

    /// The stable DNS name of a member's pod.
    pub fn host(&self, member: &Member) -> String {
        format!(
            "{}.{}.{}.svc.{}",
            member.pod,
            self.headless_service(),
            self.namespace,
            self.settings.cluster_domain
        )
    }

    /// A member's line in a server list, behind `server.N=`.
    pub fn address(&self, member: &Member, role: Role) -> String {
        use crate::crd::names::{PORT_CLIENT, PORT_ELECTION, PORT_QUORUM};
        let host = self.host(member);
        let role = role.as_str();
        // The client part is what the member binds: every address, whatever its name resolves to.
        format!("{host}:{PORT_QUORUM}:{PORT_ELECTION}:{role};0.0.0.0:{PORT_CLIENT}")
    }

    /// Whether the spec names Secrets, whose changes no watch tells of.
    pub fn names_secrets(&self) -> bool {
        self.superuser_secret.is_some() || !self.users.is_empty()
    }

    /// Selects the members' pods and volumes.
    pub fn selector(&self) -> String {
        selector(&self.name)
    }
}

/// Selects the pods and volumes of the cluster named `name`, valid or not.
pub fn selector(name: &str) -> String {
    format!("{LABEL_CLUSTER}={name}")
}

fn members(
    name: &str,
    replicas: i32,
    observers: i32,
    first: i32,
) -> Result<Vec<Member>, InvalidSpec> {
    if !(1..=REPLICAS_MAX).contains(&replicas) {
        return Err(invalid(format!(
            "set replicas to a number from 1 to {REPLICAS_MAX}"
        )));
    }
    if !(0..=OBSERVERS_MAX).contains(&observers) {
        return Err(invalid(format!(
            "set observers to a number from 0 to {OBSERVERS_MAX}"
        )));
    }
    let count = replicas + observers;
    if !(1..=255).contains(&first) || first + count - 1 > 255 {
        return Err(invalid(
            "server ids run from 1 to 255: lower firstServerId so that firstServerId + replicas + \
             observers - 1 stays within them",
        ));
    }
    Ok((0..count)
        .map(|ordinal| Member {
            // Both fit: there are at most 65 members, and the last id is at most 255.
            ordinal: ordinal as u8,
            id: ServerId((first + ordinal) as u8),
            pod: format!("{name}-{ordinal}"),
            role: if ordinal < replicas {
                Role::Participant
            } else {
                Role::Observer
            },
        })
        .collect())
}

/// Overrides have to be a pod template by themselves: laid over another one, the whole is one then.
fn pod_options(given: Option<&PodOptions>) -> Result<PodOptions, InvalidSpec> {
    let options = given.cloned().unwrap_or_default();
    if let Some(overrides) = &options.overrides
        && let Err(error) = serde_json::from_value::<PodTemplateSpec>(overrides.clone())
    {
        return Err(invalid(format!(
            "pod.overrides is no pod template (`metadata` and `spec`): {error}"
        )));
    }
    Ok(options)
}

/// In order of their names, so that another order in the spec changes nothing.
fn users(auth: &Auth) -> Result<Vec<ValidUser>, InvalidSpec> {
    let given = auth.users.as_deref().unwrap_or_default();
    if given.len() > USERS_MAX {
        return Err(invalid(format!(
            "auth.users has more than {USERS_MAX} users: remove some"
        )));
    }
    if given.is_empty() && auth.require_authentication == Some(true) {
        return Err(invalid(
            "name users in auth.users, or remove auth.requireAuthentication: without users no client \
             could come in",
        ));
    }
    let mut users = BTreeMap::new();
    for user in given {
        let name = &user.name;
        if name == "super"
            || name.len() > USER_NAME_LENGTH_MAX
            || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._@-".contains(c))
        {
            return Err(invalid(format!(
                "auth.users has the name '{}': choose one of letters, digits, '.', '_', '@' and '-', other \
                 than super",
                name.escape_default()
            )));
        }
        let valid = ValidUser {
            name: name.clone(),
            secret: user.secret_name.clone(),
            key: user.key.clone().unwrap_or_else(|| "password".to_owned()),
        };
        if users.insert(name, valid).is_some() {
            return Err(invalid(format!("auth.users has {name} twice: keep one")));
        }
    }
    Ok(users.into_values().collect())
}

fn volume(given: Option<Volume>) -> ValidVolume {
    let given = given.unwrap_or_default();
    ValidVolume {
        size: given.size.unwrap_or_else(|| DEFAULT_VOLUME_SIZE.to_owned()),
        storage_class: given.storage_class_name,
    }
}

/// The operator's assumptions, for keys that the user leaves open.
const DEFAULT_CONFIG: [(&str, &str); 5] = [
    ("autopurge.purgeInterval", "24"),
    ("autopurge.snapRetainCount", "3"),
    ("initLimit", "10"),
    ("syncLimit", "5"),
    ("tickTime", "2000"),
];

fn config(
    given: Option<&BTreeMap<String, IntOrString>>,
) -> Result<BTreeMap<String, String>, InvalidSpec> {
    let mut config: BTreeMap<String, String> = DEFAULT_CONFIG
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let mut spellings = BTreeSet::new();
    let given = given.into_iter().flatten();
    for (count, (key, value)) in given.enumerate() {
        if count >= CONFIG_KEYS_MAX as usize {
            return Err(invalid(format!(
                "config has more than {CONFIG_KEYS_MAX} keys: remove some"
            )));
        }
        let lower = key.to_ascii_lowercase();
        if key.is_empty()
            || !key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        {
            return Err(invalid(format!(
                "config has the key '{}': a zoo.cfg key consists of letters, digits, '.', '_' and '-'",
                key.escape_default()
            )));
        }
        if RESERVED_KEYS
            .iter()
            .any(|reserved| reserved.eq_ignore_ascii_case(key))
            || RESERVED_PREFIXES
                .iter()
                .any(|prefix| lower.starts_with(prefix))
        {
            return Err(invalid(format!(
                "remove {key} from config: the operator writes it itself"
            )));
        }
        if TLS_KEYS.iter().any(|tls| tls.eq_ignore_ascii_case(key))
            || TLS_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
        {
            return Err(invalid(format!(
                "please remove {key} from config: this release does not encrypt yet, and spec.tls is \
                 reserved for it"
            )));
        }
        if SECRET_PREFIXES
            .iter()
            .any(|prefix| lower.starts_with(&prefix.to_ascii_lowercase()))
        {
            return Err(invalid(format!(
                "remove {key} from config, which everyone can read: name a Secret in auth.users"
            )));
        }
        if lower.starts_with("zookeeper.") {
            return Err(invalid(format!(
                "write {key} in config without its prefix 'zookeeper.'"
            )));
        }
        if let Some((exact, _)) = DEFAULT_CONFIG
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(key))
            && exact != key
        {
            return Err(invalid(format!(
                "write {exact} instead of {key} in config: keys are case-sensitive"
            )));
        }
        if !spellings.insert(lower) {
            return Err(invalid(format!(
                "config has {key} twice, in two spellings of upper and lower case: keep one"
            )));
        }
        let value = match value {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        };
        if value.len() > CONFIG_VALUE_LENGTH_MAX as usize || value.contains(['\n', '\r', '\\']) {
            return Err(invalid(format!(
                "config.{key} must be one line of at most {CONFIG_VALUE_LENGTH_MAX} bytes without a backslash"
            )));
        }
        config.insert(key.clone(), value);
    }
    Ok(config)
}

/// The ensemble's identity: a UUID (version 8, RFC 9562) made from namespace and name.
///
/// It is derived, not drawn, so that a cluster made again finds its own retained
/// volumes and refuses another's.
fn cluster_id(namespace: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"zookeeper.ensemble.dev/v1 cluster ");
    hash.update(namespace.as_bytes());
    hash.update(b"/");
    hash.update(name.as_bytes());
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
