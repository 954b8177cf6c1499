//! The StatefulSet: it makes the pods that are missing, and never takes one away.

use super::{Context, Kind, json, labels, metadata, pod, selector};
use crate::crd::names::LABEL_CLUSTER;
use crate::crd::spec::Retention;
use crate::valid::{ValidCluster, ValidVolume};
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// The volume for snapshots, mounted at /data.
pub const DATA_VOLUME: &str = "data";
/// The volume for the transaction log, mounted at /data-log.
pub const LOG_VOLUME: &str = "data-log";

/// The name of a pod's claim, as the StatefulSet controller forms it.
pub fn claim_name(volume: &str, pod: &str) -> String {
    format!("{volume}-{pod}")
}

pub(super) fn stateful_set(cluster: &ValidCluster, context: &Context<'_>) -> Value {
    let living = context.living_stateful_set;
    let mut claims = Vec::new();
    if !cluster.ephemeral {
        claims.push(claim(cluster, DATA_VOLUME, &cluster.data, living));
        if let Some(log) = &cluster.log {
            claims.push(claim(cluster, LOG_VOLUME, log, living));
        }
    }
    let set = StatefulSet {
        metadata: metadata(cluster, Kind::StatefulSet),
        spec: Some(StatefulSetSpec {
            replicas: Some(i32::from(context.pods)),
            service_name: Some(cluster.headless_service()),
            selector: selector(cluster),
            // A majority that is gone comes back only if its pods start side by side.
            pod_management_policy: Some("Parallel".to_owned()),
            // Which pod restarts when is decided by the planner, who asks the members.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..Default::default()
            }),
            // A pod goes only after its member has left the ensemble, so its volume may go too.
            persistent_volume_claim_retention_policy: (!cluster.ephemeral).then(|| {
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some(retention(cluster.retention)),
                    when_scaled: Some(retention(cluster.retention)),
                }
            }),
            revision_history_limit: Some(5),
            volume_claim_templates: (!claims.is_empty()).then_some(claims),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut set = json(&set);
    set["spec"]["template"] = pod::template(cluster);
    set
}

fn retention(retention: Retention) -> String {
    match retention {
        Retention::Retain => "Retain",
        Retention::Delete => "Delete",
    }
    .to_owned()
}

/// A volume's template. Kubernetes lets nobody change one, so a living one's
/// size and labels are kept; volumes themselves are grown one by one.
fn claim(
    cluster: &ValidCluster,
    name: &str,
    volume: &ValidVolume,
    living: Option<&Value>,
) -> PersistentVolumeClaim {
    let living = living
        .and_then(|set| set["spec"]["volumeClaimTemplates"].as_array())
        .and_then(|claims| {
            claims
                .iter()
                .find(|claim| claim["metadata"]["name"] == name)
        });
    let size = living
        .and_then(|claim| claim["spec"]["resources"]["requests"]["storage"].as_str())
        .unwrap_or(&volume.size);
    let kept_labels = living.map(|claim| {
        serde_json::from_value(claim["metadata"]["labels"].clone()).unwrap_or_default()
    });
    let mut fresh_labels = labels(cluster);
    // Labels of a volume can never follow the operator's; only what selects it belongs on it.
    fresh_labels.retain(|key, _| {
        [
            LABEL_CLUSTER,
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
        ]
        .contains(&key.as_str())
    });
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(kept_labels.unwrap_or(fresh_labels)),
            ..Default::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: volume.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.to_owned()))].into()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}
