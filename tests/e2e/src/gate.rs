//! What stands between an operator and the API server, and kills it at its writes.
//!
//! The operator is the very program of the chart's pod, as a process on this machine: a container
//! that is killed again and again waits longer each time before it runs. It works in the pods'
//! network, with the rights of the chart's service account, through a proxy that knows its writes.
//! One that is new in this turn costs the operator its life, by SIGKILL, and the next operator begins
//! at once. Its name is the same, as a container that is started again in its pod has the pod's name:
//! the Lease is its own, and nobody has to wait for it to expire.

mod life;
mod upstream;
mod write;

use crate::Outcome;
use crate::environment::Environment;
use crate::network::inside;
use crate::operator;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use life::Life;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Runtime;
use upstream::{Unanswered, Upstream};
use write::Write;

/// The largest write that is looked into.
const WRITE_BYTES_MAX: usize = 4 << 20;

/// On which side of a write its operator dies.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Side {
    /// Before it goes out: what led to it was done, it was not.
    Before,
    /// Once the API server has done it, before the operator hears of it.
    After,
}

/// What happened since the turn began.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Where operators died.
    boundaries: BTreeSet<(Side, String)>,
    /// Writes that the API server took.
    pub(crate) writes: usize,
    /// The pods that operators deleted.
    pub(crate) deleted: Vec<String>,
    /// What must never be and was.
    faults: Vec<String>,
}

impl Turn {
    /// How many operators died on this side of a write.
    pub(crate) fn killed(&self, side: Side) -> usize {
        { self.boundaries.iter() }.filter(|at| at.0 == side).count()
    }
}

struct Shared {
    api_server: Upstream,
    /// Who the operator is to the API server.
    user: HeaderValue,
    namespace: String,
    sides: Vec<Side>,
    turn: Mutex<Turn>,
    life: Mutex<Life>,
}

/// The proxy and the operator behind it.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    runtime: Runtime,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// Runs `program` for this namespace, and kills it on these sides of each of its writes.
    pub(crate) fn open(
        environment: &Environment,
        namespace: &str,
        program: &Path,
        folder: &Path,
        sides: &[Side],
    ) -> Outcome<Self> {
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let runtime = Runtime::new().map_err(|error| failed("start a runtime", &error))?;
        let api_server = Upstream::open(environment, folder)?;
        let listener = inside(environment, || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")
                .map_err(|error| format!("listen in the cluster's network: {error}"))?;
            let set = listener.set_nonblocking(true);
            set.map_err(|error| format!("make a listener nonblocking: {error}"))?;
            Ok(listener)
        })?;
        let address = { listener.local_addr() }.map_err(|error| failed("ask a socket", &error))?;
        let user = format!(
            "system:serviceaccount:{}:{}",
            operator::NAMESPACE,
            operator::RELEASE
        );
        let life = Life::new(environment, namespace, program, folder, address)?;
        let shared = Arc::new(Shared {
            api_server,
            user: HeaderValue::try_from(user).map_err(|error| failed("name a user", &error))?,
            namespace: namespace.to_owned(),
            sides: sides.to_vec(),
            turn: Mutex::default(),
            life: Mutex::new(life),
        });
        let listener = runtime
            .block_on(async { tokio::net::TcpListener::from_std(listener) })
            .map_err(|error| failed("listen", &error))?;
        runtime.spawn(serve(listener, shared.clone()));
        locked(&shared.life).begin()?;
        Ok(Self { shared, runtime })
    }

    /// What happened in the turn that ends here; what comes belongs to the next one. An error if
    /// something was that must never be.
    pub(crate) fn next_turn(&self) -> Outcome<Turn> {
        self.is_sound()?;
        Ok(std::mem::take(&mut *locked(&self.shared.turn)))
    }

    /// No operator ended by itself, and none did what it must not.
    pub(crate) fn is_sound(&self) -> Outcome {
        locked(&self.shared.life).is_sound()?;
        let turn = locked(&self.shared.turn);
        crate::wait::ensure(turn.faults.is_empty(), || turn.faults.join("; "))
    }

    /// The end of what the operators said.
    pub(crate) fn tail(&self) -> String {
        locked(&self.shared.life).tail()
    }

    /// Ends the operator in order: it gives its Lease back.
    pub(crate) fn close(self) -> Outcome {
        let child = locked(&self.shared.life).take()?;
        let ended = life::end(child);
        self.runtime.shutdown_background();
        ended
    }
}

