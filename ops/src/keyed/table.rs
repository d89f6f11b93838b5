//! State for each key of one subtask, and the look ahead at what comes next.

mod entries;

use slotflow_runtime::{Key, KeyGroups, LOOK_AHEAD, SubtaskContext};

use super::segments::{Place, Segments};
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
    /// Apart, because an operator is moved at each step, and best small.
    ahead: Box<Ahead>,
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

/// Where the keys of the next records are: the next one last.
#[derive(Default)]
pub(crate) struct Ahead {
    places: [Place; LOOK_AHEAD],
    left: usize,
}

impl Ahead {
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Notes where the keys of records are that come behind those noted already.
    #[inline(always)]
    pub(crate) fn extend(&mut self, places: impl Iterator<Item = Place>) {
        // A local array first: it leaves the compiler free to keep the table's fields in registers.
        let mut noted = [Place::default(); LOOK_AHEAD];
        let mut count = 0;
        for (noted, place) in noted.iter_mut().rev().zip(places) {
            *noted = place;
            count += 1;
        }
        let count = count.min(LOOK_AHEAD - self.left);
        self.places.copy_within(..self.left, count);
        self.places[..count].copy_from_slice(&noted[LOOK_AHEAD - count..]);
        self.left += count;
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Place> {
        self.left = self.left.checked_sub(1)?;
        // Never more than there are: the remainder only spares a check.
        Some(self.places[self.left % LOOK_AHEAD])
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
        Table { parts, ahead: Box::default() }
    }

    /// Records whose keys have these hashes come next: as [`Operator::expect`](slotflow_runtime::Operator::expect).
    #[inline(always)]
    pub(crate) fn expect(&mut self, hashes: impl Iterator<Item = u64>, split: impl FnOnce() -> u32) {
        let part = self.parts.of(split);
        if self.ahead.is_empty() {
            part.settle();
        }
        if !part.is_large() {
            return;
        }
        self.ahead.extend(hashes.map(|hash| part.locate(hash)));
    }

    /// The value of `key`, which is `same` as a known one, or made a new one by `make`. `split` gives
    /// the record's source partition.
    #[inline(always)]
    pub(crate) fn value<Q: Key>(
        &mut self,
        key: Q,
        split: impl FnOnce() -> u32,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut V {
        let part = self.parts.of(split);
        match self.ahead.pop() {
            Some(place) => part.value_at(place, key, same, make),
            None => {
                part.settle();
                part.value(key, same, make)
            }
        }
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
    use slotflow_runtime::testing::subtask;

    use super::*;

    /// Counts each key, told of in two parts in front of each stretch of records, as an inlet does where its ring
    /// ends in the middle.
    fn count(table: &mut Table<u64, u64>, keys: impl Iterator<Item = u64>) {
        let keys: Vec<u64> = keys.collect();
        for (round, stretch) in keys.chunks(LOOK_AHEAD).enumerate() {
            let (first, second) = stretch.split_at(round % stretch.len());
            for part in [first, second] {
                table.expect(part.iter().map(Key::hash), || 0);
            }
            for key in stretch {
                *table.value(*key, || 0, |known, key| known == key, |key| (key, 0)) += 1;
            }
        }
    }

    #[test]
    fn a_large_table_looks_ahead_and_counts_as_a_small_one_does() {
        for keys in [10, 200_000] {
            let mut table = Table::new(&subtask(), Assigner::Hash);
            (0..3).for_each(|round| count(&mut table, (0..keys).map(|key| key * (round + 1) % keys)));
            let looked_ahead = matches!(&table.parts, Parts::Hash(segments) if segments.is_large());
            assert_eq!(looked_ahead, keys > 10);
            let mut counts: Vec<(u64, u64)> = table.drain().collect();
            counts.sort();
            let mut model = vec![0; keys as usize];
            (1..=3).for_each(|factor| (0..keys).for_each(|key| model[(key * factor % keys) as usize] += 1));
            assert!(counts.iter().all(|(key, count)| model[*key as usize] == *count));
            assert_eq!(counts.len() as u64, keys);
        }
    }
}
