//! Plain sockets from within the cluster's network.

use crate::Outcome;
use crate::environment::Environment;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The most of an answer that is read.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Does `work` on a thread that is in the cluster's network namespace.
pub(crate) fn inside<T: Send + 'static>(
    environment: &Environment,
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    in_network(environment.netns.clone(), work)
}

/// Does `work` on a thread that is in a node's network namespace.
pub(crate) fn on_node<T: Send + 'static>(
    environment: &Environment,
    node: u8,
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let holder = environment.process(&format!("node{node}-holder"))?;
    in_network(format!("/proc/{holder}/ns/net").into(), work)
}

fn in_network<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let thread = thread::spawn(move || {
        let namespace =
            File::open(&path).map_err(|error| format!("open {}: {error}", path.display()))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| format!("enter {}: {error}", path.display()))?;
        work()
    });
    thread
        .join()
        .unwrap_or_else(|_| Err("the thread in another network panicked".to_owned()))
}

/// Connects, within [`ANSWER_MAX`].
pub(crate) fn connect(address: &str) -> Outcome<TcpStream> {
    let address: SocketAddr = address
        .parse()
        .map_err(|error| format!("{address} is no address: {error}"))?;
    let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)
        .map_err(|error| format!("connect to {address}: {error}"))?;
    let bounded = stream
        .set_read_timeout(Some(ANSWER_MAX))
        .and(stream.set_write_timeout(Some(ANSWER_MAX)));
    bounded.map_err(|error| format!("bound the waiting for {address}: {error}"))?;
    Ok(stream)
}

/// Sends `bytes`, closes its own side, and reads what comes.
pub(crate) fn ask(address: &str, bytes: &[u8]) -> Outcome<String> {
    let mut stream = connect(address)?;
    let mut answer = Vec::new();
    stream
        .write_all(bytes)
        .and_then(|()| (&stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer))
        .map_err(|error| format!("ask {address}: {error}"))?;
    // The other side may have closed already.
    let _ = stream.shutdown(Shutdown::Both);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The body of `GET path`; any status but 200 is an error.
pub(crate) fn get(address: &str, path: &str) -> Outcome<String> {
    let answer = ask(
        address,
        format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes(),
    )?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("{address}{path} answered no HTTP: {answer}"))?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(format!("GET {address}{path}: {status}: {body}"))
    }
}
