//! State for each key of one subtask.

mod entries;

use slotflow_runtime::{Hint, Key, KeyGroups, SubtaskContext};

use super::segments::Segments;
pub(crate) use entries::Round;

/// Which key group a record's state is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assigner {
    /// That of the key's hash.
    Hash,
    /// The partition its source read it from.
    SourcePartition,
}

impl Assigner {
    /// The hashes of a subtask's keys: the first one, and how many more follow it.
    pub(crate) fn hashes_of(self, subtask: &SubtaskContext) -> (u64, u64) {
        match self {
            Assigner::Hash => {
                KeyGroups::new(subtask.max_parallelism, subtask.parallelism).hashes_of(subtask.index)
            }
            Assigner::SourcePartition => (0, u64::MAX),
        }
    }
}

/// What [`Table::drain`] takes out.
pub(crate) type Drain<K, V> = std::iter::Flatten<std::vec::IntoIter<Segments<K, V>>>;

/// The values of the keys of one subtask.
pub(crate) struct Table<K, V> {
    parts: Parts<K, V>,
}

/// Where the values are, by what assigns the key group.
enum Parts<K, V> {
    Hash(Segments<K, V>),
    /// One for each key group.
    SourcePartition(Vec<Segments<K, V>>),
}

impl<K, V> Parts<K, V> {
    #[inline(always)]
    fn of(&mut self, split: impl FnOnce() -> u32) -> &mut Segments<K, V> {
        match self {
            Parts::Hash(segments) => segments,
            Parts::SourcePartition(groups) => {
                let group = split() as usize % groups.len();
                &mut groups[group]
            }
        }
    }
}

impl<K: Key, V> Table<K, V> {
    /// An empty table for the keys of `subtask`.
    pub(crate) fn new(subtask: &SubtaskContext, assigner: Assigner) -> Self {
        let groups = subtask.max_parallelism;
        let parts = match assigner {
            Assigner::Hash => {
                let owners = KeyGroups::new(groups, subtask.parallelism);
                Parts::Hash(Segments::new(owners.hashes_of(subtask.index)))
            }
            Assigner::SourcePartition => {
                Parts::SourcePartition((0..groups).map(|_| Segments::new((0, u64::MAX))).collect())
            }
        };
        Table { parts }
    }

    /// Notes where the keys of these hashes are to be looked for, as
    /// [`Operator::hint`](slotflow_runtime::Operator::hint) does. `split` gives the records' source partition.
    #[inline(always)]
    pub(crate) fn hint(
        &mut self,
        hashes: impl Iterator<Item = u64>,
        hints: &mut [Hint],
        split: impl FnOnce() -> u32,
    ) {
        self.parts.of(split).hint(hashes, hints);
    }

    /// The entry of `key`, of which `hint` was given, if it was, and which is `same` as a known one or made a new
    /// one by `make`.
    #[inline(always)]
    pub(crate) fn entry<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        split: impl FnOnce() -> u32,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut (K, V) {
        self.parts.of(split).entry(hint, key, same, make)
    }

    /// Takes all keys and values out, one key group after the other.
    pub(crate) fn drain(&mut self) -> Drain<K, V> {
        let nothing = Parts::SourcePartition(Vec::new());
        let parts = match std::mem::replace(&mut self.parts, nothing) {
            Parts::Hash(segments) => vec![segments],
            Parts::SourcePartition(groups) => groups,
        };
        parts.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::LOOK_AHEAD;
    use slotflow_runtime::testing::subtask;

    use super::*;

    /// Counts each key, told of in two parts in front of each stretch of records, as an inlet does where its ring
    /// ends in the middle.
    fn count(table: &mut Table<u64, u64>, keys: impl Iterator<Item = u64>) {
        let keys: Vec<u64> = keys.collect();
        for (round, stretch) in keys.chunks(LOOK_AHEAD).enumerate() {
            let (first, second) = stretch.split_at(round % stretch.len());
            let mut hints = [Hint::default(); LOOK_AHEAD];
            let (before, behind) = hints.split_at_mut(first.len());
            for (part, hints) in [(first, before), (second, behind)] {
                table.hint(part.iter().map(Key::hash), hints, || 0);
            }
            for (key, hint) in stretch.iter().zip(hints) {
                table.entry(Some(hint), *key, || 0, |known, key| known == key, |key| (key, 0)).1 += 1;
            }
        }
    }

    #[test]
    fn a_large_table_counts_as_a_small_one_does() {
        for keys in [10, 20_000, 1_000_000] {
            let mut table = Table::new(&subtask(), Assigner::Hash);
            (0..3).for_each(|round| count(&mut table, (0..keys).map(|key| key * (round + 1) % keys)));
            let mut counts: Vec<(u64, u64)> = table.drain().collect();
            counts.sort();
            let mut model = vec![0; keys as usize];
            (1..=3).for_each(|factor| (0..keys).for_each(|key| model[(key * factor % keys) as usize] += 1));
            assert!(counts.iter().all(|(key, count)| model[*key as usize] == *count));
            assert_eq!(counts.len() as u64, keys);
        }
    }
}
