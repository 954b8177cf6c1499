//! From an accepted socket to a connection that is served: in plain, or once it is secure.

use super::task::{Forget, Task};
use crate::net::tls::{HandshakeError, TlsServer};
use crate::proto::Id;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How the connections of a port begin.
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// With the protocol.
    #[default]
    Plain,
    /// With a handshake of TLS.
    Tls(Arc<TlsServer>),
    /// With either (`client.portUnification`).
    Either(Arc<TlsServer>),
}

/// The first byte of a handshake of TLS. No client begins so without TLS: it would announce a
/// packet of 369 MB. Source: `NettyServerCnxnFactory.java` DualModeSslHandler.
const TLS_HANDSHAKE: u8 = 0x16;

/// How long a connection waits for this member to serve before it is told that it does not: a change
/// of leaders takes some milliseconds, and clients that are sent away by all members give up.
const LULL: Duration = Duration::from_millis(100);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(2);

async fn wait_out_a_lull(forget: &Forget) {
    let serves = async {
        while forget.service().serving().is_none() {
            tokio::time::sleep(LOOK).await;
        }
    };
    // Where it does not come to serve, the connection is told so by its first request.
    let _serves = timeout(LULL, serves).await;
}

/// Serves a connection until it ends.
pub(super) async fn serve(stream: TcpStream, security: Security, forget: Forget) {
    let handshake = Duration::from_millis(forget.service().settings.handshake_ms);
    let tls = match security {
        Security::Plain => None,
        Security::Tls(tls) => Some(tls),
        Security::Either(tls) => match timeout(handshake, first_byte(&stream)).await {
            Ok(Ok(TLS_HANDSHAKE)) => Some(tls),
            Ok(Ok(_)) => None,
            Ok(Err(_)) | Err(_) => return,
        },
    };
    wait_out_a_lull(&forget).await;
    let Some(tls) = tls else {
        Task::new(forget, stream).run().await;
        return;
    };
    let peer = forget.connection().peer;
    let secured = match timeout(handshake, tls.accept(stream, peer)).await {
        Ok(Ok(secured)) => secured,
        Ok(Err(HandshakeError::Failed(error))) if error.kind() == io::ErrorKind::UnexpectedEof => {
            // Whoever probes the port goes like this.
            tracing::debug!(%peer, "a connection was closed during its TLS handshake");
            return;
        }
        Ok(Err(error)) => {
            let error = error.to_string();
            tracing::warn!(%peer, error = %error.escape_debug(), "closing a connection: its TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::warn!(%peer, ms = forget.service().settings.handshake_ms,
                "closing a connection: its TLS handshake takes too long");
            return;
        }
    };
    if let Some(subject) = secured.subject {
        let settings = &forget.service().settings.auth;
        let mut ids = Vec::new();
        // Source: X509AuthenticationProvider.java handleAuthentication.
        if settings.x509_super_user.as_deref() == Some(subject.as_str()) {
            ids.push(Id::new("super", subject.clone()));
        }
        ids.push(Id::new("x509", subject));
        forget.connection().state.lock().add_identities(ids);
    }
    Task::new(forget, secured.stream).run().await;
}

/// The first byte, which stays to be read.
async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0]),
    }
}

#[cfg(test)]
#[path = "secure_tests.rs"]
mod tests;
