//! The pod template of a member, as Pod Security's `restricted` wants it.

use super::merge::strategic_merge;
use super::stateful_set::{DATA_VOLUME, LOG_VOLUME};
use super::{json, labels, selector, short_hash, zoo_cfg};
use crate::crd::names::{
    ANNOTATION_BOOTSTRAP, ANNOTATION_CONFIG_HASH, ANNOTATION_RESTART, ANNOTATION_TEMPLATE_HASH,
    PORT_ADMIN, PORT_CLIENT, PORT_ELECTION, PORT_METRICS, PORT_QUORUM,
};
use crate::crd::spec::ImagePullPolicy;
use crate::valid::ValidCluster;
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
    ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, PodAffinityTerm, PodAntiAffinity,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
    SecretVolumeSource, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

/// User and group of the server in its image.
const USER: i64 = 10001;
const CONFIG_VOLUME: &str = "config";
const AUTH_VOLUME: &str = "auth";
/// Where the members find what they know of the superuser and the users.
pub(super) const AUTH_DIRECTORY: &str = "/auth";
/// How long a member that is to go serves on: kube-proxy hears of it within a second.
const LEAVE_SECONDS: i64 = 2;
/// How much of the grace is left for closing, however much the quorum needs the member.
const CLOSE_SECONDS: i64 = 10;
/// The name of the server's container.
pub const CONTAINER: &str = "zookeeper";
/// The name of the container that prepares the disk.
pub const INIT_CONTAINER: &str = "init";

/// The template, carrying the hashes by which a pod of an older one is told.
pub(super) fn template(cluster: &ValidCluster) -> Value {
    let mut pod_labels = cluster.pod.labels.clone().unwrap_or_default();
    pod_labels.extend(labels(cluster));
    let mut annotations = cluster.pod.annotations.clone().unwrap_or_default();
    annotations.insert(
        ANNOTATION_CONFIG_HASH.to_owned(),
        short_hash(zoo_cfg(cluster).as_bytes()),
    );
    if let Some(restart) = &cluster.restart {
        annotations.insert(ANNOTATION_RESTART.to_owned(), restart.clone());
    }
    if cluster.bootstrap_wanted {
        // `init` reads the flag when a pod starts: those that wait without it must start again.
        annotations.insert(ANNOTATION_BOOTSTRAP.to_owned(), "true".to_owned());
    }
    let own = json(&ObjectMeta {
        labels: Some(pod_labels),
        annotations: Some(annotations),
        ..Default::default()
    });
    let mut template = json(&PodTemplateSpec {
        spec: Some(spec(cluster)),
        ..Default::default()
    });
    template["metadata"] = own.clone();
    if let Some(overrides) = &cluster.pod.overrides {
        strategic_merge(&mut template, overrides);
        // What the operator knows its pods by is not the overrides' to change.
        strategic_merge(&mut template["metadata"], &own);
    }
    let hash = short_hash(template.to_string().as_bytes());
    template["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH] = Value::String(hash);
    template
}

fn spec(cluster: &ValidCluster) -> PodSpec {
    let options = &cluster.pod;
    PodSpec {
        service_account_name: Some(cluster.name.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            // Walking a large volume on every start would delay the member for nothing.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        termination_grace_period_seconds: Some(grace_seconds(cluster)),
        image_pull_secrets: (!cluster.image_pull_secrets.is_empty())
            .then(|| cluster.image_pull_secrets.clone()),
        priority_class_name: options.priority_class_name.clone(),
        node_selector: options.node_selector.clone(),
        tolerations: options.tolerations.clone(),
        affinity: Some(options.affinity.clone().unwrap_or_else(|| apart(cluster))),
        topology_spread_constraints: Some(
            options
                .topology_spread_constraints
                .clone()
                .unwrap_or_else(|| vec![over_zones(cluster)]),
        ),
        init_containers: Some(vec![init(cluster)]),
        containers: vec![server(cluster)],
        volumes: Some(volumes(cluster)),
        ..Default::default()
    }
}

fn volumes(cluster: &ValidCluster) -> Vec<Volume> {
    let config = Volume {
        name: CONFIG_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: super::Kind::ConfigMap.name(&cluster.name),
            ..Default::default()
        }),
        ..Default::default()
    };
    let auth = Volume {
        name: AUTH_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(super::Kind::AuthSecret.name(&cluster.name)),
            // A password that is missing stops nobody from serving.
            optional: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    let data = cluster.ephemeral.then(|| Volume {
        name: DATA_VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Default::default()
    });
    [config, auth].into_iter().chain(data).collect()
}

/// Prepares the disk: myid, the cluster's id, and the marker that lets an empty
/// disk vote, only while the flag in the ConfigMap says so.
fn init(cluster: &ValidCluster) -> Container {
    let arguments = [
        "/zookeeper-server",
        "init",
        "/conf/zoo.cfg",
        "--id-from-hostname",
        "--first-server-id",
        &cluster.first_server_id.to_string(),
        "--cluster-id",
        &cluster.cluster_id,
        "--bootstrap-file",
        "/conf/bootstrap",
    ]
    .map(str::to_owned);
    Container {
        name: INIT_CONTAINER.to_owned(),
        command: Some(arguments.into()),
        ..container(cluster)
    }
}

fn server(cluster: &ValidCluster) -> Container {
    let arguments = [
        "/zookeeper-server",
        "run",
        "/conf/zoo.cfg",
        "--log-format",
        "json",
    ]
    .map(str::to_owned);
    let port = |name: &str, number: i32| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        command: Some(arguments.into()),
        ports: Some(vec![
            port("client", PORT_CLIENT),
            port("quorum", PORT_QUORUM),
            port("election", PORT_ELECTION),
            port("admin", i32::from(PORT_ADMIN)),
            port("metrics", PORT_METRICS),
        ]),
        // Reading a large snapshot takes minutes; until it answers at all, nobody kills it for that.
        startup_probe: Some(probe("/live", 1, 600, 2)),
        // Alive is not in quorum: killing a member that lost its leader helps nobody.
        liveness_probe: Some(probe("/live", 10, 6, 5)),
        readiness_probe: Some(probe("/ready", 1, 2, 2)),
        lifecycle: leave(cluster),
        ..container(cluster)
    }
}

