//! Requests as lists of fields, so that one encoder and one printer do for all of them, and so that
//! broken ones are as easy to say as good ones.

use crate::wire::{Out, shown};
use std::fmt;

/// `ZooDefs.java` OpCode.
#[allow(missing_docs)]
pub(crate) mod op {
    pub(crate) const CREATE: i32 = 1;
    pub(crate) const DELETE: i32 = 2;
    pub(crate) const EXISTS: i32 = 3;
    pub(crate) const GET_DATA: i32 = 4;
    pub(crate) const SET_DATA: i32 = 5;
    pub(crate) const GET_ACL: i32 = 6;
    pub(crate) const SET_ACL: i32 = 7;
    pub(crate) const GET_CHILDREN: i32 = 8;
    pub(crate) const SYNC: i32 = 9;
    pub(crate) const PING: i32 = 11;
    pub(crate) const GET_CHILDREN2: i32 = 12;
    pub(crate) const CHECK: i32 = 13;
    pub(crate) const MULTI: i32 = 14;
    pub(crate) const CREATE2: i32 = 15;
    pub(crate) const RECONFIG: i32 = 16;
    pub(crate) const CHECK_WATCHES: i32 = 17;
    pub(crate) const REMOVE_WATCHES: i32 = 18;
    pub(crate) const CREATE_CONTAINER: i32 = 19;
    pub(crate) const CREATE_TTL: i32 = 21;
    pub(crate) const MULTI_READ: i32 = 22;
    pub(crate) const AUTH: i32 = 100;
    pub(crate) const SET_WATCHES: i32 = 101;
    pub(crate) const SASL: i32 = 102;
    pub(crate) const GET_EPHEMERALS: i32 = 103;
    pub(crate) const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub(crate) const SET_WATCHES2: i32 = 105;
    pub(crate) const ADD_WATCH: i32 = 106;
    pub(crate) const WHO_AM_I: i32 = 107;
    pub(crate) const CLOSE_SESSION: i32 = -11;
}

/// The name of a request's type.
pub(crate) fn op_name(op: i32) -> String {
    let name = match op {
        op::CREATE => "create",
        op::DELETE => "delete",
        op::EXISTS => "exists",
        op::GET_DATA => "getData",
        op::SET_DATA => "setData",
        op::GET_ACL => "getACL",
        op::SET_ACL => "setACL",
        op::GET_CHILDREN => "getChildren",
        op::SYNC => "sync",
        op::PING => "ping",
        op::GET_CHILDREN2 => "getChildren2",
        op::CHECK => "check",
        op::MULTI => "multi",
        op::CREATE2 => "create2",
        op::RECONFIG => "reconfig",
        op::CHECK_WATCHES => "checkWatches",
        op::REMOVE_WATCHES => "removeWatches",
        op::CREATE_CONTAINER => "createContainer",
        op::CREATE_TTL => "createTTL",
        op::MULTI_READ => "multiRead",
        op::AUTH => "auth",
        op::SET_WATCHES => "setWatches",
        op::SASL => "sasl",
        op::GET_EPHEMERALS => "getEphemerals",
        op::GET_ALL_CHILDREN_NUMBER => "getAllChildrenNumber",
        op::SET_WATCHES2 => "setWatches2",
        op::ADD_WATCH => "addWatch",
        op::WHO_AM_I => "whoAmI",
        op::CLOSE_SESSION => "closeSession",
        other => return format!("op {other}"),
    };
    name.to_owned()
}

/// Whether a client may send the type.
pub(crate) fn is_known(op: i32) -> bool {
    op != op::CHECK && !op_name(op).starts_with("op ")
}

/// Whether a reply's zxid is that of a transaction of the request's own.
pub(crate) fn is_write(op: i32) -> bool {
    matches!(
        op,
        op::CREATE
            | op::CREATE2
            | op::CREATE_CONTAINER
            | op::CREATE_TTL
            | op::DELETE
            | op::SET_DATA
            | op::SET_ACL
            | op::MULTI
            | op::RECONFIG
            | op::CLOSE_SESSION
    )
}

/// A position that a client names, as it is at either server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// As it stands.
    Exactly(i64),
    /// So many of the sequence's writes before its last one.
    WritesAgo(usize),
}

impl Position {
    /// What it is where these are the positions of the sequence's writes.
    pub(crate) fn among(self, writes: &[i64]) -> i64 {
        match self {
            Position::Exactly(zxid) => zxid,
            Position::WritesAgo(count) => writes.iter().rev().nth(count).copied().unwrap_or(0),
        }
    }
}

/// One value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Byte(u8),
    Int(i32),
    Long(i64),
    /// A string or a buffer, null for `None`. A `~` in front stands for the sequence's own root.
    Text(Option<Vec<u8>>),
    Zxid(Position),
}

