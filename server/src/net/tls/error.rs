//! What keeps TLS from being there, and what ends a handshake.

use super::store::StoreError;
use std::io;
use std::path::PathBuf;

/// Why there is no TLS. Each names the file to look at.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A store, or the file with its password, can't be read from the disk.
    #[error("{}: can't be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A store is not what it should be, or its password is another.
    #[error("{}: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// No key store is configured.
    #[error("no key store is configured (keyStore.location)")]
    NoKeyStore,
    /// The key store has no private key.
    #[error("{}: there is no private key with its certificate in it", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key can't be used.
    #[error("{}: the private key can't be used: {problem}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The trust store trusts nobody.
    #[error("{}: there is no trusted certificate in it", path.display())]
    NobodyTrusted {
        /// The file.
        path: PathBuf,
    },
    /// None of the wanted cipher suites is there.
    #[error(
        "none of the cipher suites `{0}` is there for the enabled protocols; leave ciphersuites out to have all that are"
    )]
    CipherSuites(String),
    /// The parts don't go together.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Why a connection does not come to stand.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// As many as may be are under way.
    #[error("too many handshakes under way")]
    TooMany,
    /// It does not follow the protocol, or its certificate is refused.
    #[error("{0}")]
    Failed(#[from] io::Error),
    /// The certificate is not for the host that the connection comes from.
    #[error("the certificate of `{subject}` is not for {host}")]
    OtherHost {
        /// Whose it is.
        subject: String,
        /// Where the connection comes from.
        host: String,
    },
}
