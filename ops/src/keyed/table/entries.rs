//! Entries with their keys, for state that outlives a record: process functions.

use slotflow_runtime::segments::Segments;
use slotflow_runtime::{Hint, Key, key_group};

use super::{Assigned, Table};
use crate::keyed::Cursor;

/// Where a round over all entries is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Round {
    part: usize,
    cursor: Cursor,
}

impl Round {
    /// Of a table by source partition, where it is; whatever it is otherwise.
    pub(crate) fn split(self) -> u32 {
        self.part as u32
    }
}

impl<K: Key, V, A: Assigned> Table<Segments<K, V>, A> {
    /// Notes where the keys of these hashes are to be looked for, under numbers from `first` on, as
    /// [`Operator::hint`](slotflow_runtime::Operator::hint) does. `split` gives the records' source partition.
    #[inline(always)]
    pub(crate) fn hint_hashes(
        &mut self,
        hashes: impl Iterator<Item = u64>,
        first: Hint,
        split: impl FnOnce() -> u32,
    ) {
        self.of(split).hint(hashes, first);
    }

    /// The entry among those of `hash` that `is` the one.
    pub(crate) fn find(
        &mut self,
        hash: u64,
        split: u32,
        is: impl Fn(&(K, V)) -> bool,
    ) -> Option<&mut (K, V)> {
        self.of(|| split).find_by(hash, is)
    }

    /// Takes out the entry among those of `hash` that `is` the one.
    pub(crate) fn remove(&mut self, hash: u64, split: u32, is: impl Fn(&(K, V)) -> bool) -> Option<(K, V)> {
        self.of(|| split).remove_by(hash, is)
    }

    /// Looks at so many slots for entries, goes on where `round` is, and takes out what `keep` does not want.
    /// After the last slot the round begins again, and this says `false`.
    pub(crate) fn sweep(
        &mut self,
        round: &mut Round,
        slots: usize,
        keep: impl FnMut(&mut (K, V)) -> bool,
    ) -> bool {
        let parts = self.parts().len();
        let part = self.of(|| round.part as u32);
        if !part.sweep(&mut round.cursor, slots, keep) {
            *round = Round { part: (round.part + 1) % parts, cursor: Cursor::default() };
            return round.part > 0;
        }
        true
    }

    /// The entries of key group `group` among `groups`.
    pub(crate) fn group(&self, group: usize, groups: usize) -> impl Iterator<Item = &(K, V)> {
        let first_of = |group: usize| ((group as u128) << 64).div_ceil(groups as u128);
        let (first, last) = (first_of(group) as u64, (first_of(group + 1) - 1) as u64);
        let by_hash = self.groups.is_empty();
        let part = if by_hash { &self.all } else { &self.groups[group] };
        let (first, last) = if by_hash { (first, last) } else { (0, u64::MAX) };
        let within = move |entry: &&(K, V)| !by_hash || key_group(entry.0.hash(), groups) == group;
        part.stretch(first, last).filter(within)
    }
}
