//! A hash table that grows by splitting small ones, so that no step pays for a large one.
//!
//! Extendible hashing (Fagin, Nievergelt, Pippenger, Strong: ACM TODS 4(3), 1979): a directory over the
//! hash's high bits names the segment of each stretch of hashes, and a segment that is full becomes two. One
//! table of ten million keys would stall its slot for up to a second when it grows; a segment splits in some
//! ten microseconds. And a key group is a stretch of hashes, so its keys lie in neighbouring segments.
//!
//! A table for each key group was measured first, and is slower: a thousand tables' headers fill the core's
//! first cache (PERF.md, keyed).

mod entries;

use std::ops::Range;

use hashbrown::HashTable;
use slotflow_runtime::machine::prefetch;
use slotflow_runtime::{Flow, Key, LOOK_AHEAD};

/// How large a segment may be: it should be split in less than a tenth of a step's budget.
const SEGMENT_BYTES: usize = 128 * 1024;

/// State up to this size is found sooner than asked for ahead: a core overlaps the look-ups of several records by
/// itself. With a million keys, asking ahead was 1.7 times as fast; with a thousand, 0.9 times (PERF.md, keyed).
const CACHED_BYTES: usize = 2 * 1024 * 1024;

/// The directory may be this many times as long as there are segments. A hash that spreads keys badly
/// would make it longer and longer; past this, segments outgrow their size instead.
const SPARSE_DIRECTORY: usize = 8;

/// The segment of a key, and where in it the key seems to be: a guess, checked when it is used.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    segment: u32,
    bucket: u32,
}

/// Values by key.
pub(crate) struct Segments<K, V> {
    /// The segment of each stretch of hashes.
    directory: Vec<u32>,
    /// The first hash there is; the directory begins here.
    first: u64,
    /// How many more there are.
    more: u64,
    /// How many hashes a stretch has, as a power of two.
    shift: u32,
    segments: Vec<HashTable<(K, V)>>,
    /// A hash whose segment is to be split.
    full: Option<u64>,
}

impl<K: Key, V> Segments<K, V> {
    /// How many keys a segment has when it is split: seven eighths of a power of two is what a hashbrown
    /// table of that many buckets holds, less some that may come before the split does.
    const CAPACITY: usize = {
        let entry = if size_of::<(K, V)>() == 0 { 1 } else { size_of::<(K, V)>() };
        let fit = SEGMENT_BYTES / entry;
        let buckets = if fit < 16 { 16 } else { 1 << fit.ilog2() };
        let holds = buckets / 8 * 7;
        if holds > 8 * LOOK_AHEAD { holds - LOOK_AHEAD } else { holds }
    };

    /// Whether there is so much that looking ahead pays.
    #[inline(always)]
    pub(crate) fn is_large(&self) -> bool {
        self.segments.len() > CACHED_BYTES / SEGMENT_BYTES
    }

    /// An empty table for hashes from `first` on, of which there are `more` besides. A hash outside is taken
    /// for the first or the last: correct, but not fast.
    pub(crate) fn new((first, more): (u64, u64)) -> Self {
        let shift = more.checked_ilog2().unwrap_or(0).clamp(1, 63);
        let directory = vec![0; (more >> shift) as usize + 1];
        Segments { directory, first, more, shift, segments: vec![HashTable::new()], full: None }
    }

    /// Where the key of `hash` seems to be, going by the table's tags alone, whose lines are mostly in the
    /// core's cache; its entry is asked for meanwhile.
    #[inline(always)]
    pub(crate) fn locate(&self, hash: u64) -> Place {
        let segment = self.segment_of(hash);
        let entries = &self.segments[segment as usize];
        let Some(bucket) = entries.find_bucket_index(tag(hash), |_| true) else {
            return Place { segment, bucket: 0 };
        };
        if let Some(entry) = entries.get_bucket(bucket) {
            prefetch(entry);
        }
        Place { segment, bucket: bucket as u32 }
    }

