//! From a full path to its node, without a second copy of any path.

use super::node::Slot;
use super::slab::Slab;
use crate::room::too_much;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Growing a table moves all of it at once; many small tables grow one at a time, so that no
/// write waits for a million entries.
const SHARDS: usize = 64;

/// Slots by the hash of their node's full path. The root is not in it.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    shards: Vec<HashTable<Slot>>,
    hasher: DefaultHashBuilder,
}

/// Thirty-two bits are kept with each node; this spreads them over the 64 that a table uses.
fn spread(path_hash: u32) -> u64 {
    u64::from(path_hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn shard(path_hash: u32) -> usize {
    path_hash as usize % SHARDS
}

impl Index {
    pub(crate) fn new() -> Self {
        Index {
            shards: vec![HashTable::new(); SHARDS],
            // Seeded at random: names come from clients, who must not choose collisions.
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(crate) fn hash(&self, path: &str) -> u32 {
        #[allow(clippy::cast_possible_truncation)] // Half of a hash is a hash.
        let hash = self.hasher.hash_one(path.as_bytes()) as u32;
        hash
    }

    /// The node with exactly this path.
    pub(crate) fn find(&self, slab: &Slab, path: &str) -> Option<Slot> {
        let hash = self.hash(path);
        self.shards[shard(hash)]
            .find(spread(hash), |slot| is_at(slab, *slot, hash, path))
            .copied()
    }

    /// Adds a node that is in the slab, its `path_hash` set, and not in the index.
    pub(crate) fn insert(&mut self, slab: &Slab, slot: Slot) {
        let hash = slab.get(slot).path_hash;
        self.shards[shard(hash)]
            .insert_unique(spread(hash), slot, |slot| spread(slab.get(*slot).path_hash));
    }

    /// Takes a node out, while it is still in the slab.
    pub(crate) fn remove(&mut self, slab: &Slab, slot: Slot) {
        let hash = slab.get(slot).path_hash;
        let shard = &mut self.shards[shard(hash)];
        if let Ok(entry) = shard.find_entry(spread(hash), |other| *other == slot) {
            entry.remove();
            if let Some(room) = too_much(shard.len(), shard.capacity()) {
                shard.shrink_to(room, |slot| spread(slab.get(*slot).path_hash));
            }
        }
    }
}

/// Whether the node at `slot` has this path: its names, from the last to the first.
fn is_at(slab: &Slab, slot: Slot, hash: u32, path: &str) -> bool {
    let mut node = slab.get(slot);
    if node.path_hash != hash {
        return false;
    }
    let mut rest = path.as_bytes();
    let mut at = slot;
    while at != Slot::ROOT {
        let Some(head) = rest.strip_suffix(node.name_bytes()) else {
            return false;
        };
        let Some(head) = head.strip_suffix(b"/") else {
            return false;
        };
        rest = head;
        at = node.parent;
        node = slab.get(at);
    }
    rest.is_empty()
}
