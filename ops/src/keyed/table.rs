//! State for each key of one subtask, and the look ahead at what comes next.

use slotflow_runtime::{Key, KeyGroups, LOOK_AHEAD, SubtaskContext};

use super::segments::{Place, Segments};

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
    fn of(&mut self, split: u32) -> &mut Segments<K, V> {
        match self {
            Parts::Hash(segments) => segments,
            Parts::SourcePartition(groups) => {
                let group = split as usize % groups.len();
                &mut groups[group]
            }
        }
    }
}

/// Where the keys of the next records are, in their order.
#[derive(Default)]
pub(crate) struct Ahead {
    places: [Place; LOOK_AHEAD],
    known: usize,
    used: usize,
}

impl Ahead {
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.used == self.known
    }

    /// Notes one place after the other. A local array first: it leaves the compiler free to keep the table's
    /// fields in registers.
    #[inline(always)]
    pub(crate) fn extend(&mut self, places: impl Iterator<Item = Place>) {
        if self.is_empty() {
            (self.used, self.known) = (0, 0);
        }
        let mut noted = [Place::default(); LOOK_AHEAD];
        let mut count = 0;
        for (noted, place) in noted.iter_mut().zip(places) {
            *noted = place;
            count += 1;
        }
        let count = count.min(LOOK_AHEAD - self.known);
        self.places[self.known..self.known + count].copy_from_slice(&noted[..count]);
        self.known += count;
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Place> {
        if self.is_empty() {
            return None;
        }
        // Never more than there are: the remainder only spares a check.
        let place = self.places[self.used % LOOK_AHEAD];
        self.used += 1;
        Some(place)
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
    pub(crate) fn expect(&mut self, hashes: impl Iterator<Item = u64>, split: u32) {
        let part = self.parts.of(split);
        if self.ahead.is_empty() {
            part.settle();
        }
        self.ahead.extend(hashes.map(|hash| part.locate(hash)));
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
