//! The records of the client protocol that the workload needs, written down a second time: a client
//! that shared the server's own codec could not see it err. Source: `zookeeper.jute`.

use std::io;

/// `ZooDefs.java` OpCode.
pub mod op {
    /// create
    pub const CREATE: i32 = 1;
    /// delete
    pub const DELETE: i32 = 2;
    /// exists
    pub const EXISTS: i32 = 3;
    /// getData
    pub const GET_DATA: i32 = 4;
    /// setData
    pub const SET_DATA: i32 = 5;
    /// getChildren
    pub const GET_CHILDREN: i32 = 8;
    /// sync
    pub const SYNC: i32 = 9;
    /// ping
    pub const PING: i32 = 11;
    /// check, within a multi
    pub const CHECK: i32 = 13;
    /// multi
    pub const MULTI: i32 = 14;
    /// reconfig
    pub const RECONFIG: i32 = 16;
    /// multiRead
    pub const MULTI_READ: i32 = 22;
    /// setWatches
    pub const SET_WATCHES: i32 = 101;
    /// closeSession
    pub const CLOSE_SESSION: i32 = -11;
    /// The type of a failed operation's result within a multi.
    pub const ERROR: i32 = -1;
}

/// `KeeperException.java` Code.
pub mod code {
    /// All is well.
    pub const OK: i32 = 0;
    /// An operation of a multi behind the one that failed.
    pub const RUNTIME_INCONSISTENCY: i32 = -2;
    /// No such node.
    pub const NO_NODE: i32 = -101;
    /// The version is another.
    pub const BAD_VERSION: i32 = -103;
    /// There is such a node.
    pub const NODE_EXISTS: i32 = -110;
    /// The session is over.
    pub const SESSION_EXPIRED: i32 = -112;
    /// The session goes on at another member.
    pub const SESSION_MOVED: i32 = -118;
}

/// Bytes in the making.
#[derive(Clone, Debug, Default)]
pub struct Out(pub Vec<u8>);

impl Out {
    /// An int.
    pub fn int(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A long.
    pub fn long(&mut self, value: i64) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A boolean.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.0.push(u8::from(value));
        self
    }

    /// A buffer.
    pub fn buffer(&mut self, bytes: &[u8]) -> &mut Self {
        self.int(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.0.extend(bytes);
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.buffer(text.as_bytes())
    }

    /// A buffer or a string that is not there.
    pub fn missing(&mut self) -> &mut Self {
        self.int(-1)
    }

    /// An access list that lets anybody do anything.
    pub fn open_acl(&mut self) -> &mut Self {
        self.int(1).int(31).string("world").string("anyone")
    }
}

/// Bytes to be read. Every error is the same: the answer is no answer.
#[derive(Clone, Copy, Debug)]
pub struct In<'a>(pub &'a [u8]);

impl<'a> In<'a> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(short)?;
        self.0 = rest;
        Ok(*head)
    }

    /// An int.
    ///
    /// # Errors
    /// Where the bytes end before it.
    pub fn int(&mut self) -> io::Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// A long.
    ///
    /// # Errors
    /// Where the bytes end before it.
    pub fn long(&mut self) -> io::Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// A boolean.
    ///
    /// # Errors
    /// Where the bytes end before it.
    pub fn boolean(&mut self) -> io::Result<bool> {
        self.take::<1>().map(|[byte]| byte != 0)
    }

    /// A buffer; a missing one is empty.
    ///
    /// # Errors
    /// Where the bytes end before it.
    pub fn buffer(&mut self) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.int()?.max(0)).map_err(io::Error::other)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(short)?;
        self.0 = rest;
        Ok(head)
    }

    /// A string.
    ///
    /// # Errors
    /// Where the bytes end before it, or are no text.
    pub fn string(&mut self) -> io::Result<String> {
        String::from_utf8(self.buffer()?.to_vec()).map_err(io::Error::other)
    }

    /// A node's stat.
    ///
    /// # Errors
    /// Where the bytes end before it.
    pub fn stat(&mut self) -> io::Result<Stat> {
        let (czxid, mzxid) = (self.long()?, self.long()?);
        let (_ctime, _mtime) = (self.long()?, self.long()?);
        let version = self.int()?;
        let (_cversion, _aversion) = (self.int()?, self.int()?);
        let ephemeral_owner = self.long()?;
        let (_data_length, _num_children) = (self.int()?, self.int()?);
        let pzxid = self.long()?;
        Ok(Stat {
            czxid,
            mzxid,
            pzxid,
            version,
            ephemeral_owner,
        })
    }
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a reply is too short")
}

/// What the checks need of a stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created the node.
    pub czxid: i64,
    /// The last one that changed its data.
    pub mzxid: i64,
    /// The last one that changed its children.
    pub pzxid: i64,
    /// Changes of its data.
    pub version: i32,
    /// The session that it lives with, or 0.
    pub ephemeral_owner: i64,
}