    /// The value of `key`, which is `same` as a known one, or made a new one by `make`.
    #[inline(always)]
    pub(crate) fn value<Q: Key>(
        &mut self,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut V {
        let hash = key.hash();
        let segment = self.segment_of(hash);
        let Segments { segments, full, .. } = self;
        match segments[segment as usize].find_entry(tag(hash), |(known, _)| same(known, &key)) {
            Ok(entry) => &mut entry.into_mut().1,
            Err(absent) => insert(absent.into_table(), hash, make(key), full),
        }
    }

    /// As [`value`](Segments::value), for a key that was located since [`settle`](Segments::settle).
    #[inline(always)]
    pub(crate) fn value_at<Q: Key>(
        &mut self,
        place: Place,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut V {
        let Segments { segments, full, .. } = self;
        let segment = match segments[place.segment as usize].get_bucket_entry(place.bucket as usize) {
            Ok(entry) if same(&entry.get().0, &key) => return &mut entry.into_mut().1,
            Ok(entry) => entry.into_table(),
            Err(absent) => absent.into_table(),
        };
        search(segment, key, same, make, full)
    }

    /// Splits what has become too large. Not while there are places that are still to be used.
    #[inline(always)]
    pub(crate) fn settle(&mut self) {
        if self.full.is_some() {
            self.split_full();
        }
    }

    #[cold]
    fn split_full(&mut self) {
        while let Some(hash) = self.full.take() {
            if self.segments[self.segment_of(hash) as usize].len() >= Self::CAPACITY && self.split(hash) {
                self.full = Some(hash);
            }
        }
    }

    #[cold]
    fn stretch_of(&self, hash: u64) -> usize {
        let stretch = (hash.wrapping_sub(self.first) >> self.shift) as usize;
        stretch.min(self.directory.len() - 1)
    }

    #[inline(always)]
    fn segment_of(&self, hash: u64) -> u32 {
        match self.directory.get((hash.wrapping_sub(self.first) >> self.shift) as usize) {
            Some(segment) => *segment,
            None => self.directory[self.stretch_of(hash)],
        }
    }

    /// Gives the second half of the hashes of the segment of `hash` to a new one. `false` if the directory
    /// would be too long for that.
    fn split(&mut self, hash: u64) -> bool {
        let mut stretches = self.stretches_of(hash);
        if stretches.len() == 1 {
            if !self.double() {
                return false;
            }
            stretches = self.stretches_of(hash);
        }
        let segment = self.directory[stretches.start] as usize;
        let middle = stretches.start + stretches.len() / 2;
        self.directory[middle..stretches.end].fill(self.segments.len() as u32);
        let full = std::mem::replace(
            &mut self.segments[segment],
            HashTable::with_capacity(Self::CAPACITY + LOOK_AHEAD),
        );
        self.segments.push(HashTable::with_capacity(Self::CAPACITY + LOOK_AHEAD));
        for entry in full {
            let hash = entry.0.hash();
            let segment = self.segment_of(hash) as usize;
            self.segments[segment].insert_unique(tag(hash), entry, |(key, _)| tag(key.hash()));
        }
        true
    }

    /// The directory's entries for the segment of `hash`, which lie side by side.
    fn stretches_of(&self, hash: u64) -> Range<usize> {
        let stretch = self.stretch_of(hash);
        let others = |other: &u32| *other != self.directory[stretch];
        let start = self.directory[..stretch].iter().rposition(others).map_or(0, |other| other + 1);
        let more = self.directory[stretch..].iter().position(others);
        start..more.map_or(self.directory.len(), |more| stretch + more)
    }

    /// Halves the stretches. `false` if there are too many already.
    fn double(&mut self) -> bool {
        if self.shift == 0 || self.directory.len() > SPARSE_DIRECTORY * self.segments.len() {
            return false;
        }
        self.shift -= 1;
        self.directory = self.directory.iter().flat_map(|segment| [*segment; 2]).collect();
        self.directory.truncate((self.more >> self.shift) as usize + 1);
        true
    }
}

/// A key whose entry is not where it seemed to be: it is elsewhere in its segment, or new.
#[inline(never)]
fn search<'s, K: Key, V, Q: Key>(
    segment: &'s mut HashTable<(K, V)>,
    key: Q,
    same: impl Fn(&K, &Q) -> bool,
    make: impl FnOnce(Q) -> (K, V),
    full: &mut Option<u64>,
) -> &'s mut V {
    let hash = key.hash();
    match segment.find_entry(tag(hash), |(known, _)| same(known, &key)) {
        Ok(entry) => &mut entry.into_mut().1,
        Err(absent) => insert(absent.into_table(), hash, make(key), full),
    }
}

