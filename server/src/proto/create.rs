//! Creating nodes. Source: `zookeeper.jute` CreateRequest, CreateTTLRequest; `CreateMode.java`.

use super::Acl;
use crate::jute::{JuteError, Reader, Record, Writer};
use bytes::Bytes;

/// What kind of node. Source: `CreateMode.java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)] // The names say all there is: they are the protocol's own.
pub enum CreateMode {
    Persistent = 0,
    Ephemeral = 1,
    PersistentSequential = 2,
    EphemeralSequential = 3,
    Container = 4,
    PersistentWithTtl = 5,
    PersistentSequentialWithTtl = 6,
}

impl CreateMode {
    /// From a request's flags; others are BAD_ARGUMENTS, inside a multi MARSHALLING_ERROR.
    #[must_use]
    pub fn from_flags(flags: i32) -> Option<Self> {
        Some(match flags {
            0 => CreateMode::Persistent,
            1 => CreateMode::Ephemeral,
            2 => CreateMode::PersistentSequential,
            3 => CreateMode::EphemeralSequential,
            4 => CreateMode::Container,
            5 => CreateMode::PersistentWithTtl,
            6 => CreateMode::PersistentSequentialWithTtl,
            _ => return None,
        })
    }

    /// Whether the node lives by its session.
    #[must_use]
    pub fn is_ephemeral(self) -> bool {
        matches!(
            self,
            CreateMode::Ephemeral | CreateMode::EphemeralSequential
        )
    }

    /// Whether a number is appended to its name.
    #[must_use]
    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::PersistentSequentialWithTtl
        )
    }

    /// Whether it has a time to live.
    #[must_use]
    pub fn is_ttl(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl
        )
    }
}

/// create, create2 and createContainer; createTTL with `ttl_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRequest {
    /// Where.
    pub path: String,
    /// Its data; null and empty are different.
    pub data: Option<Bytes>,
    /// Its access list, as the client gave it.
    pub acl: Vec<Acl>,
    /// A [`CreateMode`].
    pub flags: i32,
}

impl Record for CreateRequest {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(CreateRequest {
            path: input.string()?,
            data: input.buffer_or_null()?.map(Bytes::copy_from_slice),
            acl: input.vector()?,
            flags: input.int()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.string(&self.path);
        out.buffer_or_null(self.data.as_deref());
        out.vector(&self.acl);
        out.int(self.flags);
    }
}

/// createTTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTtlRequest {
    /// What it has in common with the others.
    pub create: CreateRequest,
    /// How long the node lives unchanged, in milliseconds.
    pub ttl_ms: i64,
}

impl Record for CreateTtlRequest {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(CreateTtlRequest {
            create: CreateRequest::read(input)?,
            ttl_ms: input.long()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        self.create.write(out);
        out.long(self.ttl_ms);
    }
}