impl Field {
    pub(crate) fn text(text: &str) -> Self {
        Field::Text(Some(text.as_bytes().to_vec()))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Byte(value) => write!(f, "{value}u8"),
            Field::Int(value) => write!(f, "{value}"),
            Field::Long(value) => write!(f, "{value}L"),
            Field::Text(None) => f.write_str("null"),
            Field::Text(Some(text)) => f.write_str(&shown(text)),
            Field::Zxid(at) => write!(f, "{at:?}"),
        }
    }
}

/// What a broken client does to a good request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    None,
    /// Only so many bytes of the body.
    CutAt(usize),
    /// Bytes behind the body.
    Trailing(Vec<u8>),
}

/// The number of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Xid {
    /// The next of the connection's.
    Next,
    /// This one.
    Exactly(i32),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) op: i32,
    pub(crate) fields: Vec<Field>,
    pub(crate) damage: Damage,
    pub(crate) xid: Xid,
}

impl Call {
    pub(crate) fn new(op: i32, fields: Vec<Field>) -> Self {
        Call {
            op,
            fields,
            damage: Damage::None,
            xid: Xid::Next,
        }
    }

    pub(crate) fn bare(op: i32) -> Self {
        Call::new(op, Vec::new())
    }

    pub(crate) fn with_xid(mut self, xid: i32) -> Self {
        self.xid = Xid::Exactly(xid);
        self
    }

    /// The body as a client sends it in `root`, after writes at these positions.
    pub(crate) fn body(&self, root: &str, writes: &[i64]) -> Vec<u8> {
        let mut out = Out::default();
        for field in &self.fields {
            match field {
                Field::Byte(value) => out.byte(*value),
                Field::Int(value) => out.int(*value),
                Field::Long(value) => out.long(*value),
                Field::Text(None) => out.buffer(None),
                Field::Text(Some(text)) => out.buffer(Some(&rooted(text, root))),
                Field::Zxid(at) => out.long(at.among(writes)),
            }
        }
        match &self.damage {
            Damage::None => {}
            Damage::CutAt(length) => out.0.truncate(*length),
            Damage::Trailing(bytes) => out.0.extend(bytes),
        }
        out.0
    }
}

/// `~` for the root: at the front, or behind a place that mirrors the tree, as quotas' does.
pub(crate) fn rooted(text: &[u8], root: &str) -> Vec<u8> {
    let at = match text {
        [b'~', ..] => Some(0),
        _ => text
            .windows(2)
            .position(|pair| pair == b"/~")
            .map(|at| at + 1),
    };
    let Some(at) = at else {
        return text.to_vec();
    };
    // Behind a slash the root's own is left out.
    let root = if at == 0 { root } else { &root[1..] };
    [&text[..at], root.as_bytes(), &text[at + 1..]].concat()
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", op_name(self.op))?;
        for (at, field) in self.fields.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{field}")?;
        }
        f.write_str(")")?;
        match &self.damage {
            Damage::None => {}
            Damage::CutAt(length) => write!(f, " cut at {length}")?,
            Damage::Trailing(bytes) => write!(f, " with {} behind", shown(bytes))?,
        }
        match self.xid {
            Xid::Next => Ok(()),
            Xid::Exactly(xid) => write!(f, " as {xid}"),
        }
    }
}

/// Which session a connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A new one.
    New,
    /// The one that a slot had last.
    Of(usize),
    /// One that there never was.
    Nobodys(i64),
}

/// How it proves that the session is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Right,
    Wrong,
    Short,
    Null,
}

/// A connect request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) whose: Whose,
    pub(crate) proof: Proof,
    pub(crate) timeout_ms: i32,
    pub(crate) seen: Position,
    /// `None` leaves it out, as clients before 3.4 do.
    pub(crate) read_only: Option<u8>,
    pub(crate) protocol: i32,
}

impl Connect {
    pub(crate) fn new(whose: Whose) -> Self {
        Connect {
            whose,
            proof: Proof::Right,
            timeout_ms: 30_000,
            seen: Position::Exactly(0),
            read_only: Some(0),
            protocol: 0,
        }
    }
}

/// One thing that a sequence does, at both servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Opens a connection in a slot, whose earlier one is dropped.
    Connect(usize, Connect),
    /// Drops a slot's connection without a word.
    Drop(usize),
    /// Sends requests in one go and waits for all answers. With `probe` a ping goes along, by which
    /// even a missing answer, or a closed connection, is soon known.
    Send {
        slot: usize,
        calls: Vec<Call>,
        probe: bool,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Connect(slot, connect) => write!(f, "{slot}: {connect:?}"),
            Step::Drop(slot) => write!(f, "{slot}: drop"),
            Step::Send { slot, calls, probe } => {
                write!(f, "{slot}: ")?;
                for (at, call) in calls.iter().enumerate() {
                    if at > 0 {
                        f.write_str("; ")?;
                    }
                    write!(f, "{call}")?;
                }
                if *probe {
                    f.write_str("; probe")
                } else {
                    Ok(())
                }
            }
        }
    }
}
