//! The tree itself: create, delete, set, with all that Java's `DataTree.java` keeps beside it.

use super::acl_table::{AclTable, OPEN_UNSAFE, read_unsafe};
use super::digest;
use super::ephemeral::EphemeralKind;
use super::index::Index;
use super::node::{NAME_BYTES_MAX, Node, Slot, StatPersisted};
use super::paths::{canonical, java_length, split};
use super::quota::{self, Quotas, StatsTrack};
use super::read::NodeRef;
use super::slab::Slab;
use crate::ids::{SessionId, WallMs, Zxid};
use crate::proto::{Acl, ErrorCode, Stat};
use crate::room::GiveRoom as _;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The node that holds the ensemble's configuration. Source: `ZooDefs.java` CONFIG_NODE.
pub const CONFIG_NODE: &str = "/zookeeper/config";

/// Nodes by path. Pure: it changes only by what it is told.
#[derive(Debug)]
pub struct Tree {
    pub(super) slab: Slab,
    pub(super) index: Index,
    pub(super) acls: AclTable,
    pub(super) ephemerals: HashMap<SessionId, BTreeSet<Slot>>,
    pub(super) containers: BTreeSet<Slot>,
    pub(super) ttls: BTreeSet<Slot>,
    pub(super) quotas: Quotas,
    pub(super) extended_types: bool,
    /// Wrapping sum of the nodes' digests.
    pub(super) digest: i64,
    /// Java's count of path and data lengths. Source: `DataTree.java` nodeDataSize.
    pub(super) data_size: i64,
}

/// A node to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewNode<'a> {
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    pub acl: &'a [Acl],
    pub owner: SessionId,
    /// -1: one more than the parent has, as in logs from before 3.4.
    pub parent_cversion: i32,
    pub zxid: Zxid,
    pub time: WallMs,
}

impl Tree {
    /// `/`, `/zookeeper`, `/zookeeper/quota` and `/zookeeper/config`.
    /// Source: `DataTree.java` constructor and addConfigNode.
    pub(super) fn new(extended_types: bool) -> Self {
        let mut tree = Tree::bare(extended_types);
        let stat = StatPersisted::default();
        tree.put_loaded("", Some(b""), &stat, OPEN_UNSAFE);
        tree.put_loaded("/zookeeper", Some(b""), &stat, OPEN_UNSAFE);
        tree.put_loaded(quota::QUOTA_ROOT, Some(b""), &stat, OPEN_UNSAFE);
        tree.add_config_node();
        tree
    }

    /// Nothing, not even a root: a snapshot brings all.
    pub(super) fn bare(extended_types: bool) -> Self {
        Tree {
            slab: Slab::new(),
            index: Index::new(),
            acls: AclTable::new(),
            ephemerals: HashMap::new(),
            containers: BTreeSet::new(),
            ttls: BTreeSet::new(),
            quotas: Quotas::default(),
            extended_types,
            digest: 0,
            data_size: 0,
        }
    }

    /// The configuration's node, readable by all and writable by none (ZOOKEEPER-2014).
    pub(super) fn add_config_node(&mut self) {
        let acl = self.acls.intern(&read_unsafe());
        let stat = StatPersisted {
            aversion: -1,
            ..StatPersisted::default()
        };
        self.put_loaded(CONFIG_NODE, Some(b""), &stat, acl);
    }

    pub(super) fn slot(&self, path: &str) -> Option<Slot> {
        match canonical(path) {
            "" => (self.slab.len() > 0).then_some(Slot::ROOT),
            path => self.index.find(&self.slab, path),
        }
    }

