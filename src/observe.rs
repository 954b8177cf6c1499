//! Reads the API server and the members: everything `plan` may know.
//!
//! It reads the API server itself, not a cache: a decision to take a member
//! down must not rest on what was. The StatefulSet is read first, because a
//! restart is written against its resourceVersion: whatever happened since then
//! makes that write fail.

use crate::crd::names::{
    ANNOTATION_CERTIFICATES_HASH, ANNOTATION_CONFIG_HASH, ANNOTATION_RESTART_POD,
    ANNOTATION_TEMPLATE_HASH, LABEL_REVISION, PORT_ADMIN,
};
use crate::objects::{DATA_VOLUME, Kind, LOG_VOLUME, Password, claim_name};
use crate::plan::observed::{
    ClaimView, ContainerView, MemberReport, Observed, PodView, Secrets, Silence, Superuser,
    UserPassword,
};
use crate::valid::{Member, ServerId, ValidCluster, ValidUser};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all, try_join_all};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a member may take to answer.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest `/member` that is read.
const MEMBER_BODY_BYTES_MAX: usize = 64 * 1024;

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

/// Asks a member for its report. Tests put an ensemble of their own behind it.
pub trait ReadMembers: Send + Sync {
    /// `GET /member` of the member at this address.
    fn read<'a>(
        &'a self,
        member: &'a Member,
        ip: &'a str,
    ) -> BoxFuture<'a, Result<MemberReport, Silence>>;
}

/// The members' AdminServers, over HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpMembers;

impl ReadMembers for HttpMembers {
    fn read<'a>(
        &'a self,
        _: &'a Member,
        ip: &'a str,
    ) -> BoxFuture<'a, Result<MemberReport, Silence>> {
        async move {
            let report = tokio::time::timeout(MEMBER_TIMEOUT, get_member(ip));
            report.await.unwrap_or_else(|_| {
                Err(Silence::Unreachable(format!(
                    "no answer within {} s",
                    MEMBER_TIMEOUT.as_secs()
                )))
            })
        }
        .boxed()
    }
}

