//! A member's whole tree, as the super user sees it, without what differs by right.

use crate::Outcome;
use crate::call::op;
use crate::wire::{In, Out, shown};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Looked at in one go.
const BATCH: usize = 200;

/// Every node by its path: data, access list, versions and number of children.
pub(crate) type Tree = BTreeMap<String, String>;

/// Reads the tree of the member that listens there, after all that was committed before.
pub(crate) fn read(port: u16) -> Outcome<Tree> {
    let mut client = Client::connect(port).map_err(|error| format!("port {port}: {error}"))?;
    client
        .walk()
        .map_err(|error| format!("port {port}: {error}"))
}

/// The first path at which two trees differ.
pub(crate) fn difference(one: &Tree, other: &Tree) -> Option<String> {
    let paths = one.keys().chain(other.keys());
    let path = paths
        .filter(|path| one.get(*path) != other.get(*path))
        .min()?;
    let (one, other) = (one.get(path), other.get(path));
    Some(format!("{path}: {one:?} and {other:?}"))
}

/// A list's entries, in an order of our own: that of `auth` is a hash table's in Java.
fn acl(answer: &[u8]) -> Vec<String> {
    let mut input = In(answer);
    let mut entries = Vec::new();
    for _ in 0..input.int().unwrap_or(0) {
        let perms = input.int().unwrap_or(0);
        let mut text = || shown(input.buffer().flatten().unwrap_or_default());
        entries.push(format!("{perms}:{}:{}", text(), text()));
    }
    entries.sort_unstable();
    entries
}

struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut client = Client { stream };
        let mut hello = Out::default();
        hello.int(0);
        hello.long(0);
        hello.int(30_000);
        hello.long(0);
        hello.buffer(Some(&[0; 16]));
        hello.byte(0);
        client.stream.write_all(&hello.framed())?;
        client.frame()?;
        let mut auth = Out::default();
        auth.int(0);
        auth.buffer(Some(b"digest"));
        auth.buffer(Some(b"super:admin"));
        let mut sync = Out::default();
        sync.buffer(Some(b"/"));
        client.ask(&[(op::AUTH, auth), (op::SYNC, sync)])?;
        Ok(client)
    }

    /// All answers, in order; those of refusals are empty.
    fn ask(&mut self, requests: &[(i32, Out)]) -> std::io::Result<Vec<Vec<u8>>> {
        let mut bytes = Vec::new();
        for (op, body) in requests {
            let mut request = Out::default();
            request.int(1);
            request.int(*op);
            request.0.extend(&body.0);
            bytes.extend(request.framed());
        }
        self.stream.write_all(&bytes)?;
        let mut answers = Vec::new();
        for _ in requests {
            let frame = self.frame()?;
            let is_good = frame.get(12..16) == Some(&[0; 4]);
            let body = if is_good { frame.get(16..) } else { None };
            answers.push(body.unwrap_or_default().to_vec());
        }
        Ok(answers)
    }

    fn frame(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize & 0x00ff_ffff];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    fn walk(&mut self) -> std::io::Result<Tree> {
        let mut tree = Tree::new();
        let mut left = vec![Vec::new()];
        while !left.is_empty() {
            let batch = left.split_off(left.len().saturating_sub(BATCH));
            let mut requests = Vec::new();
            for path in &batch {
                let shown: &[u8] = if path.is_empty() { b"/" } else { path };
                let mut plain = Out::default();
                plain.buffer(Some(shown));
                let mut watched = plain.clone();
                watched.byte(0);
                requests.push((op::GET_CHILDREN2, watched.clone()));
                requests.push((op::GET_ACL, plain));
                requests.push((op::GET_DATA, watched));
            }
            let answers = self.ask(&requests)?;
            for (path, answers) in batch.iter().zip(answers.chunks(3)) {
                let mut input = In(&answers[0]);
                for _ in 0..input.int().unwrap_or(0) {
                    let name = input.buffer().flatten().unwrap_or_default();
                    left.push([path, &b"/"[..], name].concat());
                }
                // The node's stat stands behind both; its positions and times differ by right.
                let data = answers[2].len().saturating_sub(68);
                let versions = input.0.get(32..44).unwrap_or_default();
                let sizes = input.0.get(52..60).unwrap_or_default();
                // Each member's own, and the ensemble's.
                if !path.starts_with(b"/zookeeper/config") && !path.is_empty() {
                    let node = format!(
                        "data {} acl {:?} versions {} sizes {}",
                        shown(&answers[2][..data]),
                        acl(&answers[1]),
                        shown(versions),
                        shown(sizes)
                    );
                    tree.insert(shown(path), node);
                }
            }
        }
        Ok(tree)
    }
}
