//! Addresses of members, as names: they are resolved again at every dial, since in Kubernetes an
//! address changes under its name (ZOOKEEPER-2184, 3991, 4728).

use crate::config::HostPort;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::timeout;

/// How long an address that was seen may take to answer before its name is asked.
const SEEN_PATIENCE: Duration = Duration::from_millis(300);

/// Connects to `to`: at the address where the peer was last seen, if any, then at those that its
/// name has now. A name server that lags behind a restarted pod, or fails, costs nothing so.
///
/// # Errors
/// The last address's error, or that there is none, or that `limit` passed.
pub(super) async fn connect(
    to: &HostPort,
    seen: Option<IpAddr>,
    limit: Duration,
) -> io::Result<TcpStream> {
    if let Some(address) = seen {
        let attempt = TcpStream::connect((address, to.port));
        if let Ok(Ok(stream)) = timeout(SEEN_PATIENCE.min(limit), attempt).await {
            stream.set_nodelay(true)?;
            return Ok(stream);
        }
    }
    let dial = async {
        let mut last = None;
        for address in lookup_host((to.host.as_str(), to.port)).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last
            .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    };
    timeout(limit, dial).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} ms", limit.as_millis()),
        ))
    })
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// On every address of the machine.
    AllAddresses(u16),
    /// On the addresses of this name.
    Named(HostPort),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::AllAddresses(port) => write!(f, "*:{port}"),
            Bind::Named(address) => address.fmt(f),
        }
    }
}

/// Opens a listening socket. A name that does not resolve yet, as that of a pod before it is
/// ready, means all addresses: peers know us by our id, not by our address.
///
/// # Errors
/// Where the port is in use or must not be bound.
pub async fn listen(bind: &Bind) -> io::Result<TcpListener> {
    let port = match bind {
        Bind::AllAddresses(port) => *port,
        Bind::Named(HostPort { host, port }) => {
            let resolved = lookup_host((host.as_str(), *port))
                .await
                .ok()
                .and_then(|mut addresses| addresses.next());
            match resolved {
                Some(address) => return TcpListener::bind(address).await,
                None => *port,
            }
        }
    };
    let everywhere = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    match TcpListener::bind(everywhere).await {
        Ok(listener) => Ok(listener),
        // A machine without IPv6.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)).await,
    }
}