async fn get_member(ip: &str) -> Result<MemberReport, Silence> {
    let failed = |error: &dyn std::fmt::Display| Silence::Unreachable(error.to_string());
    let ip: IpAddr = ip
        .parse()
        .map_err(|_| failed(&format!("'{ip}' is no address")))?;
    let stream = TcpStream::connect(SocketAddr::new(ip, PORT_ADMIN))
        .await
        .map_err(|e| failed(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failed(&e))?;
    let exchange = async {
        let request = http::Request::get("/member")
            .header("host", "member")
            .body(Empty::<hyper::body::Bytes>::new())
            .map_err(|e| failed(&e))?;
        let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
        if !response.status().is_success() {
            return Err(failed(&format!("HTTP {}", response.status())));
        }
        let body = Limited::new(response.into_body(), MEMBER_BODY_BYTES_MAX);
        let bytes = body.collect().await.map_err(|e| failed(&e))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|e| failed(&format!("not a member's report: {e}")))
    };
    // The connection moves the bytes; it ends with the exchange or with the peer.
    futures::pin_mut!(exchange, connection);
    match futures::future::select(exchange, connection).await {
        futures::future::Either::Left((report, _)) => report,
        futures::future::Either::Right((end, exchange)) => match exchange.now_or_never() {
            Some(report) => report,
            None => Err(failed(
                &end.err()
                    .map_or_else(|| "connection closed".to_owned(), |e| e.to_string()),
            )),
        },
    }
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

/// A report is worth nothing unless it is this member's: addresses find new owners.
fn identified(
    cluster: &ValidCluster,
    member: &Member,
    report: MemberReport,
) -> Result<MemberReport, Silence> {
    if ServerId(report.server_id) != member.id {
        return Err(Silence::Impostor(format!(
            "{} answers as server {}, but is to be {}",
            member.pod, report.server_id, member.id
        )));
    }
    match &report.cluster_id {
        Some(id) if *id != cluster.cluster_id => Err(Silence::Impostor(format!(
            "the disk of {} belongs to cluster {id}, not to {}",
            member.pod, cluster.cluster_id
        ))),
        _ => Ok(report),
    }
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

async fn read_pods(
    client: &Client,
    cluster: &ValidCluster,
) -> Result<BTreeMap<String, PodView>, ObserveError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let list = pods
        .list(&ListParams::default().labels(&cluster.selector()))
        .await
        .map_err(read_error(format!(
            "the pods of {}/{}",
            cluster.namespace, cluster.name
        )))?;
    Ok(list
        .items
        .into_iter()
        .filter(|pod| cluster.member_of_pod(&pod.name_any()).is_some())
        .map(|pod| (pod.name_any(), view(&pod)))
        .collect())
}

/// Before the first quorum, claims are looked for by name, whoever made them: a
/// StatefulSet takes over any claim of the right name.
async fn read_claims(
    client: &Client,
    cluster: &ValidCluster,
    latched: bool,
) -> Result<BTreeMap<String, ClaimView>, ObserveError> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &cluster.namespace);
    let selection = if latched {
        ListParams::default().labels(&cluster.selector())
    } else {
        ListParams::default()
    };
    let list = claims.list(&selection).await.map_err(read_error(format!(
        "the volume claims of {}/{}",
        cluster.namespace, cluster.name
    )))?;
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
    Ok(list
        .items
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
    let services: Api<Service> = Api::namespaced(client.clone(), &cluster.namespace);
    let list = services
        .list(&ListParams::default().labels(&cluster.selector()))
        .await
        .map_err(read_error(format!(
            "the services of {}/{}",
            cluster.namespace, cluster.name
        )))?;
    let kind = |name: &str| {
        [Kind::HeadlessService, Kind::ClientService]
            .into_iter()
            .find(|kind| kind.name(&cluster.name) == name)
            .or_else(|| {
                let member = cluster.member_of_pod(name)?;
                Some(Kind::MemberService(member.ordinal))
            })
    };
    Ok(list
        .items
        .iter()
        .filter_map(|service| {
            let json = serde_json::to_value(service).expect("what was parsed serializes");
            Some((kind(&service.name_any())?, json))
        })
        .collect())
}

/// The superuser's password and the users', from the Secrets whose names are known: the operator may
/// read those, and list none.
pub async fn read_secrets(
    client: &Client,
    cluster: &ValidCluster,
) -> Result<Secrets, ObserveError> {
    let drawn = Kind::SuperuserSecret.name(&cluster.name);
    let superuser = cluster.superuser_secret.as_ref().unwrap_or(&drawn);
    let names: BTreeSet<&String> = cluster
        .users
        .iter()
        .map(|user| &user.secret)
        .chain([superuser])
        .collect();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace);
    let read = try_join_all(names.into_iter().map(|name| {
        let secret = secrets.get_opt(name);
        async move {
            let secret = secret.await.map_err(read_error(format!(
                "the Secret {}/{name}",
                cluster.namespace
            )))?;
            Ok::<_, ObserveError>((name.as_str(), secret))
        }
    }))
    .await?;
    let found: BTreeMap<&str, Secret> = read
        .into_iter()
        .filter_map(|(name, secret)| Some((name, secret?)))
        .collect();
    let value = |secret: &str, key: &str| Some(&found.get(secret)?.data.as_ref()?.get(key)?.0);
    let password = value(superuser, "password")
        .and_then(|bytes| String::from_utf8(bytes.clone()).ok())
        .filter(|password| !password.is_empty());
    let drawn = cluster.superuser_secret.is_none();
    Ok(Secrets {
        superuser: match password {
            Some(password) => Superuser::Known(Password(password)),
            None if drawn && !found.contains_key(superuser.as_str()) => Superuser::NotDrawn,
            None => Superuser::Missing(superuser.clone()),
        },
        users: cluster
            .users
            .iter()
            .map(|ValidUser { name, secret, key }| {
                let password = value(secret, key).map_or(UserPassword::Missing, |b| usable(b));
                (name.clone(), password)
            })
            .collect(),
    })
}

/// The longest password that is taken; the file of all users has to stay small.
const PASSWORD_BYTES_MAX: usize = 1024;

