//! One request to a member's AdminServer, over a connection of its own.

use crate::crd::names::PORT_ADMIN;
use futures::FutureExt;
use futures::future::{Either, select};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;

/// Where something of a member's listens.
///
/// # Errors
/// A sentence, where `ip` is no address.
pub(crate) fn address(ip: &str, port: u16) -> Result<SocketAddr, String> {
    let ip: IpAddr = ip.parse().map_err(|_| format!("'{ip}' is no address"))?;
    Ok(SocketAddr::new(ip, port))
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// All of it, or why it could not be read.
    pub(crate) body: Result<Bytes, String>,
}

/// Sends a request to the member at `ip`, and reads at most `bytes_max` of the answer.
///
/// # Errors
/// Why there is no answer, as a sentence.
pub(crate) async fn ask(
    ip: &str,
    request: Result<Request<Empty<Bytes>>, http::Error>,
    bytes_max: usize,
) -> Result<Answer, String> {
    fn said(error: impl Display) -> String {
        error.to_string()
    }
    let request = request.map_err(said)?;
    let stream = TcpStream::connect(address(ip, PORT_ADMIN)?)
        .await
        .map_err(said)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(said)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(said)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), bytes_max);
        let body = body.collect().await.map_err(said);
        let body = body.map(http_body_util::Collected::to_bytes);
        Ok(Answer { status, body })
    };
    // The connection moves the bytes; it ends with the exchange or with the peer.
    futures::pin_mut!(exchange, connection);
    match select(exchange, connection).await {
        Either::Left((answer, _)) => answer,
        Either::Right((end, exchange)) => exchange.now_or_never().unwrap_or_else(|| {
            Err(end
                .err()
                .map_or_else(|| "connection closed".to_owned(), said))
        }),
    }
}
