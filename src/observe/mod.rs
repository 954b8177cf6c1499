//! Reads the API server and the members: everything `plan` may know.
//!
//! It reads the API server itself, not a cache: a decision to take a member
//! down must not rest on what was. The StatefulSet is read first, because a
//! restart is written against its resourceVersion: whatever happened since then
//! makes that write fail.

mod members;
mod pods;
mod secrets;

pub use members::{HttpMembers, ReadMembers};
pub use secrets::read_secrets;

use crate::objects::{DATA_VOLUME, Kind, LOG_VOLUME, claim_name};
use crate::plan::observed::{ClaimView, Observed, PodView, Silence};
use crate::valid::{Member, ServerId, ValidCluster};
use futures::future::{join_all, try_join_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use members::identified;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// Tells the time. Tests have one of their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The API server did not give an object.
    #[error("read {what}: {source}")]
    Read {
        /// Which object.
        what: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
}

/// The API for objects of one kind.
pub fn api(client: &Client, namespace: &str, kind: Kind) -> Api<DynamicObject> {
    let (api_version, kind, plural) = kind.resource();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Looks at one cluster.
pub async fn observe(
    client: &Client,
    cluster: &ValidCluster,
    latched: Option<String>,
    members: &dyn ReadMembers,
    clock: &Clock,
) -> Result<Observed, ObserveError> {
    let stateful_set = read_object(client, cluster, Kind::StatefulSet).await?;
    let others = Kind::SINGLE
        .into_iter()
        .filter(|kind| !matches!(kind, Kind::StatefulSet | Kind::SuperuserSecret))
        .filter(|kind| !matches!(kind, Kind::HeadlessService | Kind::ClientService));
    let (others, services, pods, mut claims, secrets) = futures::try_join!(
        try_join_all(others.map(|kind| read_object(client, cluster, kind))),
        read_services(client, cluster),
        read_pods(client, cluster),
        read_claims(client, cluster, latched.is_some()),
        read_secrets(client, cluster),
    )?;
    ask_for_expansion(client, cluster, &mut claims).await;
    // Those that the spec asks for, and those that still have a pod.
    let mut asked: BTreeMap<ServerId, Member> = pods
        .keys()
        .filter_map(|pod| cluster.member_of_pod(pod))
        .map(|member| (member.id, member))
        .collect();
    asked.extend(cluster.members.iter().map(|m| (m.id, m.clone())));
    let reports = join_all(asked.values().map(|member| async {
        let ip = pods
            .get(&member.pod)
            .filter(|pod| !pod.terminating)
            .and_then(|pod| pod.ip.as_deref());
        let report = match ip {
            Some(ip) => members
                .read(member, ip)
                .await
                .and_then(|report| identified(cluster, member, report)),
            None => Err(Silence::NoAddress),
        };
        (member.id, report)
    }))
    .await;
    Ok(Observed {
        now: clock(),
        cluster_id: latched,
        objects: others
            .into_iter()
            .flatten()
            .chain(services)
            .chain(stateful_set)
            .collect(),
        pods,
        claims,
        members: reports.into_iter().collect(),
        secrets,
    })
}

fn read_error(what: String) -> impl FnOnce(kube::Error) -> ObserveError {
    move |source| ObserveError::Read {
        what,
        source: Box::new(source),
    }
}

async fn read_object(
    client: &Client,
    cluster: &ValidCluster,
    kind: Kind,
) -> Result<Option<(Kind, Value)>, ObserveError> {
    let name = kind.name(&cluster.name);
    let object = api(client, &cluster.namespace, kind)
        .get_opt(&name)
        .await
        .map_err(read_error(format!(
            "{} {}/{name}",
            kind.resource().1,
            cluster.namespace
        )))?;
    Ok(object.map(|object| {
        let json = serde_json::to_value(&object).expect("what was parsed from JSON serializes");
        (kind, json)
    }))
}

/// Whatever carries the cluster's labels.
fn owned(cluster: &ValidCluster) -> ListParams {
    ListParams::default().labels(&cluster.selector())
}

/// All objects of a kind in the cluster's namespace that are selected.
async fn list<K>(
    client: &Client,
    cluster: &ValidCluster,
    selection: &ListParams,
    what: &str,
) -> Result<Vec<K>, ObserveError>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let (namespace, name) = (&cluster.namespace, &cluster.name);
    let objects: Api<K> = Api::namespaced(client.clone(), namespace);
    let listed = objects
        .list(selection)
        .await
        .map_err(read_error(format!("the {what} of {namespace}/{name}")))?;
    Ok(listed.items)
}

async fn read_pods(
    client: &Client,
    cluster: &ValidCluster,
) -> Result<BTreeMap<String, PodView>, ObserveError> {
    let pods: Vec<Pod> = list(client, cluster, &owned(cluster), "pods").await?;
    Ok(pods
        .into_iter()
        .filter(|pod| cluster.member_of_pod(&pod.name_any()).is_some())
        .map(|pod| (pod.name_any(), pods::view(&pod)))
        .collect())
}

/// Before the first quorum, claims are looked for by name, whoever made them: a
/// StatefulSet takes over any claim of the right name.
async fn read_claims(
    client: &Client,
    cluster: &ValidCluster,
    latched: bool,
) -> Result<BTreeMap<String, ClaimView>, ObserveError> {
    let selection = if latched {
        owned(cluster)
    } else {
        ListParams::default()
    };
    let claims: Vec<PersistentVolumeClaim> =
        list(client, cluster, &selection, "volume claims").await?;
    let view = |claim: &PersistentVolumeClaim| ClaimView {
        created: claim.creation_timestamp().map(|time| time.0),
        requested: claim
            .spec
            .as_ref()
            .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"))
            .map(|quantity| quantity.0.clone()),
        terminating: claim.metadata.deletion_timestamp.is_some(),
        expandable: None,
        storage_class: claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.clone()),
        resource_version: claim.resource_version().unwrap_or_default(),
    };
    let is_ours = |name: &str| {
        [DATA_VOLUME, LOG_VOLUME].iter().any(|volume| {
            // `data` begins no other volume's name followed by a dash but `data-log`'s.
            name.strip_prefix(volume)
                .and_then(|rest| rest.strip_prefix('-'))
                .and_then(|pod| cluster.member_of_pod(pod))
                .is_some_and(|member| claim_name(volume, &member.pod) == name)
        })
    };
    Ok(claims
        .iter()
        .filter(|claim| is_ours(&claim.name_any()))
        .map(|claim| (claim.name_any(), view(claim)))
        .collect())
}