    /// The node at a path; "" is the root too, as in Java.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<NodeRef<'_>> {
        self.slot(path).map(|slot| NodeRef::new(self, slot))
    }

    /// Puts a node as a snapshot has it below a parent that is there. False where the parent is
    /// not, or the node is already.
    pub(super) fn put_loaded(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        stat: &StatPersisted,
        acl: u32,
    ) -> bool {
        let (parent, name) = match split(path) {
            None if path.is_empty() && self.slab.len() == 0 => (None, ""),
            None => return false,
            Some((parent, name)) => match self.slot(parent) {
                Some(slot) => (Some(slot), name),
                None => return false,
            },
        };
        if parent.is_some() && self.slot(path).is_some() {
            return false;
        }
        self.attach(path, parent, name, data, stat, acl).is_some()
    }

    /// Makes the node and enters it everywhere. `None` where the tree or the name is too large.
    fn attach(
        &mut self,
        path: &str,
        parent: Option<Slot>,
        name: &str,
        data: Option<&[u8]>,
        stat: &StatPersisted,
        acl: u32,
    ) -> Option<Slot> {
        if self.slab.is_full() || name.len() > NAME_BYTES_MAX {
            return None;
        }
        let outside = digest::is_outside(path);
        let mut node = Node::new(name, data, stat, acl, outside);
        if !outside {
            node.content_crc = digest::content_crc(path, data);
        }
        node.path_hash = self.index.hash(path);
        node.parent = parent.unwrap_or(Slot::NONE);
        self.digest = self.digest.wrapping_add(digest::of_node(&node));
        self.data_size += node_size(path, data);
        let slot = self.slab.insert(node);
        if let Some(parent) = parent {
            self.index.insert(&self.slab, slot);
            self.link(parent, slot);
        } else {
            // Java's table has the root twice, as "" and "/".
            self.data_size += node_size("/", data);
        }
        match EphemeralKind::of(stat.ephemeral_owner, self.extended_types) {
            EphemeralKind::Persistent => {}
            EphemeralKind::Session(session) => {
                self.ephemerals.entry(session).or_default().insert(slot);
            }
            EphemeralKind::Container => {
                self.containers.insert(slot);
            }
            EphemeralKind::Ttl(_) => {
                self.ttls.insert(slot);
            }
        }
        Some(slot)
    }

    fn link(&mut self, parent: Slot, child: Slot) {
        let extra = self.slab.get_mut(parent).extra_mut();
        let first = extra.first_child;
        extra.first_child = child;
        extra.num_children += 1;
        self.slab.get_mut(child).next = first;
        if let Some(first) = first.some() {
            self.slab.get_mut(first).previous = child;
        }
    }

    fn unlink(&mut self, parent: Slot, child: Slot) {
        let (previous, next) = {
            let node = self.slab.get(child);
            (node.previous, node.next)
        };
        if let Some(next) = next.some() {
            self.slab.get_mut(next).previous = previous;
        }
        if let Some(previous) = previous.some() {
            self.slab.get_mut(previous).next = next;
        }
        let extra = self.slab.get_mut(parent).extra_mut();
        if extra.first_child == child {
            extra.first_child = next;
        }
        extra.num_children -= 1;
    }

    /// Changes a node's stat or data and keeps the digest right.
    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Node)) {
        let node = self.slab.get_mut(slot);
        let before = digest::of_node(node);
        change(node);
        let after = digest::of_node(node);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
    }

    /// Makes a node. Source: `DataTree.java` createNode.
    ///
    /// # Errors
    /// `NO_NODE` without a parent, `NODE_EXISTS` where the node is there (a replayed transaction):
    /// it then takes the access list all the same, as in Java.
    pub(super) fn create(&mut self, new: NewNode<'_>) -> Result<(Slot, Stat), ErrorCode> {
        let (parent_path, name) = split(new.path).ok_or(ErrorCode::NO_NODE)?;
        let parent = self.slot(parent_path).ok_or(ErrorCode::NO_NODE)?;
        let acl = self.acls.intern(new.acl);
        if let Some(existing) = self.slot(new.path) {
            let node = self.slab.get_mut(existing);
            let old = std::mem::replace(&mut node.acl, acl);
            self.acls.release(old);
            return Err(ErrorCode::NODE_EXISTS);
        }
        let stat = StatPersisted::created(new.zxid, new.time, new.owner);
        let slot = self
            .attach(new.path, Some(parent), name, new.data, &stat, acl)
            .ok_or(ErrorCode::SYSTEM_ERROR)?;
        self.raise_cversion(parent, new.parent_cversion, new.zxid);
        // Taken here, for a quota's count may set this very node's data.
        let stat = NodeRef::new(self, slot).stat();
        self.quota_after_create(new.path, parent_path, name, new.data);
        Ok((slot, stat))
    }

    /// A child was made: cversion and pzxid go up together, and never down, for a replayed create
    /// may be older than what the snapshot has.
    fn raise_cversion(&mut self, parent: Slot, cversion: i32, zxid: Zxid) {
        self.change(parent, |node| {
            let extra = node.extra_mut();
            let cversion = match cversion {
                -1 => extra.cversion.wrapping_add(1),
                cversion => cversion,
            };
            if cversion > extra.cversion {
                extra.cversion = cversion;
                extra.pzxid = zxid;
            }
        });
    }

    /// The parent's part of a create that was replayed over an existing node.
    /// Source: `DataTree.java` setCversionPzxid.
    pub(super) fn set_cversion_pzxid(
        &mut self,
        path: &str,
        cversion: i32,
        zxid: Zxid,
    ) -> Result<(), ErrorCode> {
        let slot = self.slot(path).ok_or(ErrorCode::NO_NODE)?;
        self.raise_cversion(slot, cversion, zxid);
        Ok(())
    }

    /// Takes a node away, with whatever is below it: a prepared delete has nothing below, and a
    /// log that says otherwise must not leave nodes without a parent.
    /// Returns the access lists of node and parent, by which events are filtered.
    /// Source: `DataTree.java` deleteNode.
    ///
    /// # Errors
    /// `NO_NODE` without the parent, or without the node: the parent's pzxid is raised even then.
    pub(super) fn delete(&mut self, path: &str, zxid: Zxid) -> Result<DeletedAcls, ErrorCode> {
        let (parent_path, name) = split(path).ok_or(ErrorCode::NO_NODE)?;
        let parent = self.slot(parent_path).ok_or(ErrorCode::NO_NODE)?;
        self.change(parent, |node| {
            if zxid > node.extra().pzxid {
                node.extra_mut().pzxid = zxid;
            }
        });
        let slot = self.slot(path).ok_or(ErrorCode::NO_NODE)?;
        if slot == Slot::ROOT {
            return Err(ErrorCode::NO_NODE);
        }
        while let Some(leaf) = self.a_leaf_below(slot) {
            let leaf_path = NodeRef::new(self, leaf).path();
            self.detach(leaf, &leaf_path);
        }
        let acls = DeletedAcls {
            node: Arc::clone(self.acls.list(self.slab.get(slot).acl)),
            parent: Arc::clone(self.acls.list(self.slab.get(parent).acl)),
        };
        let bytes = self.detach(slot, path);
        if name == quota::LIMIT_NODE
            && let Some(subject) = quota::subject(parent_path)
        {
            self.quotas.remove(subject);
        }
        self.count(path, -1, -bytes);
        Ok(acls)
    }

    /// A node without children below `slot`, `None` where `slot` itself has none.
    fn a_leaf_below(&self, slot: Slot) -> Option<Slot> {
        let mut at = self.slab.get(slot).first_child().some()?;
        while let Some(child) = self.slab.get(at).first_child().some() {
            at = child;
        }
        Some(at)
    }

    /// Takes a leaf out of everything; returns its bytes of data.
    fn detach(&mut self, slot: Slot, path: &str) -> i64 {
        let parent = self.slab.get(slot).parent;
        self.unlink(parent, slot);
        self.index.remove(&self.slab, slot);
        let node = self.slab.remove(slot);
        self.digest = self.digest.wrapping_sub(digest::of_node(&node));
        self.data_size -= node_size(path, node.data());
        self.acls.release(node.acl);
        match EphemeralKind::of(node.extra().ephemeral_owner, self.extended_types) {
            EphemeralKind::Persistent => {}
            EphemeralKind::Session(session) => {
                if let Some(slots) = self.ephemerals.get_mut(&session) {
                    slots.remove(&slot);
                    if slots.is_empty() {
                        self.ephemerals.remove(&session);
                        self.ephemerals.give_room();
                    }
                }
            }
            EphemeralKind::Container => {
                self.containers.remove(&slot);
            }
            EphemeralKind::Ttl(_) => {
                self.ttls.remove(&slot);
            }
        }
        bytes_of(node.data())
    }

    /// Sets a node's data. Source: `DataTree.java` setData.
    ///
    /// # Errors
    /// `NO_NODE`.
    pub(super) fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        zxid: Zxid,
        time: WallMs,
    ) -> Result<(Slot, Stat), ErrorCode> {
        let slot = self.slot(path).ok_or(ErrorCode::NO_NODE)?;
        let before = bytes_of(self.slab.get(slot).data());
        let crc = if self.slab.get(slot).outside_digest() {
            0
        } else {
            digest::content_crc(canonical(path), data)
        };
        self.change(slot, |node| {
            node.set_data(data);
            node.content_crc = crc;
            node.mtime = time;
            node.mzxid = zxid;
            node.version = version;
        });
        let more = bytes_of(data) - before;
        self.data_size += more;
        let stat = NodeRef::new(self, slot).stat();
        self.count(path, 0, more);
        Ok((slot, stat))
    }

    /// Sets a node's access list. Source: `DataTree.java` setACL.
    ///
    /// # Errors
    /// `NO_NODE`.
    pub(super) fn set_acl(
        &mut self,
        path: &str,
        acl: &[Acl],
        version: i32,
    ) -> Result<Slot, ErrorCode> {
        let slot = self.slot(path).ok_or(ErrorCode::NO_NODE)?;
        // As Java does, the old list goes before the new one comes: a list that only this node
        // had gets a new number even where it is set again.
        self.acls.release(self.slab.get(slot).acl);
        let acl = self.acls.intern(acl);
        self.change(slot, |node| {
            node.acl = acl;
            node.extra_mut().aversion = version;
        });
        Ok(slot)
    }

    fn quota_after_create(&mut self, path: &str, parent: &str, name: &str, data: Option<&[u8]>) {
        if let Some(subject) = quota::subject(parent) {
            if name == quota::LIMIT_NODE {
                self.quotas.add(subject);
            }
            if name == quota::STAT_NODE {
                self.recount(subject);
            }
        }
        self.count(path, 1, bytes_of(data));
    }

    /// Adds to the counts of the quota that `path` falls under.
    /// Source: `DataTree.java` updateQuotaStat.
    fn count(&mut self, path: &str, nodes: i64, bytes: i64) {
        let Some(subject) = self.quotas.deepest(path) else {
            return;
        };
        let Some(slot) = self.slot(&quota::stat_path(subject)) else {
            return;
        };
        let data = self.slab.get(slot).data().unwrap_or_default();
        let Some(mut stats) = StatsTrack::parse(data) else {
            return;
        };
        stats.add(nodes, bytes);
        self.slab
            .get_mut(slot)
            .set_data(Some(stats.to_data().as_bytes()));
    }

    /// Counts a subtree anew. Source: `DataTree.java` updateQuotaForPath.
    fn recount(&mut self, subject: &str) {
        let Some(slot) = self.slot(&quota::stat_path(subject)) else {
            return;
        };
        let (mut nodes, mut bytes) = (0, 0);
        if let Some(top) = self.slot(subject) {
            for at in self.below(top) {
                nodes += 1;
                bytes += bytes_of(self.slab.get(at).data());
            }
        }
        let stats = StatsTrack::counted(nodes, bytes);
        self.slab
            .get_mut(slot)
            .set_data(Some(stats.to_data().as_bytes()));
    }

    /// Finds the limits of a tree that was just read. Source: `DataTree.java` setupQuota.
    pub(super) fn set_up_quotas(&mut self) {
        let Some(root) = self.slot(quota::QUOTA_ROOT) else {
            return;
        };
        let limits: Vec<String> = self
            .below(root)
            .filter(|slot| {
                let node = self.slab.get(*slot);
                node.name() == quota::LIMIT_NODE && node.num_children() == 0
            })
            .map(|slot| NodeRef::new(self, slot).path())
            .collect();
        for limit in limits {
            if let Some((parent, _)) = split(&limit)
                && let Some(subject) = quota::subject(parent)
            {
                self.recount(subject);
                self.quotas.add(subject);
            }
        }
    }

    /// A node and all below it, parents first.
    pub(super) fn below(&self, top: Slot) -> impl Iterator<Item = Slot> + '_ {
        walk(&self.slab, top).map(|(slot, _)| slot)
    }
}

