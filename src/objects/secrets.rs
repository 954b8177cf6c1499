//! The Secrets: what members know of the superuser, and what applications bind to.

use super::{Context, Kind, metadata};
use crate::crd::names::{OPERATOR, PORT_CLIENT};
use crate::valid::ValidCluster;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use sha1::{Digest, Sha1};
use std::fmt;

/// The file in the members' Secret that holds the superuser's digest.
pub(super) const DIGEST_FILE: &str = "superDigest";

/// A password, which no log ever shows.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// `super:` and the base64 of SHA-1 of `super:<password>`.
/// Source: `DigestAuthenticationProvider.java` generateDigest.
fn digest(password: &Password) -> String {
    let hash = Sha1::digest(format!("super:{}", password.0).as_bytes());
    format!("super:{}", STANDARD.encode(hash))
}

fn data(entries: &[(&str, String)]) -> Option<std::collections::BTreeMap<String, ByteString>> {
    Some(
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.clone().into_bytes())))
            .collect(),
    )
}

/// What the members' pods mount: the digest alone, not the password.
pub(super) fn auth(cluster: &ValidCluster, password: &Password) -> Secret {
    Secret {
        metadata: metadata(cluster, Kind::AuthSecret),
        type_: Some("Opaque".to_owned()),
        data: data(&[(DIGEST_FILE, digest(password))]),
        ..Default::default()
    }
}

/// The superuser's Secret as the operator makes it, once.
pub fn superuser(cluster: &ValidCluster, password: &Password) -> Secret {
    Secret {
        metadata: metadata(cluster, Kind::SuperuserSecret),
        type_: Some("kubernetes.io/basic-auth".to_owned()),
        data: data(&[
            ("username", "super".to_owned()),
            ("password", password.0.clone()),
        ]),
        ..Default::default()
    }
}

/// How applications find the ensemble. Source: the Service Binding Specification for
/// Kubernetes 1.1, "Provisioned Service" and "Well-known Secret Entries".
pub(super) fn binding(cluster: &ValidCluster, context: &Context<'_>) -> Secret {
    let endpoint = cluster.client_endpoint();
    let host = endpoint
        .rsplit_once(':')
        .map_or(endpoint.as_str(), |(host, _)| host);
    let hosts: Vec<String> = context
        .list
        .iter()
        .map(|(member, _)| format!("{}:{PORT_CLIENT}", cluster.host(member)))
        .collect();
    let mut entries = vec![
        ("type", "zookeeper".to_owned()),
        ("provider", OPERATOR.to_owned()),
        ("host", host.to_owned()),
        ("port", PORT_CLIENT.to_string()),
        ("uri", format!("zookeeper://{endpoint}")),
        // Clients that know every member find another one by themselves.
        ("connectString", hosts.join(",")),
    ];
    if !context.client_addresses.is_empty() {
        let outside: Vec<&str> = context
            .client_addresses
            .values()
            .map(String::as_str)
            .collect();
        entries.push(("externalConnectString", outside.join(",")));
    }
    Secret {
        metadata: metadata(cluster, Kind::BindingSecret),
        type_: Some("servicebinding.io/zookeeper".to_owned()),
        data: data(&entries),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_what_java_makes_of_it() {
        // `java … DigestAuthenticationProvider super:test` prints this one.
        assert_eq!(
            digest(&Password("test".to_owned())),
            "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(
            format!("{:?}", Password("secret".to_owned())),
            "Password(…)"
        );
    }
}
