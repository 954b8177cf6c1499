//! Snapshots: a frozen view out, a database in. Source: `SerializeUtils.java`
//! serializeSnapshot and deserializeSnapshot, `DataTree.java` serialize and deserialize.
//!
//! sessions: count, (id, timeout)*; lists: count, (number, list)*; nodes: (path, node)*, parents
//! first, the root as ""; "/" at the end.

use super::Database;
use super::acl_table::Entry;
use super::node::{Slot, StatPersisted};
use super::slab::Slab;
use super::store::{Tree, walk};
use crate::ids::{SessionId, WallMs, Zxid};
use crate::jute::{JuteError, Writer};
use crate::proto::{Acl, Id, Perms};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Bytes that are gathered before they are written.
const PIECE_BYTES: usize = 64 * 1024;
/// The longest string or buffer that is read. Java has no limit here beyond the array's; data
/// comes from requests, which `jute.maxbuffer` bounds, and this is a hundred times its default.
const FIELD_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A database as it was at one moment: exact, cheap to take, readable while the database goes on.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub(super) slab: Slab,
    pub(super) acls: Arc<Vec<Option<Entry>>>,
    pub(super) sessions: Vec<(SessionId, i32)>,
    pub(super) last_processed: Zxid,
    pub(super) digest: i64,
    pub(super) data_size: i64,
}

impl Frozen {
    /// The last transaction that is in it.
    #[must_use]
    pub fn last_processed(&self) -> Zxid {
        self.last_processed
    }

    /// The tree's digest at that transaction.
    #[must_use]
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// Nodes in it.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.slab.len()
    }

    /// About how many bytes [`Frozen::write_snapshot`] makes: all but the lists.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        // Two lengths, the list's number and the stat.
        const NODE_BYTES: u64 = 4 + 4 + 8 + 60;
        const SESSION_BYTES: u64 = 8 + 4;
        let names_and_data = u64::try_from(self.data_size).unwrap_or(0);
        names_and_data
            + self.node_count() as u64 * NODE_BYTES
            + self.sessions.len() as u64 * SESSION_BYTES
    }

    /// Writes sessions, lists and nodes, in pieces; what a snapshot file has around them (header,
    /// digest, checksum) is the caller's.
    ///
    /// # Errors
    /// As `out`.
    pub fn write_snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut piece = Writer::new();
        piece.count(self.sessions.len());
        for (session, timeout_ms) in &self.sessions {
            piece.long(session.0);
            piece.int(*timeout_ms);
        }
        // The open list has its number by definition and is never written.
        let lists = || {
            let entries = self.acls.iter().flatten();
            entries.filter(|e| !e.missing && e.id != super::acl_table::OPEN_UNSAFE_ID)
        };
        piece.count(lists().count());
        for entry in lists() {
            piece.long(entry.id);
            piece.vector(&entry.list);
            piece = flushed(piece, out)?;
        }
        let mut path = String::new();
        let mut ends = Vec::new();
        for (slot, step) in walk(&self.slab, Slot::ROOT) {
            let node = self.slab.get(slot);
            // A child lies a level deeper; a sibling takes the place of the last name, and each
            // level up takes one name more.
            if step <= 0 {
                for _ in step..=0 {
                    path.truncate(ends.pop().unwrap_or(0));
                }
            }
            ends.push(path.len());
            if slot != Slot::ROOT {
                path.push('/');
                path.push_str(node.name());
            }
            piece.string(&path);
            piece.buffer_or_null(node.data());
            let entry = self.acls.get(node.acl as usize).and_then(Option::as_ref);
            piece.long(entry.map_or(super::acl_table::OPEN_UNSAFE_ID, |entry| entry.id));
            write_stat(&node.stat(), &mut piece);
            piece = flushed(piece, out)?;
        }
        piece.string("/");
        out.write_all(piece.as_slice())
    }
}

/// Writes the piece out once it is large enough, and hands back its memory.
fn flushed(piece: Writer, out: &mut dyn Write) -> io::Result<Writer> {
    if piece.len() < PIECE_BYTES {
        return Ok(piece);
    }
    let mut bytes = piece.into_vec();
    out.write_all(&bytes)?;
    bytes.clear();
    Ok(Writer::over(bytes))
}

fn write_stat(stat: &StatPersisted, out: &mut Writer) {
    out.long(stat.czxid.0);
    out.long(stat.mzxid.0);
    out.long(stat.ctime.0);
    out.long(stat.mtime.0);
    out.int(stat.version);
    out.int(stat.cversion);
    out.int(stat.aversion);
    out.long(stat.ephemeral_owner.0);
    out.long(stat.pzxid.0);
}

/// Why bytes are no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// They could not be read, or ended early.
    #[error("reading the snapshot after {nodes} nodes")]
    Io {
        /// Nodes that were read before.
        nodes: usize,
        /// What went wrong.
        source: io::Error,
    },
    /// A length or value that can't be.
    #[error("the snapshot is damaged after {nodes} nodes: {source}")]
    Field {
        /// Nodes that were read before.
        nodes: usize,
        /// What was wrong.
        source: JuteError,
    },
    /// A node without its parent in front of it, or there twice.
    #[error("the snapshot is damaged: no place in the tree for node {path:?}")]
    Misplaced {
        /// The node.
        path: String,
    },
    /// It ended in order but held no node.
    #[error("the snapshot has no root node")]
    NoRoot,
}

