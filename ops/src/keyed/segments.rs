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
mod visit;

use std::ops::Range;

use hashbrown::HashTable;
use slotflow_runtime::machine::prefetch;
use slotflow_runtime::{Hint, Key, LOOK_AHEAD};
pub(crate) use visit::{Cursor, Visited};

/// How large a segment may be: it should be split in less than a tenth of a step's budget.
const SEGMENT_BYTES: usize = 128 * 1024;

/// State up to this size is in the core's own caches: asking for it ahead costs more than it saves (PERF.md, keyed).
const CACHED_BYTES: usize = 256 * 1024;

/// The tags of state up to this size, a small part of it, are in the core's own caches; those of more state are worth
/// being asked for as well, and the entry itself is then found by them (PERF.md, keyed).
const TAGS_CACHED_BYTES: usize = 8 * 1024 * 1024;

/// How much memory a core fetches at once: 64 bytes on all that we know.
const CACHE_LINE: usize = 64;

/// The directory may be this many times as long as there are segments. A hash that spreads keys badly
/// would make it longer and longer; past this, segments outgrow their size instead.
const SPARSE_DIRECTORY: usize = 8;

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
    segments: Vec<Segment<K, V>>,
    /// A hash whose segment is to be split.
    full: Option<u64>,
}

/// The keys of some stretches.
struct Segment<K, V> {
    entries: HashTable<(K, V)>,
    /// Where the entry in the first bucket is, or would be; those behind it are below. For guesses.
    first_bucket: *const (K, V),
}

impl<K, V> Segment<K, V> {
    fn new(entries: HashTable<(K, V)>) -> Self {
        Segment { entries, first_bucket: std::ptr::null() }
    }