#[cold]
fn insert<'s, K: Key, V>(
    segment: &'s mut HashTable<(K, V)>,
    hash: u64,
    entry: (K, V),
    full: &mut Option<u64>,
) -> &'s mut V {
    if segment.len() + 1 >= Segments::<K, V>::CAPACITY {
        *full = Some(hash);
    }
    &mut segment.insert_unique(tag(hash), entry, |(key, _)| tag(key.hash())).into_mut().1
}

impl<K, V> IntoIterator for Segments<K, V> {
    type Item = (K, V);
    type IntoIter = Entries<K, V>;

    /// All keys and values, one segment after the other.
    fn into_iter(self) -> Entries<K, V> {
        self.segments.into_iter().flatten()
    }
}

/// What [`Segments::into_iter`] gives.
pub(crate) type Entries<K, V> = std::iter::Flatten<std::vec::IntoIter<HashTable<(K, V)>>>;

/// How far a visit has come: the segment, and the bucket in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    segment: usize,
    bucket: usize,
}

/// What becomes of an entry that was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visited {
    /// It stays.
    Kept,
    /// It goes.
    Removed,
}

/// Passing this many buckets counts as one visit: an empty one costs a look at its tag.
const BUCKETS_PER_VISIT: usize = 16;

impl<K: Key, V> Segments<K, V> {
    /// The value of a key that may not be there.
    pub(crate) fn find(&self, key: &K) -> Option<&V>
    where
        K: Eq,
    {
        let hash = key.hash();
        let segment = &self.segments[self.segment_of(hash) as usize];
        segment.find(tag(hash), |(known, _)| known == key).map(|(_, value)| value)
    }

    /// Visits the entries behind `cursor`, until all were, or `budget` is used up, of which each visit takes one,
    /// and more if it says so. Nothing may be added before all have been visited.
    pub(crate) fn visit(
        &mut self,
        cursor: &mut Cursor,
        budget: &mut usize,
        mut visit: impl FnMut(&K, &mut V, &mut usize) -> Visited,
    ) -> Flow {
        while let Some(segment) = self.segments.get_mut(cursor.segment) {
            while cursor.bucket < segment.num_buckets() {
                if *budget == 0 {
                    return Flow::More;
                }
                let mut spent = usize::from(cursor.bucket.is_multiple_of(BUCKETS_PER_VISIT));
                if let Ok(mut entry) = segment.get_bucket_entry(cursor.bucket) {
                    let (key, value) = entry.get_mut();
                    spent += 1;
                    if visit(key, value, &mut spent) == Visited::Removed {
                        entry.remove();
                    }
                }
                cursor.bucket += 1;
                *budget = budget.saturating_sub(spent);
            }
            *cursor = Cursor { segment: cursor.segment + 1, bucket: 0 };
        }
        Flow::Done
    }

    /// Visits all entries as [`visit`](Segments::visit) does, and leaves the table empty, with room for as many
    /// as it had.
    pub(crate) fn empty(
        &mut self,
        cursor: &mut Cursor,
        budget: &mut usize,
        visit: impl FnMut(&K, &mut V, &mut usize) -> Visited,
    ) -> Flow {
        let begun = cursor.segment;
        let flow = self.visit(cursor, budget, visit);
        self.segments[begun..cursor.segment].iter_mut().for_each(HashTable::clear);
        flow
    }

    /// How many keys there is room for, and then some.
    pub(crate) fn buckets(&self) -> usize {
        self.segments.iter().map(HashTable::num_buckets).sum()
    }

    /// Whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.iter().all(HashTable::is_empty)
    }
}

