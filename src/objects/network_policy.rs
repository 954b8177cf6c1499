//! The NetworkPolicy: quorum traffic is the members' own.

use super::{Kind, metadata, selector};
use crate::crd::names::{PORT_ADMIN, PORT_CLIENT, PORT_ELECTION, PORT_METRICS, PORT_QUORUM};
use crate::valid::ValidCluster;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

fn ingress(ports: &[i32], from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from,
        ports: Some(
            ports
                .iter()
                .map(|port| NetworkPolicyPort {
                    port: Some(IntOrString::Int(*port)),
                    protocol: Some("TCP".to_owned()),
                    ..Default::default()
                })
                .collect(),
        ),
    }
}

pub(super) fn network_policy(cluster: &ValidCluster) -> Option<NetworkPolicy> {
    if !cluster.network_policy {
        return None;
    }
    let members = NetworkPolicyPeer {
        pod_selector: Some(selector(cluster)),
        ..Default::default()
    };
    // An operator outside of Kubernetes has no namespace; its way in stays open.
    let operator = cluster
        .settings
        .operator_namespace
        .as_ref()
        .map(|namespace| {
            let labels = [("kubernetes.io/metadata.name".to_owned(), namespace.clone())].into();
            let namespace_selector = LabelSelector {
                match_labels: Some(labels),
                ..Default::default()
            };
            vec![
                members.clone(),
                NetworkPolicyPeer {
                    namespace_selector: Some(namespace_selector),
                    ..Default::default()
                },
            ]
        });
    Some(NetworkPolicy {
        metadata: metadata(cluster, Kind::NetworkPolicy),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(cluster)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                ingress(&[PORT_CLIENT, PORT_METRICS], None),
                ingress(&[PORT_QUORUM, PORT_ELECTION], Some(vec![members])),
                ingress(&[i32::from(PORT_ADMIN)], operator),
            ]),
            ..Default::default()
        }),
    })
}
