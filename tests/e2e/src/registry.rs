//! A registry without a single image, on every node: what asks it for one learns at once that it
//! does not exist.

use crate::Outcome;
use crate::environment::{Environment, NODES};
use crate::network::on_node;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A container runtime speaks plain HTTP to the node's own address alone.
const ADDRESS: &str = "127.0.0.1:5000";
/// How long a request may take to come.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Source: the error codes of the OCI distribution specification.
const ANSWER: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 69\r\n\
    Connection: close\r\n\r\n{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}";

/// It serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Registry {
    /// Listens on every node.
    pub(crate) fn start(environment: &Environment) -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for node in 1..=NODES {
            let listener = on_node(environment, node, || {
                let listener = TcpListener::bind(ADDRESS)
                    .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
                listener.map_err(|error| format!("listen on {ADDRESS}: {error}"))
            })?;
            let stop = Arc::clone(&stop);
            // A socket stays in the network that it was made in.
            threads.push(thread::spawn(move || serve(&listener, &stop)));
        }
        Ok(Self { stop, threads })
    }

    /// An image that it does not have.
    pub(crate) fn image() -> String {
        format!("{ADDRESS}/zookeeper:does-not-exist")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Whether it panicked is nobody's business any more.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            // One that goes away early is no concern of the others.
            Ok((stream, _)) => drop(answer(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(_) => return,
        }
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(REQUEST_MAX))?;
    let mut request = [0_u8; 4096];
    let _ = stream.read(&mut request)?;
    stream.write_all(ANSWER.as_bytes())
}
