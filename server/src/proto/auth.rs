//! A client's credentials. Source: `zookeeper.jute` AuthPacket.

use crate::jute::{JuteError, Reader, Record, Writer};

/// A claim to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthPacket {
    /// Always 0; never looked at.
    pub kind: i32,
    /// The scheme, `digest` for instance.
    pub scheme: String,
    /// The scheme's own proof.
    pub auth: Vec<u8>,
}

impl Record for AuthPacket {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(AuthPacket {
            kind: input.int()?,
            scheme: input.string()?,
            auth: input.buffer()?.to_vec(),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.int(self.kind);
        out.string(&self.scheme);
        out.buffer(&self.auth);
    }
}
