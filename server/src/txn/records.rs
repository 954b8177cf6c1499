//! Transactions as they stand in proposals and logs. Source: `zookeeper.jute` module `txn` and
//! `SerializeUtils.java` deserializeTxn.

use crate::ids::{SessionId, WallMs, Xid, Zxid};
use crate::jute::{JuteError, Reader, Record, Writer};
use crate::proto::{Acl, ErrorCode, OpCode};
use bytes::Bytes;

/// What stands in front of every transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked.
    pub client_id: SessionId,
    /// The session's own number of the request.
    pub cxid: Xid,
    /// The transaction's position.
    pub zxid: Zxid,
    /// When the leader prepared it.
    pub time: WallMs,
    /// What it is.
    pub op: OpCode,
}

impl TxnHeader {
    /// Bytes of a header.
    pub const LEN: usize = 32;
}

impl Record for TxnHeader {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(TxnHeader {
            client_id: SessionId(input.long()?),
            cxid: Xid(input.int()?),
            zxid: Zxid(input.long()?),
            time: WallMs(input.long()?),
            op: OpCode(input.int()?),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.long(self.client_id.0);
        out.int(self.cxid.0);
        out.long(self.zxid.0);
        out.long(self.time.0);
        out.int(self.op.0);
    }
}

/// The tree's digest after a transaction, as its leader computed it. Source: `DigestCalculator.java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnDigest {
    /// The way it was computed; 2 today.
    pub version: i32,
    /// The wrapping sum over all nodes.
    pub tree_digest: i64,
}

impl Record for TxnDigest {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(TxnDigest {
            version: input.int()?,
            tree_digest: input.long()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.int(self.version);
        out.long(self.tree_digest);
    }
}

/// A change to the tree or to the sessions, as decided by the leader: applying it can't be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txn {
    /// An ordinary node (create and create2).
    Create {
        /// Where, the sequence number already in it.
        path: String,
        /// Its data; null and empty are different.
        data: Option<Bytes>,
        /// Its access list.
        acl: Vec<Acl>,
        /// Whether it lives by the session.
        ephemeral: bool,
        /// The parent's stored cversion after it, -1 in logs from before 3.4 ("add one").
        parent_cversion: i32,
    },
    /// A node that goes when it has had no children for a while.
    CreateContainer {
        /// As in `Create`.
        path: String,
        /// As in `Create`.
        data: Option<Bytes>,
        /// As in `Create`.
        acl: Vec<Acl>,
        /// As in `Create`.
        parent_cversion: i32,
    },
    /// A node that goes when it has not changed for a while.
    CreateTtl {
        /// As in `Create`.
        path: String,
        /// As in `Create`.
        data: Option<Bytes>,
        /// As in `Create`.
        acl: Vec<Acl>,
        /// As in `Create`.
        parent_cversion: i32,
        /// How long, in milliseconds.
        ttl_ms: i64,
    },
    /// Takes a node away (delete and deleteContainer).
    Delete {
        /// Which.
        path: String,
    },
    /// Sets a node's data (setData and reconfig).
    SetData {
        /// Which.
        path: String,
        /// The data.
        data: Option<Bytes>,
        /// The node's version after it.
        version: i32,
    },
    /// Sets a node's access list.
    SetAcl {
        /// Which.
        path: String,
        /// The list.
        acl: Vec<Acl>,
        /// The node's aversion after it.
        version: i32,
    },
    /// A version check that held, inside a multi.
    Check {
        /// Which node.
        path: String,
        /// The version it had.
        version: i32,
    },
    /// A session begins.
    CreateSession {
        /// Its timeout in milliseconds.
        timeout_ms: i32,
    },
    /// A session ends. `None` in logs from before 3.6: all of its ephemeral nodes go.
    CloseSession {
        /// The ephemeral nodes to take away.
        paths_to_delete: Option<Vec<String>>,
    },
    /// A request that was refused; it holds a position so that every member answers in order.
    Error {
        /// Why.
        err: ErrorCode,
    },
    /// Several at one position, all or none: a refused multi consists of `Error`s alone.
    Multi {
        /// Each with its own type.
        txns: Vec<(OpCode, Txn)>,
    },
}

impl Txn {
    /// Reads the body of a transaction of type `op`.
    ///
    /// # Errors
    /// [`JuteError`] where the bytes are not such a transaction.
    pub fn read(op: OpCode, input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Self::read_at_depth(op, input, 0)
    }

