//! A port of clients that may move: a reconfiguration can give a member another one.
//! Source: `QuorumPeer.java` processReconfig, `NIOServerCnxnFactory.java` reconfigure.

use super::{Connections, Listener, Security};
use crate::config::HostPort;
use crate::service::Service;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

/// Between two attempts to listen at a new place. Java tries once, and serves nobody new if that
/// fails.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The first address of a name; every address of the machine where it has none yet.
pub async fn resolve(address: &HostPort) -> SocketAddr {
    tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .ok()
        .and_then(|mut found| found.next())
        .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], address.port)))
}

/// Takes connections in, at `first` until `place` changes and then there. Connections that stand go
/// on wherever they came in; dropping this ends them all.
pub async fn run_moving(
    first: Option<Listener>,
    service: Arc<Service>,
    security: Security,
    mut place: watch::Receiver<Option<HostPort>>,
) {
    let backlog = service.settings.listen_backlog;
    let mut connections = Connections::new(service, security);
    let mut listener = first;
    loop {
        let moved = tokio::select! {
            moved = place.changed() => moved,
            () = connections.take_in(listener.as_ref()) => return,
        };
        if moved.is_err() {
            // Nobody is left who could move it.
            connections.take_in(listener.as_ref()).await;
            return;
        }
        // Both places may be the same port, so the old one is given up first.
        drop(listener.take());
        listener = listen(&mut place, backlog).await;
    }
}

/// Listens where the port is to be now, once that can be.
async fn listen(place: &mut watch::Receiver<Option<HostPort>>, backlog: i32) -> Option<Listener> {
    let mut pause = RETRY_MIN;
    loop {
        let address = place.borrow_and_update().clone()?;
        match Listener::bind(resolve(&address).await, backlog) {
            Ok(listener) => {
                info!(%address, "listening for clients");
                return Some(listener);
            }
            Err(error) => {
                warn!(%address, %error, "can't listen for clients at the address of the new configuration yet");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}