/// Reads what [`Frozen::write_snapshot`] or Java wrote, and not a byte more. `input` is read in
/// small pieces: put a buffer in front of a file or socket. `extended_types` as in
/// [`Database::with_extended_types`].
///
/// # Errors
/// [`SnapshotError`]; nothing is allocated that the input did not bring.
pub fn read_snapshot_with(
    input: &mut dyn Read,
    extended_types: bool,
) -> Result<Database, SnapshotError> {
    let mut source = Source { input, nodes: 0 };
    let mut database = Database::over(Tree::bare(extended_types));
    let count = source.count()?;
    for _ in 0..count {
        let session = SessionId(source.long()?);
        let timeout_ms = source.int()?;
        database.sessions.insert(session, timeout_ms);
    }
    let count = source.count()?;
    for _ in 0..count {
        let id = source.long()?;
        let entries = source.count()?;
        let mut list = Vec::new();
        for _ in 0..entries {
            list.push(Acl {
                perms: Perms(source.int()?),
                id: Id::new(source.string()?, source.string()?),
            });
        }
        database.tree.acls.load(id, list);
    }
    let tree = &mut database.tree;
    loop {
        let path = source.string()?;
        if path == "/" {
            break;
        }
        let data = source.bytes()?;
        let acl = source.long()?;
        let stat = source.stat()?;
        let place = tree.acls.use_id(acl);
        if !tree.put_loaded(&path, data.as_deref(), &stat, place) {
            return Err(SnapshotError::Misplaced { path });
        }
        source.nodes += 1;
    }
    if tree.node_count() == 0 {
        return Err(SnapshotError::NoRoot);
    }
    tree.set_up_quotas();
    tree.acls.purge_unused();
    Ok(database)
}

/// How much a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skimmed {
    /// Sessions in it.
    pub sessions: usize,
    /// Nodes in it.
    pub nodes: usize,
}

/// Reads what [`read_snapshot_with`] reads to the same byte, but makes no tree of it: a check of a
/// snapshot that its checksum completes must not cost the memory of another tree.
///
/// # Errors
/// [`SnapshotError`], all but `Misplaced`.
pub fn skim_snapshot(input: &mut dyn Read) -> Result<Skimmed, SnapshotError> {
    let mut source = Source { input, nodes: 0 };
    let sessions = source.count()?;
    for _ in 0..sessions {
        source.long()?;
        source.int()?;
    }
    for _ in 0..source.count()? {
        source.long()?;
        for _ in 0..source.count()? {
            source.int()?;
            source.bytes()?;
            source.bytes()?;
        }
    }
    while source.bytes()?.as_deref() != Some(b"/") {
        source.bytes()?;
        source.long()?;
        source.stat()?;
        source.nodes += 1;
    }
    match source.nodes {
        0 => Err(SnapshotError::NoRoot),
        nodes => Ok(Skimmed { sessions, nodes }),
    }
}

/// [`read_snapshot_with`] Java's default, without extended types.
///
/// # Errors
/// As [`read_snapshot_with`].
pub fn read_snapshot(input: &mut dyn Read) -> Result<Database, SnapshotError> {
    read_snapshot_with(input, false)
}

/// Jute from a stream. [`crate::jute::Reader`] wants all bytes at hand; a snapshot is too large.
struct Source<'a> {
    input: &'a mut dyn Read,
    nodes: usize,
}

impl Source<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        let nodes = self.nodes;
        self.input
            .read_exact(&mut bytes)
            .map_err(|source| SnapshotError::Io { nodes, source })?;
        Ok(bytes)
    }

    fn int(&mut self) -> Result<i32, SnapshotError> {
        self.array().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, SnapshotError> {
        self.array().map(i64::from_be_bytes)
    }

    fn damaged(&self, source: JuteError) -> SnapshotError {
        SnapshotError::Field {
            nodes: self.nodes,
            source,
        }
    }

    fn count(&mut self) -> Result<usize, SnapshotError> {
        match self.int()? {
            -1 => Ok(0),
            count => usize::try_from(count).map_err(|_| self.damaged(JuteError::BadLength(count))),
        }
    }

    fn bytes(&mut self) -> Result<Option<Vec<u8>>, SnapshotError> {
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        let wanted = usize::try_from(length)
            .ok()
            .filter(|length| *length <= FIELD_BYTES_MAX)
            .ok_or_else(|| self.damaged(JuteError::BadLength(length)))?;
        // Small fields are most and are read at once; a large one may be a lie, so memory grows
        // only with what arrives.
        let mut bytes = Vec::with_capacity(wanted.min(PIECE_BYTES));
        let mut left = wanted;
        let nodes = self.nodes;
        while left > 0 {
            let start = bytes.len();
            let step = left.min(PIECE_BYTES);
            bytes.resize(start + step, 0);
            self.input
                .read_exact(&mut bytes[start..])
                .map_err(|source| SnapshotError::Io { nodes, source })?;
            left -= step;
        }
        Ok(Some(bytes))
    }

    fn string(&mut self) -> Result<String, SnapshotError> {
        let bytes = self.bytes()?.unwrap_or_default();
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    fn stat(&mut self) -> Result<StatPersisted, SnapshotError> {
        Ok(StatPersisted {
            czxid: Zxid(self.long()?),
            mzxid: Zxid(self.long()?),
            ctime: WallMs(self.long()?),
            mtime: WallMs(self.long()?),
            version: self.int()?,
            cversion: self.int()?,
            aversion: self.int()?,
            ephemeral_owner: SessionId(self.long()?),
            pzxid: Zxid(self.long()?),
        })
    }
}
