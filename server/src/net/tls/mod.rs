//! TLS: from the stores on the disk to connections whose other side is known.
//!
//! [`store`] reads keys and certificates out of PEM, PKCS#12 and Java's own files, [`trust`] decides
//! whose certificate is good, and [`TlsServer`] makes handshakes. All of rustls and ring: no OpenSSL,
//! so nothing but TLS 1.2 and 1.3 with their good suites.

mod certificate;
mod error;
mod server;
pub mod store;
mod suites;
mod trust;

#[cfg(test)]
mod tests;

pub use error::{HandshakeError, TlsError};
pub use server::TlsServer;
