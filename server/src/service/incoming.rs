//! What a client sends, before it is served: frames, and how each is to be served.

use crate::ids::Xid;
use crate::proto::reply::{FRAME_PREFIX, REQUEST_HEADER};
use crate::proto::{OpCode, record};

/// How a request is served.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// From the tree, behind the connection's own earlier requests.
    Read,
    /// By the ensemble.
    Write,
    /// At once, past all that waits.
    Auth,
    /// Not at all.
    Unknown,
}

/// Source: `Request.java` isValid. The ensemble's own requests (createSession, deleteContainer)
/// are nothing that a client may send: Java lets both in, and with them anyone delete an empty
/// container past its ACL.
pub(super) fn class(op: OpCode) -> Class {
    match op {
        OpCode::PING
        | OpCode::EXISTS
        | OpCode::GET_DATA
        | OpCode::GET_CHILDREN
        | OpCode::GET_CHILDREN2
        | OpCode::GET_ACL
        | OpCode::GET_ALL_CHILDREN_NUMBER
        | OpCode::GET_EPHEMERALS
        | OpCode::MULTI_READ
        | OpCode::WHO_AM_I
        | OpCode::ADD_WATCH
        | OpCode::SET_WATCHES
        | OpCode::SET_WATCHES2
        | OpCode::CHECK_WATCHES
        | OpCode::REMOVE_WATCHES => Class::Read,
        OpCode::CREATE
        | OpCode::CREATE2
        | OpCode::CREATE_CONTAINER
        | OpCode::CREATE_TTL
        | OpCode::DELETE
        | OpCode::SET_DATA
        | OpCode::SET_ACL
        | OpCode::MULTI
        | OpCode::RECONFIG
        | OpCode::SYNC
        | OpCode::CLOSE_SESSION => Class::Write,
        OpCode::AUTH | OpCode::SASL => Class::Auth,
        _ => Class::Unknown,
    }
}

/// How this very request is served: a change whose bytes are no record is refused in its turn, as
/// a read is answered. A read-only server refuses all changes before it looks at them.
pub(super) fn class_of(op: OpCode, body: &[u8], read_only: bool) -> Class {
    match class(op) {
        Class::Write if !read_only && !record::is_whole(op, body) => Class::Read,
        class => class,
    }
}

/// Whether a request is refused that has waited for too long. Source: `Request.java` isThrottlable.
pub(super) fn is_throttlable(op: OpCode) -> bool {
    op != OpCode::PING && op != OpCode::CLOSE_SESSION
}

/// Four letters for `cons`. Source: `FinalRequestProcessor.java` lastOp.
pub(super) fn short_name(op: OpCode) -> &'static str {
    match op {
        OpCode::PING => "PING",
        OpCode::CREATE_SESSION => "SESS",
        OpCode::MULTI => "MULT",
        OpCode::MULTI_READ => "MLTR",
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_TTL | OpCode::CREATE_CONTAINER => "CREA",
        OpCode::DELETE => "DELE",
        OpCode::SET_DATA => "SETD",
        OpCode::RECONFIG => "RECO",
        OpCode::SET_ACL => "SETA",
        OpCode::CLOSE_SESSION => "CLOS",
        OpCode::SYNC => "SYNC",
        OpCode::EXISTS => "EXIS",
        OpCode::GET_DATA => "GETD",
        OpCode::SET_WATCHES => "SETW",
        OpCode::SET_WATCHES2 => "STW2",
        OpCode::ADD_WATCH => "ADDW",
        OpCode::GET_ACL => "GETA",
        OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2 => "GETC",
        OpCode::GET_ALL_CHILDREN_NUMBER => "GETACN",
        OpCode::CHECK_WATCHES => "CHKW",
        OpCode::REMOVE_WATCHES => "REMW",
        OpCode::WHO_AM_I => "HOMI",
        OpCode::GET_EPHEMERALS => "GETE",
        _ => "NA",
    }
}

/// The next whole frame.
pub(crate) enum NextFrame<'a> {
    /// More bytes are needed.
    Incomplete,
    /// The length makes no sense: the connection has to go.
    BadLength(i32),
    /// Its content.
    Whole(&'a [u8]),
}

/// Takes a frame from the front of `input`. Source: `NIOServerCnxn.java` readLength.
pub(crate) fn next_frame(input: &[u8], jute_max_buffer: usize) -> NextFrame<'_> {
    let Some((prefix, rest)) = input.split_first_chunk::<FRAME_PREFIX>() else {
        return NextFrame::Incomplete;
    };
    let len = i32::from_be_bytes(*prefix);
    match usize::try_from(len) {
        Ok(len_bytes) if len_bytes <= jute_max_buffer => rest
            .get(..len_bytes)
            .map_or(NextFrame::Incomplete, NextFrame::Whole),
        _ => NextFrame::BadLength(len),
    }
}

/// Splits a request into xid, type and body.
pub(super) fn parse(frame: &[u8]) -> Option<(Xid, OpCode, &[u8])> {
    let (header, body) = frame.split_first_chunk::<REQUEST_HEADER>()?;
    let [x0, x1, x2, x3, o0, o1, o2, o3] = *header;
    Some((
        Xid(i32::from_be_bytes([x0, x1, x2, x3])),
        OpCode(i32::from_be_bytes([o0, o1, o2, o3])),
        body,
    ))
}

/// Whether any request in `input` is answered from the tree.
pub(super) fn asks_the_tree(mut input: &[u8], jute_max_buffer: usize, read_only: bool) -> bool {
    while let NextFrame::Whole(frame) = next_frame(input, jute_max_buffer) {
        match parse(frame) {
            Some((_, op, body))
                if class_of(op, body, read_only) == Class::Read && op != OpCode::PING =>
            {
                return true;
            }
            Some(_) => input = &input[FRAME_PREFIX + frame.len()..],
            None => return false,
        }
    }
    false
}
