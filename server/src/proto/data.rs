//! What a node carries: identities, access lists and stats. Source: `zookeeper.jute`, module `data`.

use crate::ids::{SessionId, WallMs, Zxid};
use crate::jute::{JuteError, Reader, Record, Writer};

/// Who: an identity under an authentication scheme (`world:anyone`, `digest:user:hash`, `ip:…`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The scheme's name.
    pub scheme: String,
    /// The identity, in the scheme's own form.
    pub id: String,
}

impl Id {
    /// `scheme:id`.
    #[must_use]
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Id {
            scheme: scheme.into(),
            id: id.into(),
        }
    }
}

impl Record for Id {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(Id {
            scheme: input.string()?,
            id: input.string()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.string(&self.scheme);
        out.string(&self.id);
    }
}

/// What one may do, as bits. Source: `ZooDefs.java` Perms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data and list children.
    pub const READ: Perms = Perms(1);
    /// Set data.
    pub const WRITE: Perms = Perms(2);
    /// Create children.
    pub const CREATE: Perms = Perms(4);
    /// Delete children.
    pub const DELETE: Perms = Perms(8);
    /// Set the access list.
    pub const ADMIN: Perms = Perms(16);
    /// All of them.
    pub const ALL: Perms = Perms(31);

    /// Whether every bit of `wanted` is granted.
    #[must_use]
    pub fn allows(self, wanted: Perms) -> bool {
        self.0 & wanted.0 != 0
    }
}

/// One entry of an access list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    /// What is granted.
    pub perms: Perms,
    /// To whom.
    pub id: Id,
}

impl Record for Acl {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(Acl {
            perms: Perms(input.int()?),
            id: Id::read(input)?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.int(self.perms.0);
        self.id.write(out);
    }
}

/// A node's stat as a client sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created the node.
    pub czxid: Zxid,
    /// The last transaction that set its data.
    pub mzxid: Zxid,
    /// When it was created.
    pub ctime: WallMs,
    /// When its data was last set.
    pub mtime: WallMs,
    /// How often its data was set.
    pub version: i32,
    /// Client view: counts child creates and deletes (`DataNode.java` copyStat).
    pub cversion: i32,
    /// How often its access list was set.
    pub aversion: i32,
    /// The session that an ephemeral node lives by, else 0; containers and TTL nodes have marks of
    /// their own here (`EphemeralType.java`).
    pub ephemeral_owner: SessionId,
    /// Bytes of data.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// The last transaction that created or deleted a child.
    pub pzxid: Zxid,
}

impl Record for Stat {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(Stat {
            czxid: Zxid(input.long()?),
            mzxid: Zxid(input.long()?),
            ctime: WallMs(input.long()?),
            mtime: WallMs(input.long()?),
            version: input.int()?,
            cversion: input.int()?,
            aversion: input.int()?,
            ephemeral_owner: SessionId(input.long()?),
            data_length: input.int()?,
            num_children: input.int()?,
            pzxid: Zxid(input.long()?),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.long(self.czxid.0);
        out.long(self.mzxid.0);
        out.long(self.ctime.0);
        out.long(self.mtime.0);
        out.int(self.version);
        out.int(self.cversion);
        out.int(self.aversion);
        out.long(self.ephemeral_owner.0);
        out.int(self.data_length);
        out.int(self.num_children);
        out.long(self.pzxid.0);
    }
}
