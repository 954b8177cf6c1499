//! The `ZooKeeperCluster` resource: what a user writes and what the operator answers.
//!
//! Nothing here decides anything. [`spec`] is the wish, [`status`] the report,
//! [`rules`] the refusals that the API server itself speaks, and [`names`] the
//! labels and annotations both sides know.

pub mod names;
pub mod rules;
pub mod spec;
pub mod status;

pub use spec::{ZooKeeperCluster, ZooKeeperClusterSpec};
pub use status::ZooKeeperClusterStatus;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The CustomResourceDefinition, as `zookeeper-operator crd` prints it.
pub fn definition() -> CustomResourceDefinition {
    ZooKeeperCluster::crd()
}

/// The CustomResourceDefinition as YAML, with a line that says where it comes from.
pub fn definition_yaml() -> Result<String, serde_norway::Error> {
    let yaml = serde_norway::to_string(&definition())?;
    Ok(format!(
        "# Printed by `zookeeper-operator crd` from the types in src/crd; do not edit.\n{yaml}"
    ))
}
