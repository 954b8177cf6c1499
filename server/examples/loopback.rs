//! A server without ensemble and disk, to measure and try what stands between clients and
//! consensus: `cargo run --release -p zookeeper-server --example loopback [PORT]`.

#[path = "../tests/loopback/mod.rs"]
mod loopback;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use zookeeper_server::admin::{AdminServer, AdminSettings};
use zookeeper_server::ids::ServerId;
use zookeeper_server::service::{Settings, Whitelist};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(2181), |port| port.parse())?;
    let settings = Settings {
        server_id: ServerId(1),
        tick_time_ms: 2000,
        min_session_timeout_ms: 4000,
        max_session_timeout_ms: 40_000,
        four_letter_words: Whitelist::parse("*"),
        max_client_cnxns: 0,
        ..Settings::default()
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = loopback::Server::start(settings, address)?;
    let admin = AdminServer::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    println!(
        "serving on {}, admin on {}",
        server.address,
        admin.local_address()?
    );
    tokio::spawn(admin.run(Arc::clone(&server.service), AdminSettings::default()));
    let mut beat = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        beat.tick().await;
        server.service.status.write().heartbeat = Instant::now();
    }
}
