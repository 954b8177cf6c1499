//! The Services: stable names for members, the door for clients, and a door to each member.

use super::{Kind, metadata, selector_labels};
use crate::crd::names::{
    LABEL_POD_NAME, PORT_ADMIN, PORT_CLIENT, PORT_ELECTION, PORT_METRICS, PORT_QUORUM,
};
use crate::valid::{Member, ValidCluster};
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

/// Leads to one member alone, while it serves. None where the spec asks for no such services.
pub(super) fn member_service(cluster: &ValidCluster, ordinal: u8) -> Option<Service> {
    let options = cluster.member_services.as_ref()?;
    let member = cluster.member(ordinal)?;
    let mut metadata = metadata(cluster, Kind::MemberService(ordinal));
    metadata.annotations = options.annotations.as_ref().map(|annotations| {
        annotations
            .iter()
            .map(|(key, value)| (key.clone(), of_member(value, &member)))
            .collect()
    });
    Some(Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(options.type_.unwrap_or_default().as_str().to_owned()),
            selector: Some([(LABEL_POD_NAME.to_owned(), member.pod)].into()),
            ports: Some(vec![port("client", PORT_CLIENT)]),
            ..Default::default()
        }),
        ..Default::default()
    })
}

/// A text of the spec with `{pod}` and `{ordinal}` filled in.
pub fn of_member(text: &str, member: &Member) -> String {
    text.replace("{pod}", &member.pod)
        .replace("{ordinal}", &member.ordinal.to_string())
}