/// A password is one line that a file of properties gives back as it was: said here, it is not found
/// out by a login that fails.
fn usable(bytes: &[u8]) -> UserPassword {
    let unusable = |why| UserPassword::Unusable(why);
    match std::str::from_utf8(bytes) {
        Err(_) => unusable("it is no UTF-8"),
        Ok("") => unusable("it is empty"),
        Ok(text) if text.len() > PASSWORD_BYTES_MAX => unusable("it is longer than 1024 bytes"),
        Ok(text) if text.chars().any(char::is_control) => unusable(
            "it has a line's end or another control character, as `echo` without -n makes it",
        ),
        Ok(text) if text.trim() != text => unusable("it begins or ends with a blank"),
        Ok(text) => UserPassword::Known(Password(text.to_owned())),
    }
}

/// Reduces a pod to what decides about it.
fn view(pod: &Pod) -> PodView {
    let annotation = |key: &str| pod.annotations().get(key).cloned();
    let created = pod
        .creation_timestamp()
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let ready = condition(pod, "Ready").filter(|condition| condition.status == "True");
    // Without the condition, the pod has not been ready since it was made.
    let unready_since = ready.is_none().then(|| {
        condition(pod, "Ready")
            .and_then(|c| c.last_transition_time.as_ref())
            .map_or(created, |time| time.0)
    });
    PodView {
        uid: pod.uid().unwrap_or_default(),
        resource_version: pod.resource_version().unwrap_or_default(),
        ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
        node_ip: pod
            .status
            .as_ref()
            .and_then(|status| status.host_ip.clone()),
        revision: pod.labels().get(LABEL_REVISION).cloned(),
        config_hash: annotation(ANNOTATION_CONFIG_HASH),
        certificates_hash: annotation(ANNOTATION_CERTIFICATES_HASH),
        template_hash: annotation(ANNOTATION_TEMPLATE_HASH),
        restart_requested: annotation(ANNOTATION_RESTART_POD).is_some(),
        created,
        terminating: pod.metadata.deletion_timestamp.is_some(),
        container: container(pod),
        unready_since,
    }
}

fn condition<'a>(
    pod: &'a Pod,
    type_: &str,
) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    pod.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// Reasons to wait that pass by themselves.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

fn container(pod: &Pod) -> ContainerView {
    let Some(status) = &pod.status else {
        return ContainerView::Starting;
    };
    let stuck = |reason: &str, message: Option<&String>| ContainerView::Stuck {
        reason: reason.to_owned(),
        message: message.cloned().unwrap_or_default(),
    };
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        let reason = status.reason.as_deref().unwrap_or("PodFinished");
        return stuck(reason, status.message.as_ref());
    }
    if let Some(unscheduled) = condition(pod, "PodScheduled").filter(|c| c.status == "False") {
        return stuck(
            unscheduled.reason.as_deref().unwrap_or("Unschedulable"),
            unscheduled.message.as_ref(),
        );
    }
    let all = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    for container in all {
        let Some(waiting) = container
            .state
            .as_ref()
            .and_then(|state| state.waiting.as_ref())
        else {
            continue;
        };
        let reason = waiting.reason.as_deref().unwrap_or("ContainerCreating");
        if !STARTING.contains(&reason) {
            // What the program last said is worth more than "back-off 40s restarting".
            let last = container
                .last_state
                .as_ref()
                .and_then(|state| state.terminated.as_ref());
            let words = last
                .and_then(|last| last.message.as_ref())
                .or(waiting.message.as_ref());
            let own = [crate::objects::CONTAINER, crate::objects::INIT_CONTAINER];
            if own.contains(&container.name.as_str()) {
                return stuck(reason, words);
            }
            // One that the spec's overrides brought.
            let words = words.map_or("", String::as_str);
            return stuck(
                reason,
                Some(&format!("container {}: {words}", container.name)),
            );
        }
    }
    match status
        .container_statuses
        .iter()
        .flatten()
        .find(|c| c.name == crate::objects::CONTAINER)
    {
        Some(server)
            if server
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some()) =>
        {
            ContainerView::Running {
                ready: server.ready,
            }
        }
        _ => ContainerView::Starting,
    }
}
