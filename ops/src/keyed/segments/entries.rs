//! Entries with their keys: found, taken out, looked through a few at a time.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Key, Place, Segments, tag};
use crate::StateSize;

impl<K: Key, V> Segments<K, V> {
    /// The entry of `key`, which is `same` as a known one, or made a new one by `make`. `place` is where
    /// [`locate`](Segments::locate) saw it, if it was asked since [`settle`](Segments::settle).
    #[inline(always)]
    pub(crate) fn entry<Q: Key>(
        &mut self,
        place: Option<Place>,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut (K, V) {
        let hash = key.hash();
        let segment = place.map_or_else(|| self.segment_of(hash), |place| place.segment);
        let Segments { segments, full, .. } = self;
        let mut segment = &mut segments[segment as usize];
        if let Some(place) = place {
            segment = match segment.get_bucket_entry(place.bucket as usize) {
                Ok(entry) if same(&entry.get().0, &key) => return entry.into_mut(),
                Ok(entry) => entry.into_table(),
                Err(absent) => absent.into_table(),
            };
        }
        if segment.len() + 1 >= Self::CAPACITY {
            *full = Some(hash);
        }
        let known = |(known, _): &(K, V)| same(known, &key);
        match segment.entry(tag(hash), known, |(key, _)| tag(key.hash())) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(make(key)).into_mut(),
        }
    }

    /// The entry among those of `hash` that `is` the one.
    pub(crate) fn find_by(&mut self, hash: u64, is: impl Fn(&(K, V)) -> bool) -> Option<&mut (K, V)> {
        let segment = self.segment_of(hash);
        self.segments[segment as usize].find_mut(tag(hash), is)
    }

    /// Takes out the entry among those of `hash` that `is` the one.
    pub(crate) fn remove_by(&mut self, hash: u64, is: impl Fn(&(K, V)) -> bool) -> Option<(K, V)> {
        let segment = self.segment_of(hash);
        let found = self.segments[segment as usize].find_entry(tag(hash), is).ok()?;
        Some(found.remove().0)
    }

    /// Looks at `buckets` buckets from `place` on, whether there is an entry or not, and takes out what `keep` does
    /// not want. Says whether there are more; a segment that is split meanwhile is seen at the next round.
    pub(crate) fn sweep(
        &mut self,
        place: &mut Place,
        buckets: usize,
        mut keep: impl FnMut(&mut (K, V)) -> bool,
    ) -> bool {
        for _ in 0..buckets {
            let Some(segment) = self.segments.get_mut(place.segment as usize) else { return false };
            if place.bucket as usize >= segment.num_buckets() {
                *place = Place { segment: place.segment + 1, bucket: 0 };
                continue;
            }
            if let Ok(mut entry) = segment.get_bucket_entry(place.bucket as usize)
                && !keep(entry.get_mut())
            {
                entry.remove();
            }
            place.bucket += 1;
        }
        true
    }

    /// How many keys there are, and what the table takes, in bytes. Costs a look at each segment.
    pub(crate) fn size(&self) -> StateSize {
        let keys = self.segments.iter().map(HashTable::len).sum();
        let tables: usize = self.segments.iter().map(HashTable::allocation_size).sum();
        StateSize { keys, bytes: tables + self.directory.capacity() * size_of::<u32>() }
    }

    /// The entries of the segments that have hashes from `first` to `last`, and their neighbours there.
    pub(crate) fn stretch(&self, first: u64, last: u64) -> impl Iterator<Item = &(K, V)> {
        let mut segments = self.directory[self.stretch_of(first)..=self.stretch_of(last)].to_vec();
        segments.dedup();
        segments.into_iter().flat_map(|segment| &self.segments[segment as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(keys: u64) -> Segments<u64, u64> {
        let mut segments = Segments::new((0, u64::MAX));
        for key in 0..keys {
            segments.settle();
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
    fn a_place_whose_entry_has_gone_is_looked_up_anew() {
        let mut segments = filled(100);
        let place = segments.locate(Key::hash(&7u64));
        segments.remove_by(Key::hash(&7u64), |entry| entry.0 == 7);
        let entry = segments.entry(Some(place), 7, |known, key| known == key, |key| (key, 99));
        assert_eq!(*entry, (7, 99));
    }

    #[test]
    fn a_round_in_portions_sees_every_entry_once() {
        let (mut segments, mut seen, mut place) = (filled(50_000), Vec::new(), Place::default());
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
