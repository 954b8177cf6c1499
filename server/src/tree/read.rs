//! What readers see of the tree.

use super::ephemeral::EphemeralKind;
use super::node::{Node, Slot, StatPersisted};
use super::store::Tree;
use crate::ids::SessionId;
use crate::proto::{Acl, Stat};
use std::sync::Arc;

/// A node of a tree.
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'a> {
    tree: &'a Tree,
    slot: Slot,
    node: &'a Node,
}

impl<'a> NodeRef<'a> {
    pub(super) fn new(tree: &'a Tree, slot: Slot) -> Self {
        NodeRef {
            tree,
            slot,
            node: tree.slab.get(slot),
        }
    }

    /// What a client is shown; marks of containers and TTL nodes are no owners.
    #[must_use]
    pub fn stat(&self) -> Stat {
        let stat = self.node.stat();
        let owned = EphemeralKind::of(stat.ephemeral_owner, self.tree.extended_types).is_session();
        stat.to_client(owned, self.node.data_length(), self.node.num_children())
    }

    /// What is kept on disk.
    #[must_use]
    pub fn stat_persisted(&self) -> StatPersisted {
        self.node.stat()
    }

    /// How long it lives.
    #[must_use]
    pub fn kind(&self) -> EphemeralKind {
        EphemeralKind::of(self.node.extra().ephemeral_owner, self.tree.extended_types)
    }

    /// The data; `None` is Java's null, which clients get as null.
    #[must_use]
    pub fn data(&self) -> Option<&'a [u8]> {
        self.node.data()
    }

    /// The access list.
    #[must_use]
    pub fn acl(&self) -> &'a [Acl] {
        self.tree.acls.list(self.node.acl)
    }

    /// The access list, shared.
    #[must_use]
    pub fn acl_shared(&self) -> &'a Arc<[Acl]> {
        self.tree.acls.list(self.node.acl)
    }

    /// Its own name, "" for the root.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.node.name()
    }

    /// How many children it has.
    #[must_use]
    pub fn num_children(&self) -> usize {
        self.node.num_children() as usize
    }

    /// Its children, in no order that a client may rely on (the youngest come first).
    pub fn children(&self) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
        let tree = self.tree;
        let mut next = self.node.first_child();
        std::iter::from_fn(move || {
            let child = NodeRef::new(tree, next.some()?);
            next = child.node.next;
            Some(child)
        })
    }

    /// The full path, "/" for the root. It is put together from the names: not for hot paths.
    #[must_use]
    pub fn path(&self) -> String {
        if self.slot == Slot::ROOT {
            return "/".to_owned();
        }
        let mut names = Vec::new();
        let mut at = self.slot;
        while at != Slot::ROOT {
            let node = self.tree.slab.get(at);
            names.push(node.name());
            at = node.parent;
        }
        let mut path = String::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    pub(crate) fn content_crc(&self) -> u32 {
        self.node.content_crc
    }
}

impl Tree {
    /// Nodes, the root included once. Java's `mntr` and `srvr` say one more (`DataTree.java`
    /// getNodeCount counts "" and "/").
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.slab.len()
    }

    /// Bytes of paths and data, as Java counts them. Source: cachedApproximateDataSize.
    #[must_use]
    pub fn approximate_data_size(&self) -> i64 {
        self.data_size
    }

    /// The wrapping sum of all nodes' digests, version [`super::DIGEST_VERSION`].
    #[must_use]
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// The digest computed again from every node's path, data and stat: what [`Tree::digest`]
    /// has to be, for tests and tools.
    #[must_use]
    pub fn digest_recomputed(&self) -> i64 {
        let mut sum = 0_i64;
        for slot in self.below(Slot::ROOT) {
            let node = NodeRef::new(self, slot);
            let path = node.path();
            let path = super::paths::canonical(&path);
            if !super::digest::is_outside(path) {
                let crc = super::digest::content_crc(path, node.data());
                let digest = super::digest::node_digest(crc, &node.stat_persisted());
                sum = sum.wrapping_add(digest);
            }
        }
        sum
    }

    /// Paths of a session's ephemeral nodes, by age of their places.
    #[must_use]
    pub fn ephemerals(&self, session: SessionId) -> Vec<String> {
        let slots = self.ephemerals.get(&session);
        slots
            .into_iter()
            .flatten()
            .map(|slot| NodeRef::new(self, *slot).path())
            .collect()
    }

    /// Sessions that have ephemeral nodes.
    pub fn sessions_with_ephemerals(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.ephemerals.keys().copied()
    }

    /// Ephemeral nodes of all sessions.
    #[must_use]
    pub fn ephemerals_count(&self) -> usize {
        self.ephemerals.values().map(|slots| slots.len()).sum()
    }

    /// Container nodes, for the leader to take away when they are empty.
    pub fn containers(&self) -> impl Iterator<Item = NodeRef<'_>> + '_ {
        self.containers.iter().map(|slot| NodeRef::new(self, *slot))
    }

    /// Nodes with a time to live.
    pub fn ttls(&self) -> impl Iterator<Item = NodeRef<'_>> + '_ {
        self.ttls.iter().map(|slot| NodeRef::new(self, *slot))
    }

    /// Nodes below a path, it not included; `None` without the node.
    /// Source: `DataTree.java` getAllChildrenNumber.
    #[must_use]
    pub fn descendants(&self, path: &str) -> Option<usize> {
        let slot = self.slot(path)?;
        if slot == Slot::ROOT {
            return Some(self.slab.len() - 1);
        }
        Some(self.below(slot).count() - 1)
    }

    /// Access lists that are kept, Java's `aclCacheSize`.
    #[must_use]
    pub fn acl_count(&self) -> usize {
        self.acls.len()
    }

    /// The deepest subtree with a quota that holds `path`.
    /// Source: `DataTree.java` getMaxPrefixWithQuota.
    #[must_use]
    pub fn quota_prefix<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.quotas.deepest(path)
    }

    /// Whether containers' and TTL nodes' marks are told apart from sessions
    /// (`zookeeper.extendedTypesEnabled`).
    #[must_use]
    pub fn extended_types(&self) -> bool {
        self.extended_types
    }
}
