use super::*;
use crate::config::{ClientAuth, StoreFile, StoreKind, TlsSide};
use crate::net::client::Listener;
use crate::service::{Service, Settings};
use crate::tree::Database;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn tls() -> Arc<TlsServer> {
    const KEY: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/stores/keystore.pem"
    );
    let side = TlsSide {
        key_store: Some(StoreFile {
            path: KEY.into(),
            kind: StoreKind::Pem,
            password: String::new(),
            password_path: None,
        }),
        client_auth: ClientAuth::None,
        tls12: true,
        tls13: true,
        handshakes_max: 10,
        ..TlsSide::default()
    };
    Arc::new(TlsServer::new(side).unwrap())
}

async fn listen(security: Security, handshake_ms: u64) -> (Arc<Service>, SocketAddr) {
    let settings = Settings {
        handshake_ms,
        ..Settings::default()
    };
    let service = Service::new(settings, Database::new(), 1);
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), -1).unwrap();
    let address = listener.local_address().unwrap();
    tokio::spawn(listener.with(security).run(Arc::clone(&service)));
    (service, address)
}

/// Reads to the end, whatever comes.
async fn ended(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _reset = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_ended_and_leaves_nothing() {
    for (security, said) in [
        (Security::Tls(tls()), &b""[..]),
        // A record of TLS that promises more.
        (Security::Tls(tls()), b"\x16\x03\x01\x02\x00\x01"),
        (Security::Either(tls()), b""),
        (Security::Either(tls()), b"\x16\x03\x01\x02\x00\x01"),
        (Security::Either(tls()), b"\x00\x00\x00"),
    ] {
        let (service, address) = listen(security, 50).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let patience = Duration::from_secs(60);
        timeout(patience, ended(&mut stream))
            .await
            .expect("it is closed");
        // Its socket is closed before it is forgotten, or the other way round.
        let forgotten = async {
            while service.connection_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(patience, forgotten).await.expect("it is forgotten");
    }
}

#[tokio::test]
async fn a_handshake_that_lasts_counts_as_a_connection_and_goes_with_its_client() {
    let (service, address) = listen(Security::Tls(tls()), 600_000).await;
    let patience = Duration::from_secs(60);
    let counts = |count| {
        let service = Arc::clone(&service);
        let reached = async move {
            while service.connection_count() != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(patience, reached)
    };
    let stream = TcpStream::connect(address).await.unwrap();
    counts(1).await.expect("it counts");
    drop(stream);
    counts(0).await.expect("it is forgotten");
}
