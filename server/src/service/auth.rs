//! Who a client is. Source: `DigestAuthenticationProvider.java`, `IPAuthenticationProvider.java`.

use crate::jute::text;
use crate::proto::Id;
use base64::Engine as _;
use sha1::{Digest as _, Sha1};
use std::net::IpAddr;

/// An address as Java prints it: IPv6 without its shortenings, IPv4-mapped as IPv4.
/// Source: `Inet6Address.getHostAddress`.
pub(crate) fn host_address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let parts: Vec<String> = ip
                .segments()
                .iter()
                .map(|part| format!("{part:x}"))
                .collect();
            parts.join(":")
        }
    }
}

/// `user:base64(SHA-1(user:password))` of `user:password`. Without a colon all of it is the user.
pub(crate) fn digest_of(credentials: &str) -> String {
    let user = credentials.split(':').next().unwrap_or_default();
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(credentials));
    format!("{user}:{hash}")
}

/// The identities that a packet of `scheme` proves, or `None` where it proves none.
pub(crate) fn identities(
    scheme: &str,
    proof: &[u8],
    ip: IpAddr,
    super_digest: Option<&str>,
) -> Option<Vec<Id>> {
    match scheme {
        "digest" => {
            let digest = digest_of(&text(proof));
            let mut ids = Vec::new();
            if super_digest == Some(digest.as_str()) {
                ids.push(Id::new("super", ""));
            }
            ids.push(Id::new("digest", digest));
            Some(ids)
        }
        "ip" => Some(vec![Id::new("ip", host_address(ip))]),
        _ => None,
    }
}

/// The name to show for an identity. Source: `AuthenticationProvider.java` getUserName.
pub(crate) fn user_name(id: &Id) -> &str {
    match id.scheme.as_str() {
        "digest" => id.id.split(':').next().unwrap_or_default(),
        "ip" | "sasl" | "x509" => &id.id,
        // `world`, `super` and unknown schemes have no provider, so no name.
        _ => "",
    }
}
