//! The digest of a node and of the tree. Source: `DigestCalculator.java`, `AdHash.java`.
//!
//! A node's is the CRC-32 of path, data and stat; the tree's is their wrapping sum. Path and data
//! come first, so their CRC is kept with the node and only the stat is added after a change.

use super::node::{Node, StatPersisted};
use crc32fast::Hasher;

/// The way digests are computed. Source: `DigestCalculator.java` DIGEST_VERSION.
pub const DIGEST_VERSION: i32 = 2;

/// Nodes below here are in no digest, for quotas are counted by each member on its own.
/// Source: `ZooDefs.java` ZOOKEEPER_NODE_SUBTREE.
const OUTSIDE: &str = "/zookeeper/";

/// Whether digests leave this path out.
#[must_use]
pub(crate) fn is_outside(path: &str) -> bool {
    path.starts_with(OUTSIDE)
}

/// The CRC of a path ("" for the root) and data.
#[must_use]
pub(crate) fn content_crc(path: &str, data: Option<&[u8]>) -> u32 {
    let mut crc = Hasher::new();
    crc.update(path.as_bytes());
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// A node's digest from its content's CRC and its stat.
#[must_use]
pub(crate) fn node_digest(content_crc: u32, stat: &StatPersisted) -> i64 {
    let mut bytes = [0; 60];
    let mut at = 0;
    let mut put = |field: &[u8]| {
        bytes[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    };
    put(&stat.czxid.0.to_be_bytes());
    put(&stat.mzxid.0.to_be_bytes());
    put(&stat.pzxid.0.to_be_bytes());
    put(&stat.ctime.0.to_be_bytes());
    put(&stat.mtime.0.to_be_bytes());
    put(&stat.version.to_be_bytes());
    put(&stat.cversion.to_be_bytes());
    put(&stat.aversion.to_be_bytes());
    put(&stat.ephemeral_owner.0.to_be_bytes());
    let mut crc = Hasher::new_with_initial(content_crc);
    crc.update(&bytes);
    i64::from(crc.finalize())
}

/// The digest of a node as it stands, 0 for one that digests leave out.
#[must_use]
pub(crate) fn of_node(node: &Node) -> i64 {
    if node.outside_digest() {
        0
    } else {
        node_digest(node.content_crc, &node.stat())
    }
}