/// The hash's high bits choose the segment and are therefore alike within one; the table tells entries apart
/// by its high bits and places them by its low ones, so both halves change places.
#[inline(always)]
fn tag(hash: u64) -> u64 {
    hash.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A key that hashes as it is told.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    struct Chosen(u64, u64);

    impl Key for Chosen {
        fn hash(&self) -> u64 {
            self.0
        }
    }

    const ALL: (u64, u64) = (0, u64::MAX);

    /// Counts each key `rounds` times and compares with the standard library's map.
    fn counts<K: Key + Eq + Clone + std::hash::Hash + std::fmt::Debug>(
        hashes: (u64, u64),
        keys: &[K],
        rounds: usize,
    ) -> Segments<K, u64> {
        let (mut segments, mut model) = (Segments::new(hashes), HashMap::new());
        for round in 0..rounds {
            for ahead in keys.chunks(LOOK_AHEAD) {
                segments.settle();
                let places: Vec<_> = ahead.iter().map(|key| segments.locate(Key::hash(key))).collect();
                for (key, place) in ahead.iter().zip(places) {
                    let (same, make) = (|known: &K, key: &&K| known == *key, |key: &K| (key.clone(), 0));
                    // Every other round looks keys up as they come.
                    *match round % 2 {
                        0 => segments.value_at(place, key, same, make),
                        _ => segments.value(key, same, make),
                    } += 1;
                    *model.entry(key.clone()).or_insert(0) += 1;
                }
            }
        }
        let mut seen = HashMap::new();
        for segment in &segments.segments {
            for (key, count) in segment {
                assert_eq!(seen.insert(key.clone(), *count), None);
            }
        }
        assert_eq!(seen, model);
        segments
    }

    #[test]
    fn every_key_has_its_own_value() {
        for keys in [0, 1, 100, 10_000, 200_000] {
            counts(ALL, &(0..keys).collect::<Vec<u64>>(), 3);
        }
    }

    #[test]
    fn segments_stay_small_and_a_stretch_of_hashes_is_one_after_the_other() {
        let segments = counts(ALL, &(0..200_000u64).collect::<Vec<_>>(), 1);
        assert!(
            segments
                .segments
                .iter()
                .all(|entries| entries.len() < Segments::<u64, u64>::CAPACITY + LOOK_AHEAD)
        );
        let fewest = 200_000 / Segments::<u64, u64>::CAPACITY;
        assert!((fewest..4 * fewest).contains(&segments.segments.len()), "{}", segments.segments.len());
        for (index, segment) in segments.segments.iter().enumerate() {
            assert!(segment.iter().all(|(key, _)| segments.segment_of(Key::hash(key)) as usize == index));
        }
        let mut in_order = segments.directory.clone();
        in_order.dedup();
        assert_eq!(in_order.len(), segments.segments.len());
    }

    #[test]
    fn a_stretch_of_all_the_hashes_is_divided_as_all_of_them_are() {
        for (first, more) in [(1 << 63, (1 << 63) - 1), (5 << 58, (3 << 57) + 12_345)] {
            let spread = |n: u64| {
                let hash = (u128::from(Key::hash(&n)) * (u128::from(more) + 1)) >> 64;
                Chosen(first + hash as u64, n)
            };
            let segments = counts((first, more), &(0..50_000).map(spread).collect::<Vec<_>>(), 2);
            let capacity = Segments::<Chosen, u64>::CAPACITY;
            let enough = 50_000 / capacity;
            assert!((enough..=8 * enough).contains(&segments.segments.len()), "{}", segments.segments.len());
        }
    }

    #[test]
    fn hashes_that_are_alike_outgrow_a_segment() {
        let alike: Vec<_> = (0..20_000).map(|n| Chosen(42, n)).collect();
        counts((7, 0), &alike[..100], 2);
        // Comparing each key with all others takes its time, so this is once past the capacity.
        let capacity = Segments::<Chosen, u64>::CAPACITY;
        let segments = counts(ALL, &alike[..capacity + 10], 1);
        assert!(segments.directory.len() < 1000, "{}", segments.directory.len());
    }

    #[test]
    fn a_hash_outside_is_served_too() {
        let outside: Vec<_> = (0..20_000u64).map(|n| Chosen(Key::hash(&n), n)).collect();
        counts((1 << 60, 1 << 59), &outside, 2);
    }
}
