//! Certificates made for a test, and clients that show them.

use crate::client::tcp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// A stream with TLS.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Someone who signs certificates.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A key with its certificate, in PEM.
pub(crate) struct Holder {
    pub(crate) key: String,
    pub(crate) certificate: String,
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// A key for someone of that name at the loopback address.
    pub(crate) fn issue(&self, name: &str) -> Holder {
        let mut params = named(name);
        params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
        let key = KeyPair::generate().unwrap();
        Holder {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes the server's stores, `key.pem` and `trust.pem`.
    pub(crate) fn equip(&self, dir: &Path) {
        let server = self.issue("server");
        let key = format!("{}{}", server.key, server.certificate);
        std::fs::write(dir.join("key.pem"), key).unwrap();
        std::fs::write(dir.join("trust.pem"), &self.certificate).unwrap();
    }

    /// A connection that trusts this authority, under the name of `holder`.
    pub(crate) fn connect(&self, address: SocketAddr, holder: Option<&Holder>) -> io::Result<Tls> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        roots.add(own).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match holder {
            None => builder.with_no_client_auth(),
            Some(holder) => {
                let chain = CertificateDer::from_pem_slice(holder.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(holder.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, tcp(address)))
    }
}
