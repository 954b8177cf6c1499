//! What stands in front of requests and replies, and the frame around them.
//! Source: `zookeeper.jute` RequestHeader and ReplyHeader, `ClientCnxn.java`.

use crate::ids::{Xid, Zxid};
use crate::jute::Writer;
use crate::proto::ErrorCode;

/// Marks watch events. Source: `ClientCnxn.java` NOTIFICATION_XID.
pub const NOTIFICATION_XID: Xid = Xid(-1);
/// Marks pings and their replies. Source: `ClientCnxn.java` PING_XID.
pub const PING_XID: Xid = Xid(-2);

/// Bytes of a length prefix.
pub const FRAME_PREFIX: usize = 4;
/// Bytes of a request header: xid and type.
pub const REQUEST_HEADER: usize = 8;

/// A frame being written: its length is put in when it ends.
#[derive(Debug)]
#[must_use = "a frame without its end has no length"]
pub struct Frame {
    start: usize,
}

impl Frame {
    /// Begins a frame at the end of `out`.
    pub fn begin(out: &mut Writer) -> Self {
        let start = out.len();
        out.int(0);
        Frame { start }
    }

    /// Begins a frame with a reply header.
    pub fn reply(out: &mut Writer, xid: Xid, zxid: Zxid, err: ErrorCode) -> Self {
        let frame = Frame::begin(out);
        out.int(xid.0);
        out.long(zxid.0);
        out.int(err.0);
        frame
    }

    /// Ends a frame with a reply header whose error is known only now.
    pub fn end_with_error(self, out: &mut Writer, err: ErrorCode) {
        // Behind the frame's length, xid and zxid.
        out.set_int(self.start + FRAME_PREFIX + 12, err.0);
        self.end(out);
    }

    /// Takes back all that was written since the frame began.
    pub fn abandon(self, out: &mut Writer) {
        out.truncate(self.start);
    }

    /// Writes the length of all that was appended since the frame began.
    pub fn end(self, out: &mut Writer) {
        let len = out.len() - self.start - FRAME_PREFIX;
        let len = i32::try_from(len).expect("replies are bounded by the data of nodes");
        out.set_int(self.start, len);
    }
}

/// A reply that is its header alone.
pub fn write_bare_reply(out: &mut Writer, xid: Xid, zxid: Zxid, err: ErrorCode) {
    Frame::reply(out, xid, zxid, err).end(out);
}
