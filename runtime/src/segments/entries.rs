//! Entries with their keys: found, taken out, looked through a few at a time.

use super::slots::Slots;
use super::{Cursor, Key, Segments, shrink};
use crate::StateSize;

impl<K: Key, V> Segments<K, V> {
    /// The entry among those of `hash` that `is` the one.
    pub fn find_by(&mut self, hash: u64, is: impl Fn(&(K, V)) -> bool) -> Option<&mut (K, V)> {
        let segment = self.directory.segment_of(hash);
        let slot = self.segments.all()[segment].find(hash, is)?;
        self.segments.at_mut(segment, slot)
    }

    /// Takes out the entry among those of `hash` that `is` the one.
    pub fn remove_by(&mut self, hash: u64, is: impl Fn(&(K, V)) -> bool) -> Option<(K, V)> {
        let segment = self.directory.segment_of(hash);
        let slot = self.segments.all()[segment].find(hash, is)?;
        self.segments.take(segment, slot)
    }

    /// As [`remove_by`](Segments::remove_by), where others will follow and none come back: what nearly all entries have
    /// left is made smaller at once.
    pub(crate) fn leave_by(&mut self, hash: u64, is: impl Fn(&(K, V)) -> bool) -> Option<(K, V)> {
        let entry = self.remove_by(hash, is)?;
        let segment = self.directory.segment_of(hash);
        if self.segments.all()[segment].is_deserted() {
            let stretches = self.directory.stretches_of(hash);
            shrink(&mut self.directory, &mut self.segments, (segment, stretches));
        }
        Some(entry)
    }

    /// Looks at so many slots from `cursor` on, whether there is an entry or not, and takes out what `keep` does
    /// not want. Says whether there are more; a segment that is split meanwhile is seen at the next round. Segments
    /// that nearly all entries have left are made smaller behind it: here and not whenever one goes, since most that go
    /// are followed by others, for which the memory is there.
    pub fn sweep(
        &mut self,
        cursor: &mut Cursor,
        slots: usize,
        mut keep: impl FnMut(&mut (K, V)) -> bool,
    ) -> bool {
        self.segments.forget();
        for _ in 0..slots {
            let Some(segment) = self.segments.all().get(cursor.segment) else { return false };
            if cursor.slot >= segment.slots() {
                if segment.is_deserted() {
                    let stretches = self.directory.stretches_with(cursor.segment);
                    shrink(&mut self.directory, &mut self.segments, (cursor.segment, stretches));
                }
                *cursor = Cursor { segment: cursor.segment + 1, slot: 0 };
                continue;
            }
            let entry = self.segments.at_mut(cursor.segment, cursor.slot);
            if entry.is_some_and(|entry| !keep(entry)) {
                drop(self.segments.take(cursor.segment, cursor.slot));
            }
            cursor.slot += 1;
        }
        true
    }

    /// How many keys there are, and what the table takes, in bytes. Costs a look at each segment.
    pub fn size(&self) -> StateSize {
        let segments = self.segments.all();
        let keys = segments.iter().map(Slots::len).sum();
        StateSize { keys, bytes: self.segments.bytes() + self.directory.bytes() }
    }

    /// The entries of the segments that have hashes from `first` to `last`, and their neighbours there.
    pub fn stretch(&self, first: u64, last: u64) -> impl Iterator<Item = &(K, V)> {
        let segments = self.directory.segments(first, last);
        segments.into_iter().flat_map(|segment| self.segments.all()[segment as usize].iter())
    }
}

/// All keys and values, one segment after the other.
pub struct Entries<K, V>(std::iter::Flatten<std::vec::IntoIter<Slots<(K, V)>>>);

impl<K, V> Iterator for Entries<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        self.0.next()
    }
}

impl<K, V> IntoIterator for Segments<K, V> {
    type Item = (K, V);
    type IntoIter = Entries<K, V>;

    fn into_iter(self) -> Entries<K, V> {
        Entries(self.segments.into_all().into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use crate::segments::Visited;
    use crate::segments::window::WIDTH;
    use crate::{Flow, Hint};

    use super::*;

    fn filled(keys: u64) -> Segments<u64, u64> {
        let mut segments = Segments::new((0, u64::MAX));
        for key in 0..keys {
            let entry = segments.entry(None, key, |known, key| known == key, |key| (key, 0));
            entry.1 += key;
        }
        segments
    }

    #[test]
    fn an_entry_is_found_by_what_it_is_and_taken_out_once() {
        let mut segments = filled(50_000);
        for key in 0..50_000u64 {
            assert_eq!(segments.find_by(Key::hash(&key), |entry| entry.1 == key), Some(&mut (key, key)));
        }
        assert_eq!(segments.remove_by(Key::hash(&7u64), |entry| entry.0 == 7), Some((7, 7)));
        assert_eq!(segments.remove_by(Key::hash(&7u64), |entry| entry.0 == 7), None);
    }

    #[test]
    fn a_hint_holds_when_its_entry_has_gone() {
        let mut segments = filled(100);
        segments.hint([Key::hash(&7u64)].into_iter(), Hint(0));
        segments.remove_by(Key::hash(&7u64), |entry| entry.0 == 7);
        let entry = segments.entry(Some(Hint(0)), 7, |known, key| known == key, |key| (key, 99));
        assert_eq!(*entry, (7, 99));
    }

    #[test]
    fn a_visit_of_what_has_gone_takes_no_longer_than_its_budget() {
        let mut segments = filled(50_000);
        let all = segments.visit(&mut Cursor::default(), &mut usize::MAX.clone(), |_, _, _| Visited::Removed);
        assert!(all == Flow::Done && segments.slots() > 50_000, "only a round gives memory back");
        let (mut place, mut calls, mut flow) = (Cursor::default(), 0, Flow::More);
        while flow == Flow::More {
            flow = segments.visit(&mut place, &mut 100, |_, _, _| unreachable!("there is nothing"));
            calls += 1;
        }
        assert!(calls >= segments.slots() / WIDTH / 100, "{calls}");
    }

    #[test]
    fn a_round_in_portions_sees_every_entry_once() {
        let (mut segments, mut seen, mut place) = (filled(50_000), Vec::new(), Cursor::default());
        while segments.sweep(&mut place, 100, |entry| {
            seen.push(entry.0);
            entry.0 % 2 == 0
        }) {}
        seen.sort_unstable();
        assert_eq!(seen, (0..50_000).collect::<Vec<_>>());
        let mut left: Vec<_> = segments.stretch(0, u64::MAX).map(|entry| entry.0).collect();
        left.sort_unstable();
        assert_eq!(left, (0..50_000).step_by(2).collect::<Vec<_>>());
    }
}
