//! A client that is neither ours nor Java's.

use crate::Outcome;
use crate::member::PATIENCE;
use std::fmt::Display;
use std::time::{Duration, Instant};
use zookeeper_client::{Acls, Client, Connector, CreateMode, CreateOptions, Error};

/// The user that owns what only its owner may touch.
pub(crate) const USER: &[u8] = b"alice:secret";

/// A connector with a session timeout that outlives what members have to go through.
pub(crate) fn connector() -> Connector {
    Client::connector()
        .with_session_timeout(Duration::from_secs(10))
        .with_auth("digest", USER)
}

/// A session with the cluster, retried until it stands.
pub(crate) async fn connect(cluster: &str) -> Outcome<Client> {
    connect_by(connector, cluster).await
}

/// The same with a connector of one's own.
pub(crate) async fn connect_by(
    connector: impl Fn() -> Connector,
    cluster: &str,
) -> Outcome<Client> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connector().connect(cluster).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() >= deadline => {
                return Err(format!("no session with {cluster}: {error}"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Options that let anyone do anything.
pub(crate) fn open(mode: CreateMode) -> CreateOptions<'static> {
    mode.with_acls(Acls::anyone_all())
}

/// Creates a persistent node that may be there; where a connection is lost on the way, again.
pub(crate) async fn ensure(client: &Client, path: &str) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client
            .create(path, b"", &open(CreateMode::Persistent))
            .await
        {
            Ok(_) | Err(Error::NodeExists) => return Ok(()),
            // A connection may end, in whatever way, where members are killed.
            Err(_) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(format!("create {path}: {error}")),
        }
    }
}

/// A result with what was intended in front of its error.
pub(crate) trait Intended<T> {
    /// Says what was intended.
    fn intended(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Display> Intended<T> for Result<T, E> {
    fn intended(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}
