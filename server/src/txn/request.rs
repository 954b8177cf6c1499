//! A write as it reaches the leader.

use crate::ids::{SessionId, Xid};
use crate::proto::{Id, OpCode};
use bytes::Bytes;
use std::sync::Arc;

/// A request that needs a transaction, wherever in the ensemble it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks; 0 is the ensemble itself.
    pub session: SessionId,
    /// The session's number of the request.
    pub xid: Xid,
    /// What is asked for.
    pub op: OpCode,
    /// The request's record: what stands behind the request header.
    pub body: Bytes,
    /// The connection's identities, `ip` included.
    pub auth: Arc<[Id]>,
}

/// What the caller found about the request's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCheck {
    /// It lives, and the request came from the server that it is connected to.
    Ok,
    /// It has expired, is closing, or never was.
    Expired,
    /// It is connected to another server by now.
    Moved,
    /// Only its own member knows it: it may do all but own nodes.
    Local,
}
