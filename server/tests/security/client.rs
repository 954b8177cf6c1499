//! A client that knows the protocol's frames and nothing else.

use crate::server::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

pub(crate) const CREATE: i32 = 1;
pub(crate) const GET_DATA: i32 = 4;
pub(crate) const GET_ACL: i32 = 6;
pub(crate) const PING: i32 = 11;
pub(crate) const AUTH: i32 = 100;
pub(crate) const SASL: i32 = 102;
pub(crate) const WHO_AM_I: i32 = 107;

pub(crate) const INVALID_ACL: i32 = -114;
pub(crate) const NO_AUTH: i32 = -102;
pub(crate) const AUTH_FAILED: i32 = -115;
pub(crate) const SASL_REQUIRED: i32 = -124;

pub(crate) const ALL: i32 = 31;

/// A session on a connection.
#[derive(Debug)]
pub(crate) struct Client<S> {
    stream: S,
    xid: i32,
}

/// What came back: an error code, and what stands behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) err: i32,
    pub(crate) body: Vec<u8>,
}

/// A connection without TLS.
pub(crate) fn connect(address: SocketAddr) -> Client<TcpStream> {
    Client::open(tcp(address)).unwrap()
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl<S: Read + Write> Client<S> {
    /// Asks for a session.
    pub(crate) fn open(mut stream: S) -> io::Result<Self> {
        let mut request = vec![0; 12];
        request.extend(20_000_i32.to_be_bytes());
        request.extend([0; 8]);
        request.extend(16_i32.to_be_bytes());
        request.extend([0; 17]);
        send(&mut stream, &request)?;
        receive(&mut stream)?;
        Ok(Client { stream, xid: 0 })
    }

    pub(crate) fn try_ask(&mut self, op: i32, body: &[u8]) -> io::Result<Reply> {
        self.xid += 1;
        let xid = self.xid.to_be_bytes();
        send(
            &mut self.stream,
            &[&xid, &op.to_be_bytes()[..], body].concat(),
        )?;
        let reply = receive(&mut self.stream)?;
        assert_eq!(reply[..4], xid, "the reply is that to the request");
        Ok(Reply {
            err: i32::from_be_bytes(reply[12..16].try_into().unwrap()),
            body: reply[16..].to_vec(),
        })
    }

    pub(crate) fn ask(&mut self, op: i32, body: &[u8]) -> Reply {
        self.try_ask(op, body).unwrap()
    }

    /// The server sends no more.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ),
        }
    }

    pub(crate) fn auth(&mut self, scheme: &str, proof: &str) -> i32 {
        let body = [
            &[0; 4][..],
            &buffer(scheme.as_bytes()),
            &buffer(proof.as_bytes()),
        ]
        .concat();
        self.ask(AUTH, &body).err
    }

    /// Makes a node that `(perms, scheme, id)` may use.
    pub(crate) fn create(&mut self, path: &str, acl: &[(i32, &str, &str)]) -> i32 {
        let mut body = buffer(path.as_bytes());
        body.extend(buffer(b"data"));
        body.extend((acl.len() as i32).to_be_bytes());
        for (perms, scheme, id) in acl {
            body.extend(perms.to_be_bytes());
            body.extend(buffer(scheme.as_bytes()));
            body.extend(buffer(id.as_bytes()));
        }
        body.extend([0; 4]);
        self.ask(CREATE, &body).err
    }

    pub(crate) fn read(&mut self, path: &str) -> i32 {
        self.ask(GET_DATA, &[&buffer(path.as_bytes())[..], &[0]].concat())
            .err
    }

    /// A node's list as `scheme:id` each, or why it is not shown.
    pub(crate) fn acl(&mut self, path: &str) -> Result<Vec<String>, i32> {
        let reply = self.ask(GET_ACL, &buffer(path.as_bytes()));
        if reply.err != 0 {
            return Err(reply.err);
        }
        let mut body = &reply.body[..];
        let count = int(&mut body);
        Ok((0..count)
            .map(|_| {
                int(&mut body);
                format!("{}:{}", text(&mut body), text(&mut body))
            })
            .collect())
    }

    /// Who the server takes it for, but for the address: `scheme:name` each.
    pub(crate) fn who_am_i(&mut self) -> Vec<String> {
        let reply = self.ask(WHO_AM_I, &[]);
        assert_eq!(reply.err, 0);
        let mut body = &reply.body[..];
        let count = int(&mut body);
        (0..count)
            .map(|_| format!("{}:{}", text(&mut body), text(&mut body)))
            .filter(|id| !id.starts_with("ip:"))
            .collect()
    }
}

pub(crate) fn buffer(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}

fn int(body: &mut &[u8]) -> i32 {
    let (int, rest) = body.split_first_chunk::<4>().unwrap();
    *body = rest;
    i32::from_be_bytes(*int)
}

fn text(body: &mut &[u8]) -> String {
    let len = int(body) as usize;
    let (text, rest) = body.split_at(len);
    *body = rest;
    String::from_utf8(text.to_vec()).unwrap()
}

fn send(stream: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    stream.write_all(&buffer(frame))?;
    stream.flush()
}

fn receive(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let mut frame = vec![0; i32::from_be_bytes(len) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}
