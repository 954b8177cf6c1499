//! The PodDisruptionBudget: drains and evictions take one member at a time.

use super::{Kind, metadata, selector};
use crate::valid::ValidCluster;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(super) fn pod_disruption_budget(cluster: &ValidCluster) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(cluster, Kind::PodDisruptionBudget),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector(cluster)),
            // A pod that never becomes ready must not block the drain of its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}
