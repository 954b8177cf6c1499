//! The packet between a leader and its learners. Source: `zookeeper.jute` QuorumPacket,
//! `Leader.java` packet types.

use crate::jute::{JuteError, Reader, Record, Writer};
use crate::proto::Id;
use bytes::Bytes;

/// What a packet is, as the number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketType(pub i32);

#[allow(missing_docs)] // The names are the protocol's own; `zab::message` says what they mean.
impl PacketType {
    pub const REQUEST: PacketType = PacketType(1);
    pub const PROPOSAL: PacketType = PacketType(2);
    pub const ACK: PacketType = PacketType(3);
    pub const COMMIT: PacketType = PacketType(4);
    pub const PING: PacketType = PacketType(5);
    pub const REVALIDATE: PacketType = PacketType(6);
    pub const SYNC: PacketType = PacketType(7);
    pub const INFORM: PacketType = PacketType(8);
    pub const COMMIT_AND_ACTIVATE: PacketType = PacketType(9);
    pub const NEW_LEADER: PacketType = PacketType(10);
    pub const FOLLOWER_INFO: PacketType = PacketType(11);
    pub const UP_TO_DATE: PacketType = PacketType(12);
    pub const DIFF: PacketType = PacketType(13);
    pub const TRUNC: PacketType = PacketType(14);
    pub const SNAP: PacketType = PacketType(15);
    pub const OBSERVER_INFO: PacketType = PacketType(16);
    pub const LEADER_INFO: PacketType = PacketType(17);
    pub const ACK_EPOCH: PacketType = PacketType(18);
    pub const INFORM_AND_ACTIVATE: PacketType = PacketType(19);
}

/// One packet. It has no length in front: a reader finds its end by its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumPacket {
    /// What it is.
    pub kind: PacketType,
    /// A position, or an epoch's first.
    pub zxid: i64,
    /// Its content; null and empty are different.
    pub data: Option<Bytes>,
    /// A forwarded request's identities; null elsewhere.
    pub auth: Option<Vec<Id>>,
}

impl Record for QuorumPacket {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        let kind = PacketType(input.int()?);
        let zxid = input.long()?;
        let data = input.buffer_or_null()?.map(Bytes::copy_from_slice);
        let count = input.int()?;
        let auth = match count {
            -1 => None,
            count => {
                let count = usize::try_from(count).map_err(|_| JuteError::BadLength(count))?;
                let mut ids = Vec::new();
                for _ in 0..count {
                    ids.push(Id::read(input)?);
                }
                Some(ids)
            }
        };
        Ok(QuorumPacket {
            kind,
            zxid,
            data,
            auth,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.int(self.kind.0);
        out.long(self.zxid);
        out.buffer_or_null(self.data.as_deref());
        match &self.auth {
            None => out.int(-1),
            Some(ids) => out.vector(ids),
        }
    }
}