async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let number = locked(&shared.life).number();
        tokio::spawn(async move {
            let service = service_fn(move |request| pass(shared.clone(), number, request));
            // It ends with the operator at its other side, or because that one was killed.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Takes one request to the API server and its answer back, unless its operator dies of it.
async fn pass(
    shared: Arc<Shared>,
    number: usize,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Unanswered> {
    let (mut parts, body) = request.into_parts();
    let body = Limited::new(body, WRITE_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Unanswered(error.to_string()))?;
    let body = body.to_bytes();
    let write = Write::of(&parts.method, parts.uri.path(), &body);
    if shared.dies(number, Side::Before, write.as_ref()) {
        return Err(Unanswered("killed before a write".to_owned()));
    }
    if let Some(pod) = write.as_ref().and_then(Write::deleted_pod) {
        shared.look_at_the_others(pod).await;
    }
    for own in [header::HOST, header::CONNECTION, header::AUTHORIZATION] {
        parts.headers.remove(own);
    }
    parts
        .headers
        .insert("impersonate-user", shared.user.clone());
    let request = Request::from_parts(parts, Full::new(body));
    let answer = shared.api_server.send(request).await?;
    let (mut parts, body) = answer.into_parts();
    if let Some(write) = &write
        && parts.status.is_success()
    {
        shared.taken(write);
        if shared.dies(number, Side::After, Some(write)) {
            return Err(Unanswered("killed after a write".to_owned()));
        }
    }
    parts.version = http::Version::HTTP_11;
    for own in [header::TRANSFER_ENCODING, header::CONNECTION] {
        parts.headers.remove(own);
    }
    Ok(Response::from_parts(parts, body))
}

impl Shared {
    /// Whether the operator of this number is dead, or dies here.
    fn dies(&self, number: usize, side: Side, write: Option<&Write>) -> bool {
        let mut life = locked(&self.life);
        if life.number() != number {
            return true;
        }
        let Some(write) = write.filter(|_| self.sides.contains(&side)) else {
            return false;
        };
        let mut turn = locked(&self.turn);
        if !turn.boundaries.insert((side, write.told.clone())) {
            return false;
        }
        if let Err(error) = life.kill_and_begin(&format!("{side:?} {}", write.name)) {
            turn.faults.push(error);
        }
        true
    }

    /// Notes what the API server took.
    fn taken(&self, write: &Write) {
        let mut turn = locked(&self.turn);
        turn.writes += 1;
        if let Some(pod) = write.deleted_pod() {
            turn.deleted.push(pod.to_owned());
        }
    }

    /// A member is taken down only while every other one is there: the operator is the only one that
    /// takes any down here.
    async fn look_at_the_others(&self, pod: &str) {
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector=zookeeper.ensemble.dev/cluster",
            self.namespace
        );
        let away = match self.api_server.get(&path).await {
            Ok(list) => away(&list, pod),
            Err(error) => vec![format!("nobody could look: {error}")],
        };
        if !away.is_empty() {
            let away = away.join(", ");
            let fault = format!("{pod} was taken down beside {away}");
            locked(&self.turn).faults.push(fault);
        }
    }
}

/// The pods but this one that do not serve.
fn away(list: &Value, pod: &str) -> Vec<String> {
    let pods = list["items"].as_array().into_iter().flatten();
    pods.filter(|other| other["metadata"]["name"] != pod)
        .filter(|other| {
            let ready = crate::kube::condition(other, "Ready");
            ready.is_none_or(|(status, ..)| status != "True")
                || !other["metadata"]["deletionTimestamp"].is_null()
        })
        .map(|other| other["metadata"]["name"].to_string())
        .collect()
}
