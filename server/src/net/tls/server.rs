//! The side that is connected to.

use super::certificate::Parts;
use super::error::{HandshakeError, TlsError};
use super::store::{self, Identity};
use super::suites;
use super::trust::{ClientVerifier, Trust};
use crate::config::{ClientAuth, StoreFile, TlsSide};
use parking_lot::RwLock;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Makes connections secure, with what the stores held when they were read last.
#[derive(Debug)]
pub struct TlsServer {
    side: TlsSide,
    current: RwLock<Arc<ServerConfig>>,
    handshakes: Semaphore,
}

/// A connection that is secure.
#[derive(Debug)]
pub struct Secured<S> {
    /// What to speak over.
    pub stream: TlsStream<S>,
    /// The subject of the other side's certificate, where it has shown one.
    pub subject: Option<String>,
}

impl TlsServer {
    /// Reads the stores.
    ///
    /// # Errors
    /// [`TlsError`], which names the file that is wrong.
    pub fn new(side: TlsSide) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(server_config(&side)?));
        Ok(TlsServer {
            current,
            handshakes: Semaphore::new(side.handshakes_max),
            side,
        })
    }

    /// Reads the stores again. Connections that stand stay as they are; where this fails, new ones
    /// are made with what was there before.
    ///
    /// # Errors
    /// [`TlsError`], which names the file that is wrong.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = Arc::new(server_config(&self.side)?);
        *self.current.write() = fresh;
        Ok(())
    }

    /// Makes a connection from `peer` secure. The caller bounds the time.
    ///
    /// # Errors
    /// [`HandshakeError`], after which the connection is good for nothing.
    pub async fn accept<S>(&self, stream: S, peer: SocketAddr) -> Result<Secured<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let _under_way = self
            .handshakes
            .try_acquire()
            .map_err(|_| HandshakeError::TooMany)?;
        let config = Arc::clone(&self.current.read());
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown.and_then(<[_]>::first);
        let parts = certificate.and_then(Parts::of);
        let subject = parts.map(|parts| parts.subject());
        if let (true, Some(certificate), Some(subject)) =
            (self.side.verify_client_host, certificate, &subject)
        {
            check_host(certificate, subject, peer)?;
        }
        Ok(Secured { stream, subject })
    }
}

/// Java compares the address alone, too, unless it may look names up (`allowReverseDnsLookup`).
/// Source: `ZKTrustManager.java` performHostVerification.
fn check_host(
    certificate: &CertificateDer<'_>,
    subject: &str,
    peer: SocketAddr,
) -> Result<(), HandshakeError> {
    let address = peer.ip().to_canonical();
    let named = ServerName::IpAddress(address.into());
    let good = ParsedCertificate::try_from(certificate)
        .and_then(|certificate| verify_server_name(&certificate, &named));
    good.map_err(|_| HandshakeError::OtherHost {
        subject: subject.to_owned(),
        host: address.to_string(),
    })
}

fn server_config(side: &TlsSide) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(suites::provider(side)?);
    let file = side.key_store.as_ref().ok_or(TlsError::NoKeyStore)?;
    let keys = keys(file, &provider)?;
    let versions = suites::versions(side, &provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)?;
    let builder = match (&side.trust_store, side.client_auth) {
        // Nobody could be trusted, so nobody is asked.
        (_, ClientAuth::None) | (None, _) => builder.with_no_client_auth(),
        (Some(file), asked) => {
            let trusted = store::read(file)?.trusted;
            let trust = Trust::new(trusted, &provider).ok_or_else(|| TlsError::NobodyTrusted {
                path: file.path.clone(),
            })?;
            let required = asked == ClientAuth::Need;
            let verifier = ClientVerifier::new(trust, required, provider)?;
            builder.with_client_cert_verifier(Arc::new(verifier))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Keys(keys)));
    // Every connection shows its certificate anew: one that has expired, or that a new trust store
    // knows no more, ends with the connection it was shown on.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// All keys of a store, each with its certificates.
pub(super) fn keys(
    file: &StoreFile,
    provider: &CryptoProvider,
) -> Result<Vec<Arc<CertifiedKey>>, TlsError> {
    let identities = store::read(file)?.identities;
    if identities.is_empty() {
        return Err(TlsError::NoKey {
            path: file.path.clone(),
        });
    }
    identities
        .into_iter()
        .map(|identity| {
            certified(identity, provider)
                .map(Arc::new)
                .map_err(|problem| TlsError::BadKey {
                    path: file.path.clone(),
                    problem,
                })
        })
        .collect()
}

fn certified(identity: Identity, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let Identity { key, chain } = identity;
    let key: PrivateKeyDer<'static> = key;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| error.to_string())?;
    // rustls compares the two for certificates of version 3 alone.
    let certificate = chain.first().and_then(Parts::of);
    let certificate = certificate.ok_or("its certificate is none")?;
    if key
        .public_key()
        .is_some_and(|own| own != certificate.public_key_info())
    {
        return Err(format!(
            "it does not belong to the certificate of `{}`",
            certificate.subject()
        ));
    }
    Ok(CertifiedKey::new(chain, key))
}

/// The keys of the store; the first that a client can check is shown to it.
#[derive(Debug)]
struct Keys(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes: &[SignatureScheme] = hello.signature_schemes();
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        self.0.iter().find(usable).cloned()
    }
}
