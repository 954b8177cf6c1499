//! The numbers of the protocol, each a type of its own so that none is taken for another.
//!
//! All are signed, as on the wire, so that ordering matches Java's.

use std::fmt;

/// A transaction's position in the ensemble's history: the epoch in the high 32 bits, a counter
/// in the low 32. Source: `ZxidUtils.java`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

impl Zxid {
    /// The position before any transaction.
    pub const ZERO: Zxid = Zxid(0);
    /// The largest counter of an epoch; the leader steps down before it is passed.
    /// Source: `Leader.java` propose, ZOOKEEPER-1277.
    pub const COUNTER_MAX: i64 = 0xffff_ffff;

    /// The position `counter` of the epoch `epoch`.
    #[must_use]
    pub fn new(epoch: Epoch, counter: u32) -> Self {
        Zxid((epoch.0 << 32) | i64::from(counter))
    }

    /// The epoch of the leader that proposed this transaction.
    #[must_use]
    pub fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }

    /// The position inside its epoch, 0 for the epoch's start (NEWLEADER).
    #[must_use]
    pub fn counter(self) -> i64 {
        self.0 & Self::COUNTER_MAX
    }

    /// The position directly behind this one in the same epoch.
    #[must_use]
    pub fn next(self) -> Self {
        Zxid(self.0.wrapping_add(1))
    }
}

/// Hexadecimal with `0x`, as Java prints zxids everywhere.
impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The number of a leadership, one higher for each leader that a quorum accepted. 32 bits on the
/// wire inside a [`Zxid`], a Java `long` in the epoch files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Epoch(self.0 + 1)
    }

    /// The zxid that stands for the start of this epoch.
    #[must_use]
    pub fn start(self) -> Zxid {
        Zxid::new(self, 0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A member's number, `N` of `server.N` and the content of `myid`: 1 to 255 in practice, a Java
/// `long` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A client's session. The top byte is the server that created it, the rest a time and a counter.
/// Source: `SessionTrackerImpl.java` initializeNextSessionId.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The number that a client gives to a request, in its own order. Negative ones are special:
/// see [`crate::proto`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub i32);

/// Milliseconds since 1970 on a wall clock: the time of a transaction as its leader saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallMs(pub i64);

/// A server's own connection number, never on the wire: who watches, whom to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);
