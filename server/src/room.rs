//! Room that tables take and no longer need: those of ten thousand sessions that are gone.

use std::hash::{BuildHasher, Hash};

/// A table with room for no more entries than this keeps it.
const KEPT: usize = 512;

/// How much room a table should keep, where it has far too much. A table that was shrunk is half
/// full, so that one that goes on as it is neither grows nor shrinks again soon.
pub(crate) fn too_much(used: usize, room: usize) -> Option<usize> {
    (room > KEPT && used < room / 8).then_some(used * 2)
}

/// Tables that give room back.
pub(crate) trait GiveRoom {
    /// Gives room back where little of it is used. To be called after entries were taken out: as a
    /// table has to lose seven of eight entries in between, it costs little for each of them.
    fn give_room(&mut self);
}

impl<K: Eq + Hash, V, S: BuildHasher> GiveRoom for std::collections::HashMap<K, V, S> {
    fn give_room(&mut self) {
        if let Some(room) = too_much(self.len(), self.capacity()) {
            self.shrink_to(room);
        }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> GiveRoom for hashbrown::HashMap<K, V, S> {
    fn give_room(&mut self) {
        if let Some(room) = too_much(self.len(), self.capacity()) {
            self.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_table_that_has_emptied_gives_its_room_back_and_few_times_on_the_way() {
        let mut table: HashMap<u32, u32> = (0..100_000).map(|n| (n, n)).collect();
        let mut shrunk = 0;
        for n in 0..100_000 {
            table.remove(&n);
            let before = table.capacity();
            table.give_room();
            shrunk += usize::from(table.capacity() < before);
        }
        let room = table.capacity();
        assert!(room <= KEPT && (1..=6).contains(&shrunk), "{shrunk} times");
    }
}