/// Asks the storage classes of claims that are too small whether they let them grow. Where the
/// operator may not read classes, trying is the only way to know.
async fn ask_for_expansion(
    client: &Client,
    cluster: &ValidCluster,
    claims: &mut BTreeMap<String, ClaimView>,
) {
    let wanted = |name: &str| match &cluster.log {
        Some(log) if name.starts_with(LOG_VOLUME) => &log.size,
        _ => &cluster.data.size,
    };
    let classes: Api<StorageClass> = Api::all(client.clone());
    let mut known: BTreeMap<String, Option<bool>> = BTreeMap::new();
    for (name, claim) in claims {
        if claim.requested.as_ref() == Some(wanted(name)) {
            continue;
        }
        let Some(class) = &claim.storage_class else {
            continue;
        };
        if !known.contains_key(class) {
            let read = classes.get_opt(class).await.ok().flatten();
            let answer = read.map(|class| class.allow_volume_expansion.unwrap_or(false));
            known.insert(class.clone(), answer);
        }
        claim.expandable = known[class];
    }
}

/// The client services and the members' own: found by their label, told apart by their names.
async fn read_services(
    client: &Client,
    cluster: &ValidCluster,
) -> Result<Vec<(Kind, Value)>, ObserveError> {
    let services: Vec<Service> = list(client, cluster, &owned(cluster), "services").await?;
    let kind = |name: &str| {
        [Kind::HeadlessService, Kind::ClientService]
            .into_iter()
            .find(|kind| kind.name(&cluster.name) == name)
            .or_else(|| {
                let member = cluster.member_of_pod(name)?;
                Some(Kind::MemberService(member.ordinal))
            })
    };
    Ok(services
        .iter()
        .filter_map(|service| {
            let json = serde_json::to_value(service).expect("what was parsed serializes");
            Some((kind(&service.name_any())?, json))
        })
        .collect())
}
