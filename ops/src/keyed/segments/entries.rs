//! Entries with their keys: found, taken out, looked through a few at a time.

use super::{Cursor, Key, Segments, tag};
use crate::StateSize;

impl<K: Key, V> Segments<K, V> {
    /// The entry among those of `hash` that `is` the one.
    pub(crate) fn find_by(&mut self, hash: u64, is: impl Fn(&(K, V)) -> bool) -> Option<&mut (K, V)> {
        let segment = self.segment_of(hash);
        self.segments[segment as usize].entries.find_mut(tag(hash), is)
    }

    /// Takes out the entry among those of `hash` that `is` the one.
    pub(crate) fn remove_by(&mut self, hash: u64, is: impl Fn(&(K, V)) -> bool) -> Option<(K, V)> {
        let segment = self.segment_of(hash);
        let found = self.segments[segment as usize].entries.find_entry(tag(hash), is).ok()?;
        Some(found.remove().0)
    }

    /// Looks at `buckets` buckets from `cursor` on, whether there is an entry or not, and takes out what `keep` does
    /// not want. Says whether there are more; a segment that is split meanwhile is seen at the next round.
    pub(crate) fn sweep(
        &mut self,
        cursor: &mut Cursor,
        buckets: usize,
        mut keep: impl FnMut(&mut (K, V)) -> bool,
    ) -> bool {
        for _ in 0..buckets {
            let Some(segment) = self.segments.get_mut(cursor.segment) else { return false };
            if cursor.bucket >= segment.entries.num_buckets() {
                *cursor = Cursor { segment: cursor.segment + 1, bucket: 0 };
                continue;
            }
            if let Ok(mut entry) = segment.entries.get_bucket_entry(cursor.bucket)
                && !keep(entry.get_mut())
            {
                entry.remove();
            }
            cursor.bucket += 1;
        }
        true
    }

    /// How many keys there are, and what the table takes, in bytes. Costs a look at each segment.
    pub(crate) fn size(&self) -> StateSize {
        let keys = self.segments.iter().map(|segment| segment.entries.len()).sum();
        let tables: usize = self.segments.iter().map(|segment| segment.entries.allocation_size()).sum();
        StateSize { keys, bytes: tables + self.directory.capacity() * size_of::<u32>() }
    }

    /// The entries of the segments that have hashes from `first` to `last`, and their neighbours there.
    pub(crate) fn stretch(&self, first: u64, last: u64) -> impl Iterator<Item = &(K, V)> {
        let mut segments = self.directory[self.stretch_of(first)..=self.stretch_of(last)].to_vec();
        segments.dedup();
        segments.into_iter().flat_map(|segment| &self.segments[segment as usize].entries)
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::Hint;

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
        let (mut segments, mut hints) = (filled(100), [Hint::default()]);
        segments.hint([Key::hash(&7u64)].into_iter(), &mut hints);
        segments.remove_by(Key::hash(&7u64), |entry| entry.0 == 7);
        let entry = segments.entry(Some(hints[0]), 7, |known, key| known == key, |key| (key, 99));
        assert_eq!(*entry, (7, 99));
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
