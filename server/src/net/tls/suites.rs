//! Which protocols and cipher suites are spoken.

use super::error::TlsError;
use crate::config::TlsSide;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{SupportedProtocolVersion, version};

/// The provider with the suites that the configuration leaves.
pub(super) fn provider(side: &TlsSide) -> Result<CryptoProvider, TlsError> {
    let mut provider = ring::default_provider();
    if let Some(wanted) = &side.cipher_suites {
        provider.cipher_suites.retain(|suite| {
            // Java writes the suites of TLS 1.3 as their standard does.
            let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            wanted.contains(&name)
        });
        let enabled = |suite: &rustls::SupportedCipherSuite| match suite.tls13() {
            Some(_) => side.tls13,
            None => side.tls12,
        };
        if !provider.cipher_suites.iter().any(enabled) {
            return Err(TlsError::CipherSuites(wanted.join(",")));
        }
    }
    Ok(provider)
}

/// The protocols that the configuration leaves and that a suite is there for.
pub(super) fn versions(
    side: &TlsSide,
    provider: &CryptoProvider,
) -> Vec<&'static SupportedProtocolVersion> {
    let has = |tls13: bool| {
        let mut suites = provider.cipher_suites.iter();
        suites.any(|suite| suite.tls13().is_some() == tls13)
    };
    let mut versions = Vec::new();
    if side.tls13 && has(true) {
        versions.push(&version::TLS13);
    }
    if side.tls12 && has(false) {
        versions.push(&version::TLS12);
    }
    versions
}
