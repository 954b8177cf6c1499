//! Clients' sockets. Source: `NIOServerCnxnFactory.java`, `NIOServerCnxn.java`.

mod port;
mod secure;
mod task;

pub use port::{resolve, run_moving};
pub use secure::Security;

use crate::service::Service;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections that may wait to be accepted, where the configuration does not say.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to wait after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A port that clients connect to.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    security: Security,
}

impl Listener {
    /// Takes the port. `backlog` is clientPortListenBacklog, -1 for the default. Call it on a
    /// tokio runtime.
    ///
    /// # Errors
    /// What the system says, as when the port is taken.
    pub fn bind(address: SocketAddr, backlog: i32) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // The unspecified address means both families, as in Java.
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(if backlog > 0 { backlog } else { LISTEN_BACKLOG })?;
        Ok(Listener {
            socket: TcpListener::from_std(socket.into())?,
            security: Security::Plain,
        })
    }

    /// The same port with this kind of connections.
    #[must_use]
    pub fn with(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// The address taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes connections in, each on a task of its own, until dropped; dropping it ends them all.
    pub async fn run(self, service: Arc<Service>) {
        let mut connections = Connections::new(service, self.security.clone());
        connections.take_in(Some(&self)).await;
    }
}

/// The connections that came in at a port, each on a task of its own. Dropping them ends them all.
struct Connections {
    service: Arc<Service>,
    security: Security,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(service: Arc<Service>, security: Security) -> Self {
        Connections {
            service,
            security,
            tasks: JoinSet::new(),
        }
    }

    /// Takes connections in until dropped, which loses none that was accepted.
    async fn take_in(&mut self, listener: Option<&Listener>) {
        let Some(listener) = listener else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                accepted = listener.socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let Ok(connection) = self.service.accept(peer) else {
                            continue;
                        };
                        set_options(&stream, peer, &self.service);
                        let forget = task::Forget::new(Arc::clone(&self.service), connection);
                        self.tasks.spawn(secure::serve(stream, self.security.clone(), forget));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accepting a client's connection failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Tasks that have ended are let go as they end: many may, and nobody come.
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }
}

fn set_options(stream: &TcpStream, peer: SocketAddr, service: &Service) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY");
    }
    if service.settings.tcp_keep_alive
        && let Err(error) = SockRef::from(stream).set_keepalive(true)
    {
        tracing::debug!(%peer, %error, "SO_KEEPALIVE");
    }
}
