//! Where nodes live: chunks that a frozen view shares until the tree changes one of them.

use super::node::{Node, Slot};
use std::sync::Arc;

/// Nodes per chunk: what is copied when a node changes whose chunk a frozen view still shares.
/// Small keeps the copy short, large keeps the list of chunks, which freezing copies, short.
const CHUNK_NODES: usize = 64;

type Chunk = Vec<Node>;

/// The nodes of a tree by slot.
#[derive(Clone, Debug)]
pub(crate) struct Slab {
    chunks: Vec<Arc<Chunk>>,
    free: Slot,
    live: usize,
}

impl Slab {
    pub(crate) fn new() -> Self {
        Slab {
            chunks: Vec::new(),
            free: Slot::NONE,
            live: 0,
        }
    }

    /// Nodes in it.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// The node at `slot`. Slots come from the index and from relatives only, and both let go of
    /// a slot before it is freed.
    pub(crate) fn get(&self, slot: Slot) -> &Node {
        let at = slot.0 as usize;
        &self.chunks[at / CHUNK_NODES][at % CHUNK_NODES]
    }

    /// The node at `slot`, its chunk copied first where a frozen view shares it.
    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut Node {
        let at = slot.0 as usize;
        &mut chunk_mut(&mut self.chunks[at / CHUNK_NODES])[at % CHUNK_NODES]
    }

    /// Whether another node fits; 2^32 - 1 do.
    pub(crate) fn is_full(&self) -> bool {
        self.free == Slot::NONE && self.chunks.len() >= (u32::MAX as usize) / CHUNK_NODES
    }

    /// Puts a node in. The caller has asked [`Slab::is_full`].
    pub(crate) fn insert(&mut self, node: Node) -> Slot {
        self.live += 1;
        if let Some(slot) = self.free.some() {
            let place = self.get_mut(slot);
            let next = place.next;
            *place = node;
            self.free = next;
            return slot;
        }
        if self.chunks.last().is_none_or(|c| c.len() == CHUNK_NODES) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK_NODES)));
        }
        let at = self.chunks.len() - 1;
        let chunk = chunk_mut(&mut self.chunks[at]);
        chunk.push(node);
        let slot = at * CHUNK_NODES + chunk.len() - 1;
        Slot(u32::try_from(slot).expect("the caller has asked is_full"))
    }

    /// Takes a node out.
    pub(crate) fn remove(&mut self, slot: Slot) -> Node {
        let vacant = Node::vacant(self.free);
        let node = std::mem::replace(self.get_mut(slot), vacant);
        debug_assert!(!node.is_vacant());
        self.free = slot;
        self.live -= 1;
        node
    }
}

/// As `Arc::make_mut`, but a copy keeps the room of a whole chunk.
fn chunk_mut(chunk: &mut Arc<Chunk>) -> &mut Chunk {
    if Arc::get_mut(chunk).is_none() {
        let mut copy = Vec::with_capacity(CHUNK_NODES);
        copy.extend(chunk.iter().cloned());
        *chunk = Arc::new(copy);
    }
    Arc::get_mut(chunk).expect("it is ours alone, checked or made on the line above")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::node::StatPersisted;

    fn node(name: &str) -> Node {
        Node::new(name, None, &StatPersisted::default(), 0, false)
    }

    #[test]
    fn slots_are_used_again_and_a_frozen_view_keeps_what_it_saw() {
        let mut slab = Slab::new();
        let slots: Vec<Slot> = (0..200)
            .map(|n| slab.insert(node(&n.to_string())))
            .collect();
        let frozen = slab.clone();
        assert_eq!(slab.remove(slots[70]).name(), "70");
        assert_eq!(slab.remove(slots[71]).name(), "71");
        assert_eq!(slab.insert(node("new")), slots[71]);
        slab.get_mut(slots[3]).set_data(Some(b"changed"));
        assert_eq!(slab.len(), 199);
        assert_eq!(slab.get(slots[71]).name(), "new");
        for (n, slot) in slots.iter().enumerate() {
            assert_eq!(frozen.get(*slot).name(), n.to_string());
            assert_eq!(frozen.get(*slot).data(), None);
        }
        // Chunks that nothing touched are still shared.
        assert!(Arc::ptr_eq(&slab.chunks[2], &frozen.chunks[2]));
        assert!(!Arc::ptr_eq(&slab.chunks[1], &frozen.chunks[1]));
    }
}