/// The access lists that a deletion's events are filtered by.
#[derive(Debug)]
pub(super) struct DeletedAcls {
    pub node: Arc<[Acl]>,
    pub parent: Arc<[Acl]>,
}

/// A node and all below it, parents first, each with how many levels lie between it and the one
/// before: 1 for a child, 0 for a sibling, below 0 for a sibling of an ancestor. Without recursion,
/// for a tree may be as deep as a path is long.
pub(super) fn walk(slab: &Slab, top: Slot) -> impl Iterator<Item = (Slot, i32)> + '_ {
    let mut next = Some((top, 0));
    std::iter::from_fn(move || {
        let (slot, step) = next?;
        next = slab.get(slot).first_child().some().map(|child| (child, 1));
        if next.is_none() {
            let (mut at, mut up) = (slot, 0);
            while at != top {
                let node = slab.get(at);
                if let Some(sibling) = node.next.some() {
                    next = Some((sibling, up));
                    break;
                }
                at = node.parent;
                up -= 1;
            }
        }
        Some((slot, step))
    })
}

fn bytes_of(data: Option<&[u8]>) -> i64 {
    // A Vec never holds more than isize::MAX bytes.
    i64::try_from(data.map_or(0, <[u8]>::len)).unwrap_or(i64::MAX)
}

fn node_size(path: &str, data: Option<&[u8]>) -> i64 {
    i64::try_from(java_length(path)).unwrap_or(i64::MAX) + bytes_of(data)
}
