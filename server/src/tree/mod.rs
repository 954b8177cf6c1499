//! The tree of nodes and the sessions: what all members agree on. Pure: a transaction in, the
//! reply, the watch events and the digest out. Recovery, replication and tests go through
//! [`Database::apply`]; reads go through [`Tree::get`].
//!
//! Nodes live in chunks of a slab ([`slab`](self)); an index finds them by the hash of their full
//! path; [`Database::freeze`] shares the chunks, and the tree copies a chunk before it changes one
//! that is shared. So a snapshot is exact, where Java's is fuzzy, and stops no write.

pub mod acl;
mod acl_table;
mod apply;
mod digest;
mod ephemeral;
mod index;
mod node;
pub mod paths;
pub mod quota;
mod read;
mod reply;
mod slab;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod watches;

pub use acl_table::{open_unsafe, read_unsafe};
pub use apply::{Applied, DigestCheck, Outcome, Part};
pub use digest::DIGEST_VERSION;
pub(crate) use digest::{content_crc, is_outside, node_digest};
pub use ephemeral::{CONTAINER_OWNER, EphemeralKind, TTL_MAX_MS, ttl_owner};
pub use node::StatPersisted;
pub use read::NodeRef;
pub use reply::write_reply;
pub use snapshot::{
    Frozen, Skimmed, SnapshotError, read_snapshot, read_snapshot_with, skim_snapshot,
};
pub use store::{CONFIG_NODE, Tree};
pub use watches::{EventKind, Fired, Lost, WatchEvent, WatchMode, WatcherType, Watches};

use crate::ids::{SessionId, WallMs, Zxid};
use std::collections::HashMap;

/// The tree, the sessions, and how far they are.
#[derive(Debug)]
pub struct Database {
    /// The nodes.
    pub tree: Tree,
    /// Timeouts in milliseconds.
    sessions: HashMap<SessionId, i32>,
    last_processed: Zxid,
    /// Until when digests are not compared, and what the tree's has to be then.
    fuzzy_until: Option<(Zxid, Option<i64>)>,
    digest_mismatches: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// The tree of an ensemble that has never done anything, without extended types.
    #[must_use]
    pub fn new() -> Self {
        Self::with_extended_types(false)
    }

    /// As [`Database::new`], with `zookeeper.extendedTypesEnabled` as given: whether TTL nodes are
    /// told apart from ephemeral ones.
    #[must_use]
    pub fn with_extended_types(extended_types: bool) -> Self {
        Self::over(Tree::new(extended_types))
    }

    fn over(tree: Tree) -> Self {
        Database {
            tree,
            sessions: HashMap::new(),
            last_processed: Zxid::ZERO,
            fuzzy_until: None,
            digest_mismatches: 0,
        }
    }

    /// Sessions with their timeouts in milliseconds.
    #[must_use]
    pub fn sessions(&self) -> &HashMap<SessionId, i32> {
        &self.sessions
    }

    /// The last transaction that was applied.
    #[must_use]
    pub fn last_processed(&self) -> Zxid {
        self.last_processed
    }

    /// Says how far a database is that came from a snapshot, by the snapshot's name or the
    /// leader's word; also the start of an epoch, which is no transaction.
    pub fn set_last_processed(&mut self, zxid: Zxid) {
        self.last_processed = zxid;
    }

    /// Says that the snapshot was written while transactions up to `zxid` were applied, as Java
    /// does it, and what the tree's digest was then (`DataTree.java` digestFromLoadedSnapshot).
    /// Until `zxid` has been applied, no digest is compared.
    pub fn set_fuzzy_until(&mut self, zxid: Zxid, digest: Option<i64>) {
        self.fuzzy_until = (zxid > self.last_processed).then_some((zxid, digest));
    }

    /// The tree's digest.
    #[must_use]
    pub fn digest(&self) -> i64 {
        self.tree.digest()
    }

    /// How often an applied transaction's digest was not the tree's.
    #[must_use]
    pub fn digest_mismatches(&self) -> u64 {
        self.digest_mismatches
    }

    /// Sets the configuration's node at the start of a term, creating it where an old snapshot
    /// lacks it. `version` is the configuration's, a zxid.
    /// Source: `ZKDatabase.java` initConfigInZKDatabase.
    pub fn set_config(&mut self, config: &[u8], version: Zxid, now: WallMs) {
        if self.tree.get(CONFIG_NODE).is_none() {
            self.tree.add_config_node();
        }
        // Without /zookeeper there is no place for it; no server has ever written such a tree.
        let _ = self
            .tree
            .set_data(CONFIG_NODE, Some(config), -1, version, now);
    }

    /// The database as it is now, to be written while it goes on. Takes microseconds per thousand
    /// nodes.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        let mut sessions: Vec<(SessionId, i32)> =
            self.sessions.iter().map(|(id, ms)| (*id, *ms)).collect();
        // In order, so that the same state gives the same bytes.
        sessions.sort_unstable();
        Frozen {
            slab: self.tree.slab.clone(),
            acls: self.tree.acls.freeze(),
            sessions,
            last_processed: self.last_processed,
            digest: self.tree.digest(),
            data_size: self.tree.data_size,
        }
    }
}
