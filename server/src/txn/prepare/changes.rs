//! Nodes as they will be once everything proposed so far is applied.
//! Source: `ZooKeeperServer.java` outstandingChanges, ChangeRecord.

use crate::ids::Zxid;
use crate::proto::Acl;
use crate::tree::{StatPersisted, Tree, content_crc, is_outside, node_digest};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// What preparing needs to know of a node.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub stat: StatPersisted,
    pub num_children: u32,
    pub acl: Arc<[Acl]>,
    /// Bytes of data, for quotas.
    pub data_length: usize,
    content_crc: u32,
    outside_digest: bool,
}

impl State {
    pub(super) fn created(
        path: &str,
        data: Option<&[u8]>,
        stat: StatPersisted,
        acl: Arc<[Acl]>,
    ) -> Self {
        let mut state = State {
            stat,
            num_children: 0,
            acl,
            data_length: 0,
            content_crc: 0,
            outside_digest: is_outside(path),
        };
        state.set_data(path, data);
        state
    }

    pub(super) fn set_data(&mut self, path: &str, data: Option<&[u8]>) {
        self.data_length = data.map_or(0, <[u8]>::len);
        if !self.outside_digest {
            self.content_crc = content_crc(key(path), data);
        }
    }

    fn digest(&self) -> i64 {
        if self.outside_digest {
            0
        } else {
            node_digest(self.content_crc, &self.stat)
        }
    }
}

/// One node's change by one transaction.
#[derive(Debug)]
struct Change {
    zxid: Zxid,
    path: Arc<str>,
    /// `None`: the node will be gone.
    state: Option<State>,
    /// The tree's digest after this change and all before it.
    tree_digest: i64,
    /// The change that this one hides, by number, to be found again after a rollback.
    hides: Option<u64>,
}

/// All changes proposed and not applied, oldest first.
#[derive(Debug, Default)]
pub(super) struct Changes {
    queue: VecDeque<Change>,
    /// The number of the queue's first change; numbers only go up.
    first: u64,
    latest: HashMap<Arc<str>, u64>,
}

/// "" and "/" are one node. Java keeps changes of the two apart, so that there a setData on the
/// root and a create below it, prepared together, give a wrong digest.
fn key(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

impl Changes {
    /// The node as it will be, `None` where there will be none.
    pub(super) fn state(&self, tree: &Tree, path: &str) -> Option<State> {
        if let Some(number) = self.latest.get(key(path)) {
            return self.change(*number).and_then(|c| c.state.clone());
        }
        let node = tree.get(path)?;
        Some(State {
            stat: node.stat_persisted(),
            // A tree has fewer than 2^32 nodes.
            num_children: u32::try_from(node.num_children()).unwrap_or(u32::MAX),
            acl: Arc::clone(node.acl_shared()),
            data_length: node.data().map_or(0, <[u8]>::len),
            content_crc: node.content_crc(),
            outside_digest: is_outside(path),
        })
    }

    /// Whether there will be a node.
    pub(super) fn exists(&self, tree: &Tree, path: &str) -> bool {
        match self.latest.get(key(path)) {
            Some(number) => self.change(*number).is_some_and(|c| c.state.is_some()),
            None => tree.get(path).is_some(),
        }
    }

    fn change(&self, number: u64) -> Option<&Change> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.queue.get(at)
    }

    /// The tree's digest as it will be.
    pub(super) fn digest(&self, tree: &Tree) -> i64 {
        match self.queue.back() {
            Some(change) => change.tree_digest,
            None => tree.digest(),
        }
    }

    /// Notes that `zxid` turns a node from `before` into `after`.
    pub(super) fn push(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        before: Option<&State>,
        after: Option<State>,
    ) {
        let old = before.map_or(0, State::digest);
        let new = after.as_ref().map_or(0, State::digest);
        let tree_digest = self.digest(tree).wrapping_sub(old).wrapping_add(new);
        let path: Arc<str> = key(path).into();
        let number = self.first + self.queue.len() as u64;
        let hides = self.latest.insert(Arc::clone(&path), number);
        self.queue.push_back(Change {
            zxid,
            path,
            state: after,
            tree_digest,
            hides,
        });
    }

    /// Takes back all changes of a multi that was refused.
    pub(super) fn roll_back(&mut self, zxid: Zxid) {
        while let Some(change) = self.queue.pop_back_if(|change| change.zxid == zxid) {
            match change.hides.filter(|number| *number >= self.first) {
                Some(number) => self.latest.insert(change.path, number),
                None => self.latest.remove(&change.path),
            };
        }
    }

    /// Forgets what has been applied up to `zxid`.
    pub(super) fn forget(&mut self, zxid: Zxid) {
        while let Some(change) = self.queue.pop_front_if(|change| change.zxid <= zxid) {
            if self.latest.get(&change.path) == Some(&self.first) {
                self.latest.remove(&change.path);
            }
            self.first += 1;
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.first += self.queue.len() as u64;
        self.queue.clear();
        self.latest.clear();
    }

    /// Paths that will be there or gone, in order, with their owners.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<&State>)> {
        let changes = self.queue.iter();
        changes.map(|change| (&*change.path, change.state.as_ref()))
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
