//! Handshakes in memory, with certificates made for each.

use super::*;
use crate::config::{ClientAuth, StoreFile, StoreKind, TlsSide};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

const PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 40_000);

/// Someone who signs certificates.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A key with its certificates, in PEM.
struct Holder {
    key: String,
    chain: String,
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    fn signs(&self, params: &CertificateParams) -> Holder {
        let key = KeyPair::generate().unwrap();
        Holder {
            chain: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn self_signed(params: &CertificateParams) -> Holder {
    let key = KeyPair::generate().unwrap();
    Holder {
        chain: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// What a server is made of, on the disk.
struct Files {
    dir: TempDir,
    ours: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Files {
            dir: tempfile::tempdir().unwrap(),
            ours: Authority::new("our authority"),
        };
        files.write("key.pem", &files.ours.signs(&named("server")));
        files.trust(&files.ours.certificate);
        files
    }

    fn write(&self, name: &str, holder: &Holder) {
        let text = format!("{}{}", holder.key, holder.chain);
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn trust(&self, certificates: &str) {
        std::fs::write(self.dir.path().join("trust.pem"), certificates).unwrap();
    }

    fn store(&self, name: &str) -> Option<StoreFile> {
        Some(StoreFile {
            path: self.dir.path().join(name),
            kind: StoreKind::Pem,
            password: String::new(),
            password_path: None,
        })
    }

    fn side(&self) -> TlsSide {
        TlsSide {
            key_store: self.store("key.pem"),
            trust_store: self.store("trust.pem"),
            tls12: true,
            tls13: true,
            handshakes_max: 10,
            ..TlsSide::default()
        }
    }

    fn server(&self) -> TlsServer {
        TlsServer::new(self.side()).unwrap()
    }
}

/// A client that takes any server for good: the server is what is tested.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tls12,
    Tls13,
}

const BOTH: [Protocol; 2] = [Protocol::Tls12, Protocol::Tls13];

fn client(protocol: Protocol, holder: Option<&Holder>) -> ClientConfig {
    let version = match protocol {
        Protocol::Tls12 => &rustls::version::TLS12,
        Protocol::Tls13 => &rustls::version::TLS13,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    let Some(holder) = holder else {
        return builder.with_no_client_auth();
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(holder.chain.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(holder.key.as_bytes()).unwrap();
    // Certificates of version 1 are none to rustls's own check of key and certificate.
    let key = ring::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(chain.unwrap(), key);
    builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
}

/// The server's word on a connection; a byte goes both ways where it stands. The client's own word
/// is no measure: in TLS 1.3 it takes a handshake for done before its certificate is looked at.
async fn connect(server: &TlsServer, config: ClientConfig) -> Result<Option<String>, String> {
    let (near, far) = duplex(64 << 10);
    let name = ServerName::try_from("server").unwrap();
    let client = async {
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, near)
            .await?;
        stream.write_all(b"?").await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    let served = async {
        let secured = server
            .accept(far, SocketAddr::from(PEER))
            .await
            .map_err(|error| error.to_string())?;
        let mut stream = secured.stream;
        let asked = stream.read_u8().await.map_err(|error| error.to_string())?;
        stream
            .write_u8(asked)
            .await
            .map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        Ok(secured.subject)
    };
    let (client, served) = tokio::join!(client, served);
    if served.is_ok() {
        assert_eq!(client.unwrap(), b'?');
    } else {
        assert!(client.is_err(), "a refused client is served nothing");
    }
    served
}

/// Whether a client with this certificate comes in, the same with both protocols.
async fn outcome(server: &TlsServer, holder: Option<&Holder>) -> Result<Option<String>, String> {
    let mut outcomes = Vec::new();
    for protocol in BOTH {
        outcomes.push(connect(server, client(protocol, holder)).await);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    outcomes.remove(0)
}

fn refused(outcome: Result<Option<String>, String>, why: &str) {
    let error = outcome.expect_err(why);
    let said = error.to_ascii_lowercase();
    assert!(
        said.contains(&why.to_ascii_lowercase()),
        "{error} does not say {why}"
    );
}

#[tokio::test]
async fn a_client_that_we_trust_comes_in_under_its_name() {
    let files = Files::new();
    let mut params = named("client, one");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "us");
    let alice = files.ours.signs(&params);
    let subject = outcome(&files.server(), Some(&alice)).await.unwrap();
    assert_eq!(subject.as_deref(), Some("O=us,CN=client\\, one"));
}

#[tokio::test]
async fn whom_we_do_not_trust_stays_outside() {
    let files = Files::new();
    let server = files.server();
    refused(outcome(&server, None).await, "sent no certificates");
    let stranger = Authority::new("another authority").signs(&named("alice"));
    refused(outcome(&server, Some(&stranger)).await, "UnknownIssuer");
    // The name of an authority is no signature.
    let impostor = Authority::new("our authority").signs(&named("alice"));
    let error = outcome(&server, Some(&impostor)).await.unwrap_err();
    assert!(
        error.contains("BadSignature") || error.contains("UnknownIssuer"),
        "{error}"
    );
    refused(
        outcome(&server, Some(&self_signed(&named("alice")))).await,
        "UnknownIssuer",
    );
}

#[tokio::test]
async fn certificates_are_good_for_their_time_alone() {
    let files = Files::new();
    let mut old = named("old");
    old.not_before = date_time_ymd(2000, 1, 1);
    old.not_after = date_time_ymd(2001, 1, 1);
    refused(
        outcome(&files.server(), Some(&files.ours.signs(&old))).await,
        "expired",
    );
    let mut early = named("early");
    early.not_before = date_time_ymd(3000, 1, 1);
    early.not_after = date_time_ymd(3001, 1, 1);
    refused(
        outcome(&files.server(), Some(&files.ours.signs(&early))).await,
        "not valid yet",
    );
    // Standing in the trust store does not keep one young.
    let old = self_signed(&old);
    files.trust(&old.chain);
    refused(outcome(&files.server(), Some(&old)).await, "expired");
}

#[tokio::test]
async fn where_a_certificate_is_wanted_none_will_do_but_no_bad_one() {
    let files = Files::new();
    let mut side = files.side();
    side.client_auth = ClientAuth::Want;
    let server = TlsServer::new(side).unwrap();
    assert_eq!(outcome(&server, None).await, Ok(None));
    let alice = files.ours.signs(&named("alice"));
    assert_eq!(
        outcome(&server, Some(&alice)).await,
        Ok(Some("CN=alice".into()))
    );
    let stranger = Authority::new("another authority").signs(&named("alice"));
    refused(outcome(&server, Some(&stranger)).await, "UnknownIssuer");
}

#[tokio::test]
async fn where_no_certificate_is_asked_none_counts() {
    let files = Files::new();
    let mut side = files.side();
    side.client_auth = ClientAuth::None;
    side.trust_store = None;
    let server = TlsServer::new(side).unwrap();
    assert_eq!(outcome(&server, None).await, Ok(None));
    let alice = files.ours.signs(&named("alice"));
    assert_eq!(outcome(&server, Some(&alice)).await, Ok(None));
}

#[tokio::test]
async fn a_certificate_that_itself_is_trusted_may_say_what_it_likes() {
    let files = Files::new();
    let plain = self_signed(&named("plain"));
    let mut params = named("authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // What `openssl req -x509` makes where it is asked for nothing else.
    let authority = self_signed(&params);
    files.trust(&format!("{}{}", plain.chain, authority.chain));
    let server = files.server();
    assert_eq!(
        outcome(&server, Some(&plain)).await,
        Ok(Some("CN=plain".into()))
    );
    assert_eq!(
        outcome(&server, Some(&authority)).await,
        Ok(Some("CN=authority".into()))
    );
    let other = files.ours.signs(&named("other"));
    assert!(outcome(&server, Some(&other)).await.is_err());
}

/// OpenSSL 3.0 signed it without any extension, and so in version 1.
#[tokio::test]
async fn certificates_of_version_1_are_checked_too() {
    const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/stores/");
    let read = |name: &str| std::fs::read_to_string(format!("{DIR}{name}")).unwrap();
    let old = Holder {
        key: read("server.key.pem"),
        chain: read("server.pem"),
    };
    let files = Files::new();
    refused(outcome(&files.server(), Some(&old)).await, "UnknownIssuer");
    files.trust(&read("ca.pem"));
    let server = files.server();
    let subject = Some("CN=server,O=golden".to_owned());
    assert_eq!(outcome(&server, Some(&old)).await, Ok(subject));
    // Another key than the certificate's proves nothing.
    let thief = Holder {
        key: KeyPair::generate().unwrap().serialize_pem(),
        chain: old.chain.clone(),
    };
    for protocol in BOTH {
        let error = connect(&server, client(protocol, Some(&thief)))
            .await
            .unwrap_err();
        assert!(error.contains("BadSignature"), "{error}");
    }
    // Nor does one whose content was changed.
    let mut der = CertificateDer::from_pem_slice(old.chain.as_bytes())
        .unwrap()
        .to_vec();
    let at = der.windows(6).position(|part| part == b"golden").unwrap();
    der[at] = b'G';
    let trust = trust::Trust::new(
        vec![CertificateDer::from_pem_slice(read("ca.pem").as_bytes()).unwrap()],
        &ring::default_provider(),
    );
    let verifier =
        trust::ClientVerifier::new(trust.unwrap(), true, Arc::new(ring::default_provider()));
    let verdict = rustls::server::danger::ClientCertVerifier::verify_client_cert(
        &verifier.unwrap(),
        &CertificateDer::from(der),
        &[],
        UnixTime::now(),
    );
    assert!(verdict.is_err(), "{verdict:?}");
}

#[tokio::test]
async fn where_hosts_are_checked_the_certificate_has_to_be_for_the_address() {
    let files = Files::new();
    let mut side = files.side();
    side.verify_client_host = true;
    let server = TlsServer::new(side).unwrap();
    let mut params = named("here");
    params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
    let here = files.ours.signs(&params);
    assert_eq!(
        outcome(&server, Some(&here)).await,
        Ok(Some("CN=here".into()))
    );
    params.subject_alt_names = vec![SanType::IpAddress("127.0.0.2".parse().unwrap())];
    let elsewhere = files.ours.signs(&params);
    for protocol in BOTH {
        let (near, far) = duplex(64 << 10);
        let config = client(protocol, Some(&elsewhere));
        let name = ServerName::try_from("server").unwrap();
        let (_, accepted) = tokio::join!(
            TlsConnector::from(Arc::new(config)).connect(name, near),
            server.accept(far, SocketAddr::from(PEER))
        );
        let error = accepted.unwrap_err().to_string();
        assert_eq!(error, "the certificate of `CN=here` is not for 127.0.0.1");
    }
}

#[tokio::test]
async fn protocols_and_suites_are_those_that_were_enabled() {
    let files = Files::new();
    let alice = files.ours.signs(&named("alice"));
    for only in BOTH {
        let mut side = files.side();
        side.tls12 = only == Protocol::Tls12;
        side.tls13 = only == Protocol::Tls13;
        let server = TlsServer::new(side).unwrap();
        for protocol in BOTH {
            let stands = connect(&server, client(protocol, Some(&alice)))
                .await
                .is_ok();
            assert_eq!(stands, protocol == only);
        }
    }
    let with = |suites: &[&str]| {
        let mut side = files.side();
        side.cipher_suites = Some(suites.iter().map(|suite| (*suite).to_owned()).collect());
        TlsServer::new(side)
    };
    let only = with(&["TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_MD5"]).unwrap();
    assert!(
        connect(&only, client(Protocol::Tls13, Some(&alice)))
            .await
            .is_ok()
    );
    assert!(
        connect(&only, client(Protocol::Tls12, Some(&alice)))
            .await
            .is_err()
    );
    let old = with(&["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]).unwrap();
    assert!(
        connect(&old, client(Protocol::Tls12, Some(&alice)))
            .await
            .is_ok()
    );
    let error = with(&["TLS_RSA_WITH_RC4_128_MD5"]).unwrap_err().to_string();
    assert!(error.contains("TLS_RSA_WITH_RC4_128_MD5"), "{error}");
}

#[tokio::test]
async fn more_handshakes_than_may_be_under_way_are_turned_away() {
    let files = Files::new();
    let mut side = files.side();
    side.handshakes_max = 2;
    let server = TlsServer::new(side).unwrap();
    let peer = SocketAddr::from(PEER);
    let silent: Vec<DuplexStream> = {
        let mut near_ends = Vec::new();
        let mut accepts = Vec::new();
        for _ in 0..2 {
            let (near, far) = duplex(1024);
            near_ends.push(near);
            accepts.push(Box::pin(server.accept(far, peer)));
        }
        for accept in &mut accepts {
            // It waits for a client that says nothing.
            let waits = tokio::time::timeout(Duration::from_millis(1), accept.as_mut()).await;
            assert!(waits.is_err());
        }
        let (_near, far) = duplex(1024);
        let third = server.accept(far, peer).await;
        assert!(matches!(third, Err(HandshakeError::TooMany)));
        near_ends
    };
    // Given up, they make room.
    drop(silent);
    let alice = files.ours.signs(&named("alice"));
    assert!(outcome(&server, Some(&alice)).await.is_ok());
}

#[tokio::test]
async fn stores_are_read_again_and_a_broken_one_changes_nothing() {
    let files = Files::new();
    let server = files.server();
    let alice = files.ours.signs(&named("alice"));
    let next = Authority::new("the next authority");
    let bob = next.signs(&named("bob"));
    assert!(outcome(&server, Some(&bob)).await.is_err());
    files.trust(&format!("{}{}", files.ours.certificate, next.certificate));
    server.reload().unwrap();
    assert!(outcome(&server, Some(&bob)).await.is_ok());
    assert!(outcome(&server, Some(&alice)).await.is_ok());
    files.trust("nothing");
    assert!(server.reload().is_err());
    assert!(outcome(&server, Some(&bob)).await.is_ok());
}

#[test]
fn stores_that_do_not_fit_are_told_by_their_path() {
    let files = Files::new();
    let one = files.ours.signs(&named("one"));
    let other = files.ours.signs(&named("other"));
    files.write(
        "key.pem",
        &Holder {
            key: one.key,
            chain: other.chain.clone(),
        },
    );
    let error = TlsServer::new(files.side()).unwrap_err().to_string();
    assert!(error.contains("key.pem"), "{error}");
    assert!(
        error.contains("does not belong to the certificate of `CN=other`"),
        "{error}"
    );
    files.write(
        "key.pem",
        &Holder {
            key: String::new(),
            chain: other.chain,
        },
    );
    let error = TlsServer::new(files.side()).unwrap_err().to_string();
    assert!(
        error.contains("key.pem: there is no private key"),
        "{error}"
    );
}
