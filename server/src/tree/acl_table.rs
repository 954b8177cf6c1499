//! Access lists, each kept once, with the numbers that they have in snapshots.
//! Source: `ReferenceCountedACLCache.java`.

use crate::proto::{Acl, Id, Perms};
use std::collections::HashMap;
use std::sync::Arc;

/// The number of "anyone may do all" on disk; it is never in the map there.
/// Source: `ReferenceCountedACLCache.java` OPEN_UNSAFE_ACL_ID.
pub(crate) const OPEN_UNSAFE_ID: i64 = -1;
/// Its place in the table.
pub(crate) const OPEN_UNSAFE: u32 = 0;

/// Anyone may do all. Source: `ZooDefs.java` Ids.OPEN_ACL_UNSAFE.
#[must_use]
pub fn open_unsafe() -> Vec<Acl> {
    vec![Acl {
        perms: Perms::ALL,
        id: Id::new("world", "anyone"),
    }]
}

/// Anyone may read. Source: `ZooDefs.java` Ids.READ_ACL_UNSAFE.
#[must_use]
pub fn read_unsafe() -> Vec<Acl> {
    vec![Acl {
        perms: Perms::READ,
        id: Id::new("world", "anyone"),
    }]
}

/// A list and its number.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub id: i64,
    pub list: Arc<[Acl]>,
    /// A snapshot named the number but did not hold the list. Nobody passes such a list, and it
    /// is not written again; replaying the log puts the true one in its place.
    pub missing: bool,
}

/// All lists in use. A frozen view shares the entries until one comes or goes; the counts of
/// uses, which change with every node, are not part of it.
#[derive(Clone, Debug)]
pub(crate) struct AclTable {
    entries: Arc<Vec<Option<Entry>>>,
    uses: Vec<u64>,
    by_list: HashMap<Arc<[Acl]>, u32>,
    by_id: HashMap<i64, u32>,
    free: Vec<u32>,
    last_id: i64,
}

impl AclTable {
    pub(crate) fn new() -> Self {
        let open = Entry {
            id: OPEN_UNSAFE_ID,
            list: open_unsafe().into(),
            missing: false,
        };
        AclTable {
            entries: Arc::new(vec![Some(open)]),
            // The open list is never let go of.
            uses: vec![1],
            by_list: HashMap::new(),
            by_id: HashMap::from([(OPEN_UNSAFE_ID, OPEN_UNSAFE)]),
            free: Vec::new(),
            last_id: 0,
        }
    }

    /// Lists with a number of their own, as Java counts them.
    pub(crate) fn len(&self) -> usize {
        self.by_list.len()
    }

    /// The list at a place.
    pub(crate) fn list(&self, place: u32) -> &Arc<[Acl]> {
        let entry = self.entries.get(place as usize).and_then(Option::as_ref);
        &entry
            .expect("a node's place is in use as long as the node")
            .list
    }

    /// The number of the list at a place.
    #[cfg(test)]
    pub(crate) fn id(&self, place: u32) -> i64 {
        let entry = self.entries.get(place as usize).and_then(Option::as_ref);
        entry.map_or(OPEN_UNSAFE_ID, |entry| entry.id)
    }

    /// The place of a list for one more node, with the next number where it is new.
    pub(crate) fn intern(&mut self, list: &[Acl]) -> u32 {
        let place = if let Some(place) = self.by_list.get(list) {
            *place
        } else {
            self.last_id = self.last_id.wrapping_add(1);
            self.put(self.last_id, list.into(), false)
        };
        self.add_use(place);
        place
    }

    /// Adds a list under the number that it has in a snapshot; no node uses it yet.
    pub(crate) fn load(&mut self, id: i64, list: Vec<Acl>) {
        self.last_id = self.last_id.max(id);
        if !self.by_id.contains_key(&id) {
            self.put(id, list.into(), false);
        }
    }

    /// The place of a snapshot's number for one more node.
    pub(crate) fn use_id(&mut self, id: i64) -> u32 {
        let place = match self.by_id.get(&id) {
            Some(place) => *place,
            None => {
                let nobody = Acl {
                    perms: Perms(0),
                    id: Id::new("", ""),
                };
                self.put(id, Arc::from([nobody]), true)
            }
        };
        self.add_use(place);
        place
    }

    fn put(&mut self, id: i64, list: Arc<[Acl]>, missing: bool) -> u32 {
        let entries = Arc::make_mut(&mut self.entries);
        let place = if let Some(place) = self.free.pop() {
            place
        } else {
            entries.push(None);
            self.uses.push(0);
            u32::try_from(entries.len() - 1).expect("there are fewer lists than nodes")
        };
        if !missing {
            self.by_list.insert(Arc::clone(&list), place);
        }
        self.by_id.insert(id, place);
        entries[place as usize] = Some(Entry { id, list, missing });
        self.uses[place as usize] = 0;
        place
    }

    fn add_use(&mut self, place: u32) {
        if place != OPEN_UNSAFE {
            self.uses[place as usize] += 1;
        }
    }

    /// One node fewer has the list; the last one takes it along.
    pub(crate) fn release(&mut self, place: u32) {
        if place == OPEN_UNSAFE {
            return;
        }
        let uses = &mut self.uses[place as usize];
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            self.drop_entry(place);
        }
    }

    /// Forgets the lists that no node of a snapshot has. Source: purgeUnused.
    pub(crate) fn purge_unused(&mut self) {
        for place in 1..self.uses.len() {
            if self.uses[place] == 0 && self.entries[place].is_some() {
                self.drop_entry(u32::try_from(place).expect("places are u32"));
            }
        }
    }

    fn drop_entry(&mut self, place: u32) {
        let entries = Arc::make_mut(&mut self.entries);
        if let Some(entry) = entries[place as usize].take() {
            if self.by_list.get(&entry.list) == Some(&place) {
                self.by_list.remove(&entry.list);
            }
            self.by_id.remove(&entry.id);
            self.free.push(place);
        }
    }

    /// The entries as they are now.
    pub(crate) fn freeze(&self) -> Arc<Vec<Option<Entry>>> {
        Arc::clone(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str) -> Vec<Acl> {
        vec![Acl {
            perms: Perms::ALL,
            id: Id::new("digest", name),
        }]
    }

    #[test]
    fn numbers_are_given_in_order_and_never_twice() {
        let mut table = AclTable::new();
        let a = table.intern(&list("a"));
        let b = table.intern(&list("b"));
        assert_eq!((table.id(a), table.id(b)), (1, 2));
        assert_eq!(table.intern(&list("a")), a);
        table.release(a);
        table.release(a);
        let again = table.intern(&list("a"));
        assert_eq!(table.id(again), 3);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_list_that_a_snapshot_lacks_lets_nobody_in() {
        let mut table = AclTable::new();
        table.load(9, list("a"));
        let known = table.use_id(9);
        let unknown = table.use_id(4);
        assert_eq!(table.list(known)[..], list("a")[..]);
        assert_eq!(table.list(unknown)[0].perms, Perms(0));
        assert_eq!(table.use_id(OPEN_UNSAFE_ID), OPEN_UNSAFE);
        let place = table.intern(&list("c"));
        assert_eq!(table.id(place), 10);
    }
}