/// A member that is to go serves on until the nodes have heard of it. One that
/// closes at once is gone before the client service leads elsewhere: a client that
/// reconnects then waits seconds for an address that no longer exists. It also stays
/// for as long as the others are no quorum without it, which they are once another
/// one is back; the operator itself takes nobody down before that.
fn leave(cluster: &ValidCluster) -> Option<Lifecycle> {
    let at_most = LEAVE_SECONDS.max(grace_seconds(cluster) - CLOSE_SECONDS);
    let arguments = [
        "/zookeeper-server",
        "leave",
        "/conf/zoo.cfg",
        "--at-least",
        &LEAVE_SECONDS.to_string(),
        "--at-most",
        &at_most.to_string(),
    ]
    .map(str::to_owned);
    // Where next to no time is granted to close, closing has all of it.
    (grace_seconds(cluster) > 2 * LEAVE_SECONDS).then(|| Lifecycle {
        pre_stop: Some(LifecycleHandler {
            exec: Some(ExecAction {
                command: Some(arguments.into()),
            }),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn grace_seconds(cluster: &ValidCluster) -> i64 {
    cluster.pod.termination_grace_period_seconds.unwrap_or(60)
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32, timeout_seconds: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            ..Default::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(timeout_seconds),
        ..Default::default()
    }
}

/// What both containers have in common.
fn container(cluster: &ValidCluster) -> Container {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..Default::default()
    };
    let mut mounts = vec![
        mount(CONFIG_VOLUME, "/conf", true),
        mount(AUTH_VOLUME, AUTH_DIRECTORY, true),
        mount(DATA_VOLUME, "/data", false),
    ];
    if cluster.log.is_some() {
        mounts.push(mount(LOG_VOLUME, "/data-log", false));
    }
    let policy = match cluster.image_pull_policy {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    };
    Container {
        image: Some(cluster.image.clone()),
        image_pull_policy: Some(policy.to_owned()),
        resources: Some(cluster.pod.resources.clone().unwrap_or_else(modest)),
        volume_mounts: Some(mounts),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Default::default()
            }),
            ..Default::default()
        }),
        // The last words of a server that refuses its configuration end up in the pod's status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Default::default()
    }
}

fn modest() -> ResourceRequirements {
    let requests = [("cpu", "100m"), ("memory", "256Mi")]
        .map(|(resource, amount)| (resource.to_owned(), Quantity(amount.to_owned())));
    ResourceRequirements {
        requests: Some(requests.into()),
        ..Default::default()
    }
}

/// Prefers a node of its own for each member; a single node still serves.
fn apart(cluster: &ValidCluster) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: PodAffinityTerm {
                        label_selector: Some(selector(cluster)),
                        topology_key: "kubernetes.io/hostname".to_owned(),
                        ..Default::default()
                    },
                },
            ]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn over_zones(cluster: &ValidCluster) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "topology.kubernetes.io/zone".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector(cluster)),
        ..Default::default()
    }
}
