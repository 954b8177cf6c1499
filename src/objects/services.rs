//! The two Services: stable names for members, and the door for clients.

use super::{Kind, metadata, selector_labels};
use crate::crd::names::{PORT_ADMIN, PORT_CLIENT, PORT_ELECTION, PORT_METRICS, PORT_QUORUM};
use crate::valid::ValidCluster;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

fn port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..Default::default()
    }
}

/// Gives every pod its name, ready or not: members must find each other before
/// any of them can be ready.
pub(super) fn headless_service(cluster: &ValidCluster) -> Service {
    Service {
        metadata: metadata(cluster, Kind::HeadlessService),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector_labels(cluster)),
            ports: Some(vec![
                port("client", PORT_CLIENT),
                port("quorum", PORT_QUORUM),
                port("election", PORT_ELECTION),
                port("admin", i32::from(PORT_ADMIN)),
                port("metrics", PORT_METRICS),
            ]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Leads clients to members that serve, and to no others.
pub(super) fn client_service(cluster: &ValidCluster) -> Service {
    let mut metadata = metadata(cluster, Kind::ClientService);
    if !cluster.client_service_annotations.is_empty() {
        metadata.annotations = Some(cluster.client_service_annotations.clone());
    }
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(cluster.client_service_type.as_str().to_owned()),
            selector: Some(selector_labels(cluster)),
            ports: Some(vec![port("client", PORT_CLIENT)]),
            ..Default::default()
        }),
        ..Default::default()
    }
}
