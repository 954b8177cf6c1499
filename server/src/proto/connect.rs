//! How a connection opens. Source: `zookeeper.jute` ConnectRequest and ConnectResponse,
//! `ProtocolManager.java`.

use crate::ids::{SessionId, Zxid};
use crate::jute::{JuteError, Reader, Record, Writer};

/// The first packet of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// 0 today; Java never looks at it.
    pub protocol_version: i32,
    /// The newest position the client has seen; a server behind it must not take the client.
    pub last_zxid_seen: Zxid,
    /// The timeout that the client wants, in milliseconds.
    pub timeout_ms: i32,
    /// The session to go on with, 0 for a new one.
    pub session: SessionId,
    /// Proof that the session is the client's; 16 bytes.
    pub passwd: Vec<u8>,
    /// Whether a read-only server will do; `None` from clients before 3.4, which end the packet here.
    pub read_only: Option<bool>,
}

impl Record for ConnectRequest {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(ConnectRequest {
            protocol_version: input.int()?,
            last_zxid_seen: Zxid(input.long()?),
            timeout_ms: input.int()?,
            session: SessionId(input.long()?),
            passwd: input.buffer()?.to_vec(),
            read_only: if input.is_empty() {
                None
            } else {
                Some(input.boolean()?)
            },
        })
    }

    fn write(&self, out: &mut Writer) {
        out.int(self.protocol_version);
        out.long(self.last_zxid_seen.0);
        out.int(self.timeout_ms);
        out.long(self.session.0);
        out.buffer(&self.passwd);
        if let Some(read_only) = self.read_only {
            out.boolean(read_only);
        }
    }
}

/// The answer to it. A refused session is answered with zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Always 0.
    pub protocol_version: i32,
    /// The timeout granted, in milliseconds; 0 where the session is no more.
    pub timeout_ms: i32,
    /// The session, or 0.
    pub session: SessionId,
    /// The session's password, or 16 zeros.
    pub passwd: [u8; 16],
    /// Whether this server is read-only; left out for clients that did not send theirs.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// Appends the packet's bytes.
    pub fn write(&self, out: &mut Writer) {
        out.int(self.protocol_version);
        out.int(self.timeout_ms);
        out.long(self.session.0);
        out.buffer(&self.passwd);
        if let Some(read_only) = self.read_only {
            out.boolean(read_only);
        }
    }
}
