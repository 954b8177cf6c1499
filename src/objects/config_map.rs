//! The ConfigMap: zoo.cfg, and the two files that `zookeeper-server init` goes by.

use super::{Kind, metadata};
use crate::crd::names::{PORT_ADMIN, PORT_CLIENT, PORT_ELECTION, PORT_METRICS, PORT_QUORUM};
use crate::valid::ValidCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use std::fmt::Write;

pub(super) fn config_map(cluster: &ValidCluster, bootstrap: bool) -> ConfigMap {
    ConfigMap {
        metadata: metadata(cluster, Kind::ConfigMap),
        data: Some(
            [
                ("zoo.cfg", zoo_cfg(cluster)),
                // Read by `init` at every start of a pod; it is not part of the
                // config hash, so that latching it restarts nobody.
                ("bootstrap", format!("{bootstrap}\n")),
                ("cluster-id", format!("{}\n", cluster.cluster_id)),
            ]
            .map(|(file, text)| (file.to_owned(), text))
            .into(),
        ),
        ..Default::default()
    }
}

/// zoo.cfg: the same text for every member, so that one hash speaks for all.
///
/// The keys are those of `QuorumPeerConfig.java`, `parseProperties`.
pub fn zoo_cfg(cluster: &ValidCluster) -> String {
    let mut text = String::from(
        "# Written by the operator from spec.config; edit the ZooKeeperCluster instead.\n",
    );
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{key}={value}").expect("writing to a String cannot fail");
    };
    for (key, value) in &cluster.config {
        line(key, value);
    }
    line("dataDir", &"/data");
    if cluster.log.is_some() {
        line("dataLogDir", &"/data-log");
    }
    line("admin.serverPort", &PORT_ADMIN);
    line(
        "metricsProvider.className",
        &"org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
    );
    line("metricsProvider.httpPort", &PORT_METRICS);
    // A member binds every address: behind a service mesh its own name need not be one of its addresses.
    line("quorumListenOnAllIPs", &true);
    // A single member is an ensemble of one: it can get company later.
    line("standaloneEnabled", &false);
    // An empty disk votes only where `init` said so.
    line("db.autocreate", &false);
    for member in &cluster.members {
        let host = cluster.host(member);
        line(
            &format!("server.{}", member.id),
            &format!("{host}:{PORT_QUORUM}:{PORT_ELECTION}:participant;{PORT_CLIENT}"),
        );
    }
    text
}
