//! The API server, by way of `kubectl proxy`: it knows how to show who one is.

use crate::Outcome;
use crate::environment::Environment;
use crate::wait::{ensure, until};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::UnixStream;

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why a request was not answered: its connection closes.
#[derive(Debug)]
pub(super) struct Unanswered(pub(super) String);

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unanswered {}

/// Speaks to the API server with the rights of an administrator.
pub(super) struct Upstream {
    proxy: Child,
    socket: PathBuf,
}

impl Upstream {
    pub(super) fn open(environment: &Environment, folder: &Path) -> Outcome<Self> {
        let socket = folder.join("kubectl-proxy");
        let proxy = Command::new(&environment.kubectl)
            .arg("--kubeconfig")
            .arg(&environment.kubeconfig)
            .args(["proxy", "--unix-socket"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Each operator that dies is a line.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("start kubectl proxy: {error}"))?;
        let upstream = Self { proxy, socket };
        until("kubectl proxy listens", Duration::from_secs(20), || {
            let listens = std::os::unix::net::UnixStream::connect(&upstream.socket).is_ok();
            ensure(listens, || "not yet".to_owned())
        })?;
        Ok(upstream)
    }

    /// Sends one request over a connection of its own.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let failed = |error: &dyn std::fmt::Display| Unanswered(error.to_string());
        // kubectl proxy answers to its own machine's name alone.
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().insert(header::HOST, host);
        let stream = UnixStream::connect(&self.socket).await;
        let stream = TokioIo::new(stream.map_err(|error| failed(&error))?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(|error| failed(&error))?;
        // It moves the bytes, and ends with the answer's last one.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await;
        answer.map_err(|error| failed(&error))
    }

    /// `GET path`, as JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Unanswered> {
        let failed = |error: &dyn std::fmt::Display| Unanswered(error.to_string());
        let request = Request::get(path)
            .body(Full::default())
            .map_err(|error| failed(&error))?;
        let body = Limited::new(self.send(request).await?.into_body(), ANSWER_BYTES_MAX);
        let bytes = body.collect().await.map_err(|error| failed(&error))?;
        serde_json::from_slice(&bytes.to_bytes()).map_err(|error| failed(&error))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}
