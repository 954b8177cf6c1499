//! A client of bare bytes that never connects anew by itself: what becomes of one connection can be
//! seen by it. Source of the records: `zookeeper.jute`.

use crate::Outcome;
use crate::client::Intended;
use crate::member::{Member, PATIENCE};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicI32, Ordering};

/// An answer longer than this is none.
const FRAME_MAX: usize = 1 << 20;
/// `ZooDefs.java` OpCode.
const CREATE: i32 = 1;
const EXISTS: i32 = 3;
const SYNC: i32 = 9;
const CLOSE: i32 = -11;
/// `CreateMode.java`.
pub(crate) const PERSISTENT: i32 = 0;
pub(crate) const EPHEMERAL: i32 = 1;

/// What takes a session along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) password: [u8; 16],
}

/// The last request's number. It goes on from one connection to the next, as with every client:
/// members tell a session's requests apart by it, wherever they came in.
static XID: AtomicI32 = AtomicI32::new(0);

/// One connection.
pub(crate) struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects, with a session that there is or for a new one (`None`); with the session that the
    /// member gave, 0 where it refused.
    pub(crate) fn connect(member: &Member, session: Option<&Session>) -> Outcome<(Self, Session)> {
        Self::connect_for(member, session, 10_000)
    }

    /// The same with a timeout of one's own.
    pub(crate) fn connect_for(
        member: &Member,
        session: Option<&Session>,
        timeout_ms: i32,
    ) -> Outcome<(Self, Session)> {
        let stream = TcpStream::connect(("127.0.0.1", member.client_port)).intended(member)?;
        stream.set_read_timeout(Some(PATIENCE)).intended(member)?;
        let mut raw = Raw { stream };
        let mut body = Vec::new();
        body.extend(0_i32.to_be_bytes());
        body.extend(0_i64.to_be_bytes());
        body.extend(timeout_ms.to_be_bytes());
        body.extend(session.map_or(0, |session| session.id).to_be_bytes());
        body.extend(16_i32.to_be_bytes());
        body.extend(session.map_or([0; 16], |session| session.password));
        body.push(0);
        let answer = raw.exchange(&body).intended(member)?;
        let id = answer.get(8..16).and_then(|bytes| bytes.try_into().ok());
        let password = answer.get(20..36).and_then(|bytes| bytes.try_into().ok());
        match (id, password) {
            (Some(id), Some(password)) => {
                let id = i64::from_be_bytes(id);
                Ok((raw, Session { id, password }))
            }
            _ => Err(format!("{member} answered {answer:?}")),
        }
    }

    /// Creates an ephemeral; the error code, or the connection's error.
    pub(crate) fn create(&mut self, path: &str) -> std::io::Result<i32> {
        self.create_as(path, EPHEMERAL)
    }

    /// Creates a node of a kind; the error code, or the connection's error.
    pub(crate) fn create_as(&mut self, path: &str, mode: i32) -> std::io::Result<i32> {
        let mut body = Vec::new();
        string(&mut body, path);
        body.extend(0_i32.to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        body.extend(31_i32.to_be_bytes());
        string(&mut body, "world");
        string(&mut body, "anyone");
        body.extend(mode.to_be_bytes());
        self.ask(CREATE, &body)
    }

    /// Asks for a node; the error code, or the connection's error.
    pub(crate) fn exists(&mut self, path: &str) -> std::io::Result<i32> {
        let mut body = Vec::new();
        string(&mut body, path);
        body.push(0);
        self.ask(EXISTS, &body)
    }

    /// Waits for all that is committed; the error code, or the connection's error.
    pub(crate) fn sync(&mut self, path: &str) -> std::io::Result<i32> {
        let mut body = Vec::new();
        string(&mut body, path);
        self.ask(SYNC, &body)
    }

    /// Closes the session; the error code, or the connection's error.
    pub(crate) fn close(&mut self) -> std::io::Result<i32> {
        self.ask(CLOSE, &[])
    }

    fn ask(&mut self, op: i32, body: &[u8]) -> std::io::Result<i32> {
        let xid = XID.fetch_add(1, Ordering::Relaxed) + 1;
        let mut request = Vec::new();
        request.extend(xid.to_be_bytes());
        request.extend(op.to_be_bytes());
        request.extend(body);
        let answer = self.exchange(&request)?;
        let code = answer.get(12..16).and_then(|bytes| bytes.try_into().ok());
        code.map(i32::from_be_bytes)
            .ok_or_else(|| std::io::Error::other("a reply without a header"))
    }

    fn exchange(&mut self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let length = i32::try_from(body.len()).map_err(std::io::Error::other)?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(body);
        self.stream.write_all(&frame)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err(std::io::Error::other("a reply of an absurd length"));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend(i32::try_from(text.len()).unwrap_or(0).to_be_bytes());
    out.extend(text.as_bytes());
}
