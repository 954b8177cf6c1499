//! One node, packed: a million of them decide the server's memory.

use crate::ids::{SessionId, WallMs, Zxid};
use crate::proto::Stat;
use triomphe::ThinArc;

/// A node's place in the slab. It stays the same for the node's whole life and is used again
/// for another node afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub u32);

impl Slot {
    /// The root's place.
    pub(crate) const ROOT: Slot = Slot(0);
    /// No node.
    pub(crate) const NONE: Slot = Slot(u32::MAX);

    /// The slot, unless it is [`Slot::NONE`].
    pub(crate) fn some(self) -> Option<Slot> {
        (self != Slot::NONE).then_some(self)
    }
}

/// The part of a stat that is kept on disk. Source: `zookeeper.jute` StatPersisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatPersisted {
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
    /// Stored view: counts the creates of children only. A client sees
    /// `2 * cversion - num_children`, creates and deletes (`DataNode.java` copyStat).
    pub cversion: i32,
    /// How often its access list was set.
    pub aversion: i32,
    /// The owning session or a mark (`EphemeralType.java`).
    pub ephemeral_owner: SessionId,
    /// The last transaction that created or deleted a child.
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// The stat of a node that has just been created. Source: `DataTree.java` createStat.
    #[must_use]
    pub fn created(zxid: Zxid, time: WallMs, ephemeral_owner: SessionId) -> Self {
        StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner,
            ..StatPersisted::default()
        }
    }

    /// What a client is shown. Source: `DataNode.java` copyStat.
    #[must_use]
    pub fn to_client(&self, owned: bool, data_length: usize, num_children: u32) -> Stat {
        let num_children = num_children.cast_signed();
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: if owned {
                self.ephemeral_owner
            } else {
                SessionId(0)
            },
            // Data is bounded by jute.maxbuffer, so the cap is never reached.
            data_length: i32::try_from(data_length).unwrap_or(i32::MAX),
            num_children,
            pzxid: self.pzxid,
        }
    }
}

/// The name and, behind it, the data in one shared allocation: the snapshot that froze the node
/// goes on reading it while the tree replaces it. One thin pointer: its length is behind it.
type Body = ThinArc<(), u8>;

/// What most nodes don't have: children, an owner, a changed access list. Kept apart so that a
/// plain leaf doesn't pay for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extra {
    pub pzxid: Zxid,
    pub ephemeral_owner: SessionId,
    pub cversion: i32,
    pub aversion: i32,
    pub first_child: Slot,
    pub num_children: u32,
}

/// Set in `shape` where the data is null rather than empty.
const NULL_DATA: u32 = 1 << 31;
/// Set in `shape` for nodes below `/zookeeper`, which no digest covers.
const OUTSIDE_DIGEST: u32 = 1 << 30;
/// The longest name; requests are bounded far below.
pub(crate) const NAME_BYTES_MAX: usize = (1 << 30) - 1;

/// A node. 80 bytes, the body's allocation, and an [`Extra`] where it needs one.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub ctime: WallMs,
    pub mtime: WallMs,
    pub version: i32,
    /// The access list's place in the tree's table.
    pub acl: u32,
    /// CRC-32 of path and data: a digest after a change of the stat alone needs neither again.
    pub content_crc: u32,
    /// For growing the index without building paths again.
    pub path_hash: u32,
    pub parent: Slot,
    /// Siblings form a list, so that a parent needs no set of its children: whether a child
    /// exists is the index's to say.
    pub next: Slot,
    pub previous: Slot,
    /// The name's length and the two flags above.
    shape: u32,
    /// `None` marks a free slot.
    body: Option<Body>,
    extra: Option<Box<Extra>>,
}

impl Node {
    /// An unused place; `next` links it to the next unused one.
    pub(crate) fn vacant(next: Slot) -> Self {
        Node {
            czxid: Zxid::ZERO,
            mzxid: Zxid::ZERO,
            ctime: WallMs(0),
            mtime: WallMs(0),
            version: 0,
            acl: 0,
            content_crc: 0,
            path_hash: 0,
            parent: Slot::NONE,
            next,
            previous: Slot::NONE,
            shape: 0,
            body: None,
            extra: None,
        }
    }

    /// A node with no relatives yet. The caller keeps `name` within [`NAME_BYTES_MAX`].
    pub(crate) fn new(
        name: &str,
        data: Option<&[u8]>,
        stat: &StatPersisted,
        acl: u32,
        outside_digest: bool,
    ) -> Self {
        let mut node = Node::vacant(Slot::NONE);
        node.acl = acl;
        if outside_digest {
            node.shape |= OUTSIDE_DIGEST;
        }
        node.set_body(name.as_bytes(), data);
        node.set_stat(stat);
        node
    }

    pub(crate) fn is_vacant(&self) -> bool {
        self.body.is_none()
    }