    /// The bucket that the search for `hash` begins at.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        tag(hash) as usize & self.entries.num_buckets().wrapping_sub(1)
    }

    /// Lets the core fetch where the entry of `hash` most likely is: at home or a few buckets behind.
    #[inline(always)]
    fn prefetch_near(&self, hash: u64) {
        let home = self.first_bucket.wrapping_sub(self.home(hash));
        prefetch(home);
        prefetch(home.wrapping_byte_sub(CACHE_LINE));
    }

    /// Lets the core fetch the tags that the search for `hash` begins with; they lie above the first bucket.
    #[inline(always)]
    fn prefetch_tags(&self, hash: u64) {
        prefetch(self.first_bucket.wrapping_add(1).cast::<u8>().wrapping_add(self.home(hash)));
    }

    /// Lets the core fetch the entry of `hash`, where the tags say that it seems to be.
    #[inline(always)]
    fn prefetch_entry(&self, hash: u64) {
        if let Some(bucket) = self.entries.find_bucket_index(tag(hash), |_| true) {
            prefetch(self.first_bucket.wrapping_sub(bucket));
        }
    }
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

    /// An empty table for hashes from `first` on, of which there are `more` besides. A hash outside is taken
    /// for the first or the last: correct, but not fast.
    pub(crate) fn new((first, more): (u64, u64)) -> Self {
        let shift = more.checked_ilog2().unwrap_or(0).clamp(1, 63);
        let directory = vec![0; (more >> shift) as usize + 1];
        let segments = vec![Segment::new(HashTable::new())];
        Segments { directory, first, more, shift, segments, full: None }
    }

    /// Notes where the keys of these hashes are to be looked for; what is there is asked for meanwhile, as far as it
    /// pays. Hints hold until the next call.
    #[inline(always)]
    pub(crate) fn hint(&mut self, hashes: impl Iterator<Item = u64>, hints: &mut [Hint]) {
        self.settle();
        let segments = &self.segments[..];
        let bytes = segments.len() * SEGMENT_BYTES;
        if bytes <= CACHED_BYTES {
            self.note(hashes, hints, |_, _| {});
        } else if bytes <= TAGS_CACHED_BYTES {
            self.note(hashes, hints, |part, hash| segments[part].prefetch_near(hash));
        } else {
            self.note(hashes, hints, |part, hash| segments[part].prefetch_tags(hash));
            hints.iter().for_each(|hint| segments[hint.part as usize].prefetch_entry(hint.hash));
        }
    }

    /// Notes the segment of each hash, and calls `fetch` with it.
    #[inline(always)]
    fn note(&self, hashes: impl Iterator<Item = u64>, hints: &mut [Hint], mut fetch: impl FnMut(usize, u64)) {
        // Local variables, because the compiler cannot know that these fields stay what they are.
        let (directory, first, shift) = (&self.directory[..], self.first, self.shift);
        for (hint, hash) in hints.iter_mut().zip(hashes) {
            let part = match directory.get((hash.wrapping_sub(first) >> shift) as usize) {
                Some(segment) => *segment,
                None => directory[self.stretch_of(hash)],
            };
            fetch(part as usize, hash);
            *hint = Hint { hash, part };
        }
    }

    /// The value of `key`, which is `same` as a known one, or made a new one by `make`.
    #[inline(always)]
    pub(crate) fn value<Q: Key>(
        &mut self,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut V {
        &mut self.entry(None, key, same, make).1
    }

    /// The entry of `key`, of which `hint` was given, if it was, and which is `same` as a known one or made a new one
    /// by `make`. Without a hint it may split a segment, so no hint may be used after that which was given before.
    #[inline(always)]
    pub(crate) fn entry<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut (K, V) {
        let Hint { hash, part } = hint.unwrap_or_else(|| self.unhinted(key.hash()));
        debug_assert_eq!(part, self.segment_of(hash), "a hint was used after a split");
        let Segments { segments, full, .. } = self;
        let Segment { entries, first_bucket } = &mut segments[part as usize];
        match entries.find_entry(tag(hash), |(known, _)| same(known, &key)) {
            Ok(entry) => entry.into_mut(),
            Err(absent) => insert((absent.into_table(), first_bucket), hash, make(key), full),
        }
    }

    /// Asks for the entry while its tag is still being looked for.
    #[inline(always)]
    fn unhinted(&mut self, hash: u64) -> Hint {
        self.settle();
        let part = self.segment_of(hash);
        if self.segments.len() > CACHED_BYTES / SEGMENT_BYTES {
            self.segments[part as usize].prefetch_near(hash);
        }
        Hint { hash, part }
    }

    /// Splits what has become too large.
    #[inline(always)]
    fn settle(&mut self) {
        if self.full.is_some() {
            self.split_full();
        }
    }

    #[cold]
    fn split_full(&mut self) {
        while let Some(hash) = self.full.take() {
            let segment = &self.segments[self.segment_of(hash) as usize];
            if segment.entries.len() >= Self::CAPACITY && self.split(hash) {
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
        let full = std::mem::replace(&mut self.segments[segment], Segment::new(Self::with_room()));
        self.segments.push(Segment::new(Self::with_room()));
        let mut unnoted = None;
        for entry in full.entries {
            let hash = entry.0.hash();
            let segment = self.segment_of(hash) as usize;
            let Segment { entries, first_bucket } = &mut self.segments[segment];
            insert((entries, first_bucket), hash, entry, &mut unnoted);
        }
        true
    }

    /// A table for a segment that will become full.
    fn with_room() -> HashTable<(K, V)> {
        HashTable::with_capacity(Self::CAPACITY + LOOK_AHEAD)
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

/// Adds an entry to a segment, and notes if that is full now.
#[cold]
fn insert<'s, K: Key, V>(
    (entries, first_bucket): (&'s mut HashTable<(K, V)>, &mut *const (K, V)),
    hash: u64,
    entry: (K, V),
    full: &mut Option<u64>,
) -> &'s mut (K, V) {
    if entries.len() + 1 >= Segments::<K, V>::CAPACITY {
        *full = Some(hash);
    }
    let entry = entries.insert_unique(tag(hash), entry, |(key, _)| tag(key.hash()));
    let bucket = entry.bucket_index();
    let entry = entry.into_mut();
    *first_bucket = std::ptr::from_ref(entry).wrapping_add(bucket);
    entry
}

impl<K, V> IntoIterator for Segments<K, V> {
    type Item = (K, V);
    type IntoIter = Entries<K, V>;

    /// All keys and values, one segment after the other.
    fn into_iter(self) -> Entries<K, V> {
        let tables = self.segments.into_iter().map(|segment| segment.entries).collect::<Vec<_>>();
        tables.into_iter().flatten()
    }
}

/// What [`Segments::into_iter`] gives.
pub(crate) type Entries<K, V> = std::iter::Flatten<std::vec::IntoIter<HashTable<(K, V)>>>;

impl<K: Key, V> Segments<K, V> {
    /// The value of a key that may not be there.
    pub(crate) fn find(&self, key: &K) -> Option<&V>
    where
        K: Eq,
    {
        let hash = key.hash();
        let segment = &self.segments[self.segment_of(hash) as usize];
        segment.entries.find(tag(hash), |(known, _)| known == key).map(|(_, value)| value)
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
                let mut hints = vec![Hint::default(); ahead.len()];
                segments.hint(ahead.iter().map(Key::hash), &mut hints);
                for (key, hint) in ahead.iter().zip(hints) {
                    let (same, make) = (|known: &K, key: &&K| known == *key, |key: &K| (key.clone(), 0));
                    // Every other round looks keys up as they come.
                    let hint = (round % 2 == 0).then_some(hint);
                    segments.entry(hint, key, same, make).1 += 1;
                    *model.entry(key.clone()).or_insert(0) += 1;
                }
            }
        }
        let mut seen = HashMap::new();
        for segment in &segments.segments {
            for (key, count) in &segment.entries {
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
                .all(|segment| segment.entries.len() < Segments::<u64, u64>::CAPACITY + LOOK_AHEAD)
        );
        let fewest = 200_000 / Segments::<u64, u64>::CAPACITY;
        assert!((fewest..4 * fewest).contains(&segments.segments.len()), "{}", segments.segments.len());
        for (index, segment) in segments.segments.iter().enumerate() {
            assert!(
                segment.entries.iter().all(|(key, _)| segments.segment_of(Key::hash(key)) as usize == index)
            );
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