    fn read_at_depth(op: OpCode, input: &mut Reader<'_>, depth: u8) -> Result<Self, JuteError> {
        Ok(match op {
            OpCode::CREATE | OpCode::CREATE2 => {
                let path = input.string()?;
                let data = data(input)?;
                let acl = input.vector()?;
                let ephemeral = input.boolean()?;
                // CreateTxnV0, written before 3.4, ends here.
                let parent_cversion = if input.is_empty() { -1 } else { input.int()? };
                Txn::Create {
                    path,
                    data,
                    acl,
                    ephemeral,
                    parent_cversion,
                }
            }
            OpCode::CREATE_CONTAINER => Txn::CreateContainer {
                path: input.string()?,
                data: data(input)?,
                acl: input.vector()?,
                parent_cversion: input.int()?,
            },
            OpCode::CREATE_TTL => Txn::CreateTtl {
                path: input.string()?,
                data: data(input)?,
                acl: input.vector()?,
                parent_cversion: input.int()?,
                ttl_ms: input.long()?,
            },
            OpCode::DELETE | OpCode::DELETE_CONTAINER => Txn::Delete {
                path: input.string()?,
            },
            OpCode::SET_DATA | OpCode::RECONFIG => Txn::SetData {
                path: input.string()?,
                data: data(input)?,
                version: input.int()?,
            },
            OpCode::SET_ACL => Txn::SetAcl {
                path: input.string()?,
                acl: input.vector()?,
                version: input.int()?,
            },
            OpCode::CHECK => Txn::Check {
                path: input.string()?,
                version: input.int()?,
            },
            OpCode::CREATE_SESSION => Txn::CreateSession {
                timeout_ms: input.int()?,
            },
            OpCode::CLOSE_SESSION => Txn::CloseSession {
                paths_to_delete: if input.is_empty() {
                    None
                } else {
                    Some(input.strings()?)
                },
            },
            OpCode::ERROR => Txn::Error {
                err: ErrorCode(input.int()?),
            },
            OpCode::MULTI if depth == 0 => {
                let count = input.count()?;
                let mut txns = Vec::new();
                for _ in 0..count {
                    let op = OpCode(input.int()?);
                    let mut body = Reader::new(input.buffer()?);
                    txns.push((op, Self::read_at_depth(op, &mut body, depth + 1)?));
                }
                Txn::Multi { txns }
            }
            OpCode(other) => {
                return Err(JuteError::BadValue {
                    what: "a transaction's type",
                    value: i64::from(other),
                });
            }
        })
    }

    /// Appends the body's bytes; the type stands in the header.
    pub fn write(&self, out: &mut Writer) {
        match self {
            Txn::Create {
                path,
                data,
                acl,
                ephemeral,
                parent_cversion,
            } => {
                out.string(path);
                out.buffer_or_null(data.as_deref());
                out.vector(acl);
                out.boolean(*ephemeral);
                out.int(*parent_cversion);
            }
            Txn::CreateContainer {
                path,
                data,
                acl,
                parent_cversion,
            } => {
                out.string(path);
                out.buffer_or_null(data.as_deref());
                out.vector(acl);
                out.int(*parent_cversion);
            }
            Txn::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl_ms,
            } => {
                out.string(path);
                out.buffer_or_null(data.as_deref());
                out.vector(acl);
                out.int(*parent_cversion);
                out.long(*ttl_ms);
            }
            Txn::Delete { path } => out.string(path),
            Txn::SetData {
                path,
                data,
                version,
            } => {
                out.string(path);
                out.buffer_or_null(data.as_deref());
                out.int(*version);
            }
            Txn::SetAcl { path, acl, version } => {
                out.string(path);
                out.vector(acl);
                out.int(*version);
            }
            Txn::Check { path, version } => {
                out.string(path);
                out.int(*version);
            }
            Txn::CreateSession { timeout_ms } => out.int(*timeout_ms),
            Txn::CloseSession { paths_to_delete } => {
                if let Some(paths) = paths_to_delete {
                    out.strings(paths);
                }
            }
            Txn::Error { err } => out.int(err.0),
            Txn::Multi { txns } => {
                out.count(txns.len());
                for (op, txn) in txns {
                    let mut body = Writer::new();
                    txn.write(&mut body);
                    out.int(op.0);
                    out.buffer(body.as_slice());
                }
            }
        }
    }
}

fn data(input: &mut Reader<'_>) -> Result<Option<Bytes>, JuteError> {
    Ok(input.buffer_or_null()?.map(Bytes::copy_from_slice))
}

/// A whole transaction: a proposal's data, a log record's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnEntry {
    /// Position, time, type and origin.
    pub header: TxnHeader,
    /// The change.
    pub txn: Txn,
    /// The tree's digest after it, where its leader computed one.
    pub digest: Option<TxnDigest>,
}

impl Record for TxnEntry {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        let header = TxnHeader::read(input)?;
        let txn = Txn::read(header.op, input)?;
        let digest = if input.is_empty() {
            None
        } else {
            Some(TxnDigest::read(input)?)
        };
        Ok(TxnEntry {
            header,
            txn,
            digest,
        })
    }

    fn write(&self, out: &mut Writer) {
        self.header.write(out);
        self.txn.write(out);
        if let Some(digest) = &self.digest {
            digest.write(out);
        }
    }
}
