//! The Secrets: what members know of the superuser and the users, and what applications bind to.

use super::{Context, Kind, connect_string, metadata};
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
/// The file beside it that holds the users' passwords.
pub(super) const USERS_FILE: &str = "users";

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

/// What the members' pods mount: of the superuser the digest alone, not the password. None where
/// there is nothing to say yet.
pub(super) fn auth(cluster: &ValidCluster, context: &Context<'_>) -> Option<Secret> {
    let digest = context
        .password
        .map(digest)
        .or_else(|| living(context, DIGEST_FILE));
    let users = (!cluster.users.is_empty()).then(|| users(cluster, context));
    let entries: Vec<(&str, String)> = [(DIGEST_FILE, digest), (USERS_FILE, users)]
        .into_iter()
        .filter_map(|(file, text)| Some((file, text?)))
        .collect();
    (!entries.is_empty()).then(|| Secret {
        metadata: metadata(cluster, Kind::AuthSecret),
        type_: Some("Opaque".to_owned()),
        data: data(&entries),
        ..Default::default()
    })
}

/// A file of the living Secret.
fn living(context: &Context<'_>, file: &str) -> Option<String> {
    let text = context.living_auth?["data"][file].as_str()?;
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

/// The users' passwords, in the syntax of `java.util.Properties`, a line each. DIGEST-MD5 needs them
/// in clear (RFC 2831, 2.1.2.1). Whoever's cannot be read keeps the last one, as the superuser does.
fn users(cluster: &ValidCluster, context: &Context<'_>) -> String {
    let living = living(context, USERS_FILE).unwrap_or_default();
    let mut text = String::from("# Written by the operator from spec.auth.users.\n");
    for user in &cluster.users {
        // No character of a valid name needs an escape, so a line begins with the name itself.
        let name = format!("{}=", user.name);
        let line = match context.users.get(user.name.as_str()) {
            Some(password) => Some(name.clone() + &password.0.replace('\\', r"\\")),
            None => living
                .lines()
                .find(|line| line.starts_with(&name))
                .map(str::to_owned),
        };
        if let Some(line) = line {
            text += &line;
            text.push('\n');
        }
    }
    text
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
    let mut entries = vec![
        ("type", "zookeeper".to_owned()),
        ("provider", OPERATOR.to_owned()),
        ("host", host.to_owned()),
        ("port", PORT_CLIENT.to_string()),
        ("uri", format!("zookeeper://{endpoint}")),
        ("connectString", connect_string(cluster, context)),
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