    fn set_body(&mut self, name: &[u8], data: Option<&[u8]>) {
        debug_assert!(name.len() <= NAME_BYTES_MAX);
        let bytes = data.unwrap_or_default();
        let mut body = Vec::with_capacity(name.len() + bytes.len());
        body.extend_from_slice(name);
        body.extend_from_slice(bytes);
        let body = Body::from_header_and_slice((), &body);
        let null = if data.is_none() { NULL_DATA } else { 0 };
        #[allow(clippy::cast_possible_truncation)] // Bounded by NAME_BYTES_MAX.
        let length = name.len() as u32;
        self.shape = (self.shape & OUTSIDE_DIGEST) | null | length;
        self.body = Some(body);
    }

    /// Replaces the data and keeps the name.
    pub(crate) fn set_data(&mut self, data: Option<&[u8]>) {
        let old = self.body.take();
        let name = old.as_ref().map_or(&[][..], |body| &body.slice);
        let name = name.get(..self.name_length()).unwrap_or_default();
        self.set_body(name, data);
    }

    fn bytes(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |body| &body.slice)
    }

    fn name_length(&self) -> usize {
        (self.shape & !(NULL_DATA | OUTSIDE_DIGEST)) as usize
    }

    pub(crate) fn name_bytes(&self) -> &[u8] {
        let body = self.bytes();
        body.get(..self.name_length()).unwrap_or_default()
    }

    /// The name. Names come from strings only, so nothing is ever replaced.
    pub(crate) fn name(&self) -> &str {
        std::str::from_utf8(self.name_bytes()).unwrap_or_default()
    }

    /// The data; `None` is Java's null.
    pub(crate) fn data(&self) -> Option<&[u8]> {
        if self.shape & NULL_DATA != 0 {
            return None;
        }
        let body = self.bytes();
        Some(body.get(self.name_length()..).unwrap_or_default())
    }

    pub(crate) fn data_length(&self) -> usize {
        self.data().map_or(0, <[u8]>::len)
    }

    pub(crate) fn outside_digest(&self) -> bool {
        self.shape & OUTSIDE_DIGEST != 0
    }

    /// The rare part, as a plain leaf has it where there is none.
    pub(crate) fn extra(&self) -> Extra {
        match &self.extra {
            Some(extra) => **extra,
            None => self.no_extra(),
        }
    }

    fn no_extra(&self) -> Extra {
        Extra {
            pzxid: self.czxid,
            ephemeral_owner: SessionId(0),
            cversion: 0,
            aversion: 0,
            first_child: Slot::NONE,
            num_children: 0,
        }
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        let none = self.no_extra();
        self.extra.get_or_insert_with(|| Box::new(none))
    }

    pub(crate) fn num_children(&self) -> u32 {
        self.extra.as_ref().map_or(0, |extra| extra.num_children)
    }

    pub(crate) fn first_child(&self) -> Slot {
        self.extra
            .as_ref()
            .map_or(Slot::NONE, |extra| extra.first_child)
    }

    pub(crate) fn stat(&self) -> StatPersisted {
        let extra = self.extra();
        StatPersisted {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: extra.cversion,
            aversion: extra.aversion,
            ephemeral_owner: extra.ephemeral_owner,
            pzxid: extra.pzxid,
        }
    }

    fn set_stat(&mut self, stat: &StatPersisted) {
        let StatPersisted {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            pzxid,
        } = *stat;
        self.czxid = czxid;
        self.mzxid = mzxid;
        self.ctime = ctime;
        self.mtime = mtime;
        self.version = version;
        let plain =
            pzxid == czxid && ephemeral_owner == SessionId(0) && cversion == 0 && aversion == 0;
        if !plain {
            let extra = self.extra_mut();
            extra.pzxid = pzxid;
            extra.ephemeral_owner = ephemeral_owner;
            extra.cversion = cversion;
            extra.aversion = aversion;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_takes_no_more_than_it_is_said_to() {
        assert!(size_of::<Node>() <= 80, "{}", size_of::<Node>());
    }

    #[test]
    fn a_plain_leaf_has_no_extra_and_a_stat_comes_back_as_it_was() {
        let plain = StatPersisted::created(Zxid(7), WallMs(9), SessionId(0));
        let node = Node::new("a", Some(b"x"), &plain, 0, false);
        assert!(node.extra.is_none());
        assert_eq!(node.stat(), plain);
        let owned = StatPersisted {
            cversion: 3,
            aversion: 4,
            pzxid: Zxid(12),
            ..StatPersisted::created(Zxid(7), WallMs(9), SessionId(5))
        };
        assert_eq!(Node::new("a", None, &owned, 0, false).stat(), owned);
    }

    #[test]
    fn null_and_empty_data_stay_apart() {
        let stat = StatPersisted::default();
        let mut node = Node::new("name", None, &stat, 0, true);
        assert_eq!((node.name(), node.data()), ("name", None));
        node.set_data(Some(b""));
        assert_eq!((node.name(), node.data()), ("name", Some(&b""[..])));
        node.set_data(Some(b"data"));
        assert_eq!((node.name(), node.data()), ("name", Some(&b"data"[..])));
        assert!(node.outside_digest());
    }
}
