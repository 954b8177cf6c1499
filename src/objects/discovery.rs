//! How applications find the ensemble that need no Secret for it: a ConfigMap named as the cluster.

use super::{Context, Kind, connect_string, metadata};
use crate::crd::names::PORT_CLIENT;
use crate::valid::ValidCluster;
use k8s_openapi::api::core::v1::ConfigMap;

/// Its entries are names of environment variables, so `envFrom` takes all of it. They are those that
/// applications of Stackable's platform read from the ConfigMap of a ZooKeeper there ("Service
/// discovery ConfigMap" in the documentation of its ZooKeeper operator).
pub(super) fn discovery(cluster: &ValidCluster, context: &Context<'_>) -> ConfigMap {
    let hosts = connect_string(cluster, context);
    let entries = [
        // What `new ZooKeeper(…)` takes. No chroot stands behind it: that of a whole ensemble is `/`.
        ("ZOOKEEPER", hosts.clone()),
        ("ZOOKEEPER_HOSTS", hosts),
        ("ZOOKEEPER_CLIENT_PORT", PORT_CLIENT.to_string()),
        ("ZOOKEEPER_CHROOT", "/".to_owned()),
    ];
    ConfigMap {
        metadata: metadata(cluster, Kind::DiscoveryConfigMap),
        data: Some(
            entries
                .map(|(key, value)| (key.to_owned(), value))
                .into_iter()
                .collect(),
        ),
        ..Default::default()
    }
}
