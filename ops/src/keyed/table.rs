//! State for each key of one subtask.

mod entries;

use std::marker::PhantomData;

use slotflow_runtime::segments::Segments;
use slotflow_runtime::values::Values;
use slotflow_runtime::{Hint, Key, KeyGroups, StateSize, SubtaskContext};

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

/// What assigns a selector's keys to key groups, as far as the compiler is told.
pub trait Assigned: 'static {
    /// Whether it is the key's hash in any case, so that no record has to ask.
    const BY_HASH: bool;
}

/// The key's hash.
pub struct ByHash;

/// What the stream was told when it was keyed: the hash, or the source partition.
pub struct AsAssigned;

impl Assigned for ByHash {
    const BY_HASH: bool = true;
}

impl Assigned for AsAssigned {
    const BY_HASH: bool = false;
}

/// What a table is made of: one for all keys, or one for each key group.
pub(crate) trait Part {
    type Key: Key;
    type Value;
    /// Nothing yet, for the keys of these hashes: the first one, and how many more follow it.
    fn new(hashes: (u64, u64)) -> Self;
    /// The entry of `key`, of which `hint` was given, if it was, and which is `same` as a known one or made a new
    /// one by `make`.
    fn entry<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        same: impl Fn(&Self::Key, &Q) -> bool,
        make: impl FnOnce(Q) -> (Self::Key, Self::Value),
    ) -> &mut (Self::Key, Self::Value);
    /// How many keys there are, and what all of it takes.
    fn size(&self) -> StateSize;
}

macro_rules! parts {
    ($($part:ident),*) => {$(
        impl<K: Key, V> Part for $part<K, V> {
            type Key = K;
            type Value = V;
            fn new(hashes: (u64, u64)) -> Self {
                $part::new(hashes)
            }
            #[inline(always)]
            fn entry<Q: Key>(
                &mut self,
                hint: Option<Hint>,
                key: Q,
                same: impl Fn(&K, &Q) -> bool,
                make: impl FnOnce(Q) -> (K, V),
            ) -> &mut (K, V) {
                $part::entry(self, hint, key, same, make)
            }
            fn size(&self) -> StateSize {
                $part::size(self)
            }
        }
    )*};
}
parts!(Segments, Values);

/// What [`Table::drain`] takes out.
pub(crate) type Drain<K, V> = std::iter::Flatten<std::vec::IntoIter<Values<K, V>>>;

/// Values of the keys of one subtask, which stay.
pub(crate) type ValueTable<K, V, A> = Table<Values<K, V>, A>;

/// What the keys of one subtask have.
pub(crate) struct Table<P, A = AsAssigned> {
    /// What those of all key groups have, where keys are assigned by their hash.
    all: P,
    /// What those of each key group have, where keys are assigned by their source partition; else none.
    groups: Vec<P>,
    assigned: PhantomData<A>,
}

impl<P, A: Assigned> Table<P, A> {
    #[inline(always)]
    fn of(&mut self, split: impl FnOnce() -> u32) -> &mut P {
        if A::BY_HASH || self.groups.is_empty() {
            return &mut self.all;
        }
        let group = split() as usize % self.groups.len();
        &mut self.groups[group]
    }

    /// All parts, of which the keys of some key groups are in each.
    fn parts(&self) -> &[P] {
        if self.groups.is_empty() { std::slice::from_ref(&self.all) } else { &self.groups }
    }
}

impl<P: Part, A: Assigned> Table<P, A> {
    /// An empty table for the keys of `subtask`.
    pub(crate) fn new(subtask: &SubtaskContext, assigner: Assigner) -> Self {
        debug_assert!(!A::BY_HASH || assigner == Assigner::Hash);
        let groups = subtask.max_parallelism;
        match assigner {
            Assigner::Hash => {
                let hashes = KeyGroups::new(groups, subtask.parallelism).hashes_of(subtask.index);
                Table { all: P::new(hashes), groups: Vec::new(), assigned: PhantomData }
            }
            Assigner::SourcePartition => {
                let all = || P::new((0, u64::MAX));
                let groups = (0..groups).map(|_| all()).collect();
                Table { all: all(), groups, assigned: PhantomData }
            }
        }
    }

    /// The entry of `key`, of which `hint` was given, if it was, and which is `same` as a known one or made a new
    /// one by `make`.
    #[inline(always)]
    pub(crate) fn entry<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        split: impl FnOnce() -> u32,
        same: impl Fn(&P::Key, &Q) -> bool,
        make: impl FnOnce(Q) -> (P::Key, P::Value),
    ) -> &mut (P::Key, P::Value) {
        self.of(split).entry(hint, key, same, make)
    }

    /// How many keys there are, and what all of it takes.
    pub(crate) fn size(&self) -> StateSize {
        self.parts().iter().map(P::size).sum()
    }
}

impl<K: Key, V, A: Assigned> ValueTable<K, V, A> {
    /// Prepares for these keys, which have numbers from `first` on, as
    /// [`Operator::hint`](slotflow_runtime::Operator::hint) does. `split` gives the records' source partition.
    #[inline(always)]
    pub(crate) fn hint<Q: Key>(
        &mut self,
        keys: impl Iterator<Item = Q>,
        first: Hint,
        split: impl FnOnce() -> u32,
    ) {
        self.of(split).hint(keys, first);
    }

    /// Takes all keys and values out, in no order.
    pub(crate) fn drain(&mut self) -> Drain<K, V> {
        let Table { all, groups, .. } = self;
        let all = std::mem::replace(all, Values::new((0, u64::MAX)));
        let parts: Vec<_> = std::iter::once(all).chain(std::mem::take(groups)).collect();
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
    fn count(table: &mut ValueTable<u64, u64, AsAssigned>, keys: impl Iterator<Item = u64>) {
        let keys: Vec<u64> = keys.collect();
        for (round, stretch) in keys.chunks(LOOK_AHEAD).enumerate() {
            let (first, second) = stretch.split_at(round % stretch.len());
            table.hint(first.iter(), Hint(0), || 0);
            table.hint(second.iter(), Hint(first.len()), || 0);
            for (number, key) in stretch.iter().enumerate() {
                let (same, make) = (|known: &u64, key: &u64| known == key, |key| (key, 0));
                table.entry(Some(Hint(number)), *key, || 0, same, make).1 += 1;
            }
        }
    }

    #[test]
    fn a_large_table_counts_as_a_small_one_does() {
        // Near each other, and as far as can be.
        for (keys, apart) in [10, 20_000, 1_000_000].into_iter().flat_map(|keys| [(keys, 1), (keys, 1 << 40)])
        {
            let mut table = ValueTable::new(&subtask(), Assigner::Hash);
            (0..3).for_each(|round| count(&mut table, (0..keys).map(|key| key * (round + 1) % keys * apart)));
            let mut counts: Vec<(u64, u64)> = table.drain().collect();
            counts.sort();
            let mut model = vec![0; keys as usize];
            (1..=3).for_each(|factor| (0..keys).for_each(|key| model[(key * factor % keys) as usize] += 1));
            assert!(counts.iter().all(|(key, count)| model[(*key / apart) as usize] == *count));
            assert_eq!(counts.len() as u64, keys);
        }
    }
}
