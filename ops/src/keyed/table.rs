//! State for each key: one hash table for each key group.
//!
//! One table of ten million keys stalls its slot for up to a second when it grows; a thousand small
//! ones half a millisecond each. And a group is what moves when parallelism changes.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use slotflow_runtime::{Key, key_group};

/// Which group a record's state is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assigner {
    /// That of the key's hash.
    Hash,
    /// The partition its source read it from.
    SourcePartition,
}

/// What [`Table::drain`] takes out.
pub(crate) type Drain<K, V> = std::iter::Flatten<std::vec::IntoIter<HashTable<(K, V)>>>;

/// The values of the keys of one subtask.
pub(crate) struct Table<K, V> {
    groups: Vec<HashTable<(K, V)>>,
    assigner: Assigner,
}

impl<K: Key, V> Table<K, V> {
    /// An empty table of `groups` key groups.
    pub(crate) fn new(groups: usize, assigner: Assigner) -> Self {
        Table { groups: (0..groups).map(|_| HashTable::new()).collect(), assigner }
    }

    /// The value of `key`, which is `same` as a known one, or made a new one by `make`. `split` is the
    /// record's source partition.
    #[inline(always)]
    pub(crate) fn value<Q: Key>(
        &mut self,
        key: Q,
        split: u32,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut V {
        let hash = key.hash();
        let group = match self.assigner {
            Assigner::Hash => key_group(hash, self.groups.len()),
            Assigner::SourcePartition => split as usize % self.groups.len(),
        };
        let table = &mut self.groups[group];
        let entry =
            table.entry(spread(hash), |(known, _)| same(known, &key), |(known, _)| spread(known.hash()));
        let occupied = match entry {
            Entry::Occupied(occupied) => occupied,
            Entry::Vacant(vacant) => vacant.insert(make(key)),
        };
        &mut occupied.into_mut().1
    }

    /// Takes all keys and values out, one table after the other.
    pub(crate) fn drain(&mut self) -> Drain<K, V> {
        std::mem::take(&mut self.groups).into_iter().flatten()
    }
}

/// The group was chosen by the hash's high bits, which are therefore alike within a table; the table
/// tells entries apart by its high bits, so others are mixed in.
#[inline(always)]
fn spread(hash: u64) -> u64 {
    hash ^ (hash << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_own_value() {
        let mut table = Table::new(16, Assigner::Hash);
        for round in 0..3 {
            for key in 0..10_000u64 {
                let value = table.value(key, 0, u64::eq, |key| (key, key * 10));
                assert_eq!(*value, key * 10 + round);
                *value += 1;
            }
        }
    }

    #[test]
    fn a_source_partition_is_a_group() {
        let mut table = Table::new(4, Assigner::SourcePartition);
        for key in 0..100u64 {
            table.value(key, 2, u64::eq, |key| (key, ()));
        }
        let sizes: Vec<usize> = table.groups.iter().map(HashTable::len).collect();
        assert_eq!(sizes, [0, 0, 100, 0]);
    }
}
