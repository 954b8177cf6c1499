//! One connection to one member, in bare bytes: it never connects anew by itself, so what became of
//! a request is known as well as it can be.

use crate::member::CLIENT_PORT;
use crate::wire::{In, Out};
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// An answer longer than this is none.
const FRAME_MAX: usize = 8 << 20;

/// What takes a session along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: i64,
    /// Its password.
    pub password: Vec<u8>,
}

/// What a member says to a client that connects.
#[derive(Debug)]
pub enum Welcome {
    /// The session stands.
    Open(Connection, Session),
    /// The session that was asked for is over.
    Expired,
}

/// A reply or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The request's number, or -1 for an event.
    pub xid: i32,
    /// The member's position, or the transaction's.
    pub zxid: i64,
    /// The error code.
    pub error: i32,
    /// The rest.
    pub body: Vec<u8>,
}

/// An open connection with a session.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects for a new session, or for one that there is.
    ///
    /// # Errors
    /// Where the member can't be reached, or does not serve; `patience` bounds each step.
    pub fn open(
        address: Ipv4Addr,
        session: Option<&Session>,
        last_zxid_seen: i64,
        timeout: Duration,
        patience: Duration,
    ) -> io::Result<Welcome> {
        let address = SocketAddr::from((address, CLIENT_PORT));
        Self::open_at(address, session, last_zxid_seen, timeout, patience)
    }

    /// The same at any port.
    ///
    /// # Errors
    /// As for `open`.
    pub fn open_at(
        address: SocketAddr,
        session: Option<&Session>,
        last_zxid_seen: i64,
        timeout: Duration,
        patience: Duration,
    ) -> io::Result<Welcome> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut connection = Connection {
            stream: BufReader::new(stream),
        };
        let mut hello = Out::default();
        hello
            .int(0)
            .long(last_zxid_seen)
            .int(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
            .long(session.map_or(0, |session| session.id));
        match session {
            Some(session) => hello.buffer(&session.password),
            None => hello.buffer(&[0; 16]),
        };
        hello.boolean(false);
        connection.send(&[hello])?;
        let answer = connection.frame()?;
        let mut answer = In(&answer);
        let (_version, _timeout) = (answer.int()?, answer.int()?);
        let (id, password) = (answer.long()?, answer.buffer()?.to_vec());
        if id == 0 {
            return Ok(Welcome::Expired);
        }
        Ok(Welcome::Open(connection, Session { id, password }))
    }

    /// How long a reply may take.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience))
    }

    /// Sends frames in one write.
    ///
    /// # Errors
    /// Where the connection has ended. Any of the frames may have got through.
    pub fn send(&mut self, frames: &[Out]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for frame in frames {
            let length = i32::try_from(frame.0.len()).map_err(io::Error::other)?;
            bytes.extend(length.to_be_bytes());
            bytes.extend(&frame.0);
        }
        self.stream.get_mut().write_all(&bytes)
    }

    /// The next reply or event.
    ///
    /// # Errors
    /// Where the connection has ended, or nothing came in time: then it is of no more use.
    pub fn receive(&mut self) -> io::Result<Packet> {
        let frame = self.frame()?;
        let mut input = In(&frame);
        Ok(Packet {
            xid: input.int()?,
            zxid: input.long()?,
            error: input.int()?,
            body: input.0.to_vec(),
        })
    }

    fn frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err(io::Error::other("a reply of an absurd length"));
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }
}
