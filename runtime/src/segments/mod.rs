//! A hash table that grows by splitting small ones, so that no step pays for a large one.
//!
//! Extendible hashing (Fagin, Nievergelt, Pippenger, Strong: ACM TODS 4(3), 1979): a directory over the
//! hash's high bits names the segment of each stretch of hashes, and a segment that is full becomes two. One
//! table of ten million keys would stall its slot for up to a second when it grows; a segment splits in some
//! dozens of microseconds. And a key group is a stretch of hashes, so its keys lie in neighbouring segments.
//!
//! A table for each key group was measured first, and is slower: a thousand tables' headers fill the core's
//! first cache (PERF.md, keyed).

mod directory;
mod entries;
mod home;
mod slots;
mod tables;
mod visit;
mod window;

use std::ops::Range;

use crate::machine::{CACHE_LINE, prefetch, prefetch_whole};
use crate::{Hint, Key};
use directory::Directory;
pub use entries::Entries;
use home::Home;
use slots::Slots;
use tables::Tables;
pub use visit::{Cursor, Visited};

/// How large a segment may be: to split one takes some 125,000 instructions, 40 us at three a nanosecond, at a million
/// keys. Four times as large ones are no faster (PERF.md, steps).
const SEGMENT_BYTES: usize = 32 * 1024;

/// State up to this size is in the core's own caches: asking for it ahead costs more than it saves (PERF.md, keyed).
pub(crate) const CACHED_BYTES: usize = 256 * 1024;

/// The tags of state up to this size, a small part of it, are in the core's own caches; those of more state are worth
/// being asked for as well, and the entry itself is then found by them (PERF.md, keyed).
const TAGS_CACHED_BYTES: usize = 8 * 1024 * 1024;

/// A segment with this many times as many homes as entries is given fewer in a round (a guess: afterwards it has one
/// and a half to three times as many, and can take more before it grows).
const DESERTED: usize = 10;

/// Values by key, of one subtask.
///
/// ```
/// use slotflow_runtime::segments::Segments;
///
/// let mut counts = Segments::new((0, u64::MAX));
/// for word in ["a", "b", "a"] {
///     *counts.value(word, |known, word| known == word, |word| (word, 0)) += 1;
/// }
/// assert_eq!(counts.find(&"a"), Some(&2));
/// assert_eq!(counts.size().keys, 2);
/// ```
pub struct Segments<K, V> {
    directory: Directory,
    segments: Tables<(K, V)>,
}

impl<K: Key, V> Segments<K, V> {
    /// How many homes a segment has when it is split.
    const HOMES: usize = {
        let entry = if size_of::<(K, V)>() == 0 { 1 } else { size_of::<(K, V)>() };
        let fit = SEGMENT_BYTES / entry;
        if fit < 16 { 16 } else { 1 << fit.ilog2() }
    };

    /// An empty table for hashes from `first` on, of which there are `more` besides. A hash outside is taken
    /// for the first or the last: correct, but not fast.
    pub fn new(hashes: (u64, u64)) -> Self {
        let directory = Directory::new(hashes);
        Segments { segments: Tables::new(directory.stretches().len()), directory }
    }

    /// Notes where the keys of these hashes are to be looked for, under numbers from `first` on; what is there is asked
    /// for meanwhile, as far as it pays. A note is of use until the next one of its number.
    #[inline(always)]
    pub fn hint(&mut self, hashes: impl Iterator<Item = u64>, first: Hint) {
        let Segments { directory, segments } = self;
        let bytes = segments.all().len() * SEGMENT_BYTES;
        if first == Hint::NONE {
            // In front of a step there is time for all of it at once.
            hashes.take(1).for_each(|hash| fetch(&segments.home(directory.place()(hash), hash)));
        } else if bytes <= CACHED_BYTES {
            segments.note(hashes, first, directory.place(), |_| {});
        } else if bytes <= TAGS_CACHED_BYTES {
            segments.note(hashes, first, directory.place(), prefetch_whole);
        } else {
            segments.note_afar(hashes, first, directory.place(), prefetch, prefetch_whole);
        }
    }

    /// The value of `key`, which is `same` as a known one, or made a new one by `make`.
    #[inline(always)]
    pub fn value<Q: Key>(
        &mut self,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut V {
        &mut self.entry(None, key, same, make).1
    }

    /// The entry of `key`, of which `hint` was given, if it was, and which is `same` as a known one or made a new one
    /// by `make`. A hint of another key, or of another time, costs time and changes nothing.
    #[inline(always)]
    pub fn entry<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut (K, V) {
        let Segments { directory, segments } = self;
        let is = |entry: &(K, V), key: &Q| same(&entry.0, key);
        match hint {
            Some(hint) => {
                segments.noted_or(hint, key, is, |segments, key| seek((directory, segments), key, is, make))
            }
            // By itself: a closure that is called in two places the compiler calls, and does not put there.
            None => seek((directory, segments), key, is, make),
        }
    }

    /// Adds the entry of a key that is not there yet.
    pub(crate) fn put(&mut self, entry: (K, V)) -> &mut (K, V) {
        struct Hashed(u64);
        impl Key for Hashed {
            fn hash(&self) -> u64 {
                self.0
            }
        }
        self.entry(None, Hashed(entry.0.hash()), |_, _| false, |_| entry)
    }

    /// The value of a key that may not be there.
    pub fn find(&self, key: &K) -> Option<&V>
    where
        K: Eq,
    {
        let hash = key.hash();
        let segment = &self.segments.all()[self.directory.segment_of(hash)];
        let slot = segment.find(hash, |(known, _)| known == key)?;
        segment.at(slot).map(|(_, value)| value)
    }
}

/// Looks an entry up, or adds it.
#[inline(always)]
fn seek<'a, K: Key, V, Q: Key>(
    (directory, segments): (&mut Directory, &'a mut Tables<(K, V)>),
    key: Q,
    is: impl Fn(&(K, V), &Q) -> bool,
    make: impl FnOnce(Q) -> (K, V),
) -> &'a mut (K, V) {
    let hash = key.hash();
    let place = directory.place()(hash);
    if segments.all().len() > CACHED_BYTES / SEGMENT_BYTES {
        // While its tag is still being looked for.
        prefetch_near(&segments.home(place, hash));
    }
    let is = &is;
    segments.near_or((place, hash), key, is, |segments, key| {
        further((directory, segments), (hash, key), is, make)
    })
}

/// As [`seek`], of an entry that is not near its home.
#[cold]
#[inline(never)]
fn further<'a, K: Key, V, Q: Key>(
    (directory, segments): (&mut Directory, &'a mut Tables<(K, V)>),
    (hash, key): (u64, Q),
    is: impl Fn(&(K, V), &Q) -> bool,
    make: impl FnOnce(Q) -> (K, V),
) -> &'a mut (K, V) {
    let number = directory.segment_of(hash);
    segments.entry((number, hash), key, is, make, |segments| grow(directory, segments, hash))
}

/// Lets the core fetch the first window's tags, and where the entry most likely is.
#[inline(always)]
fn fetch<E>(home: &Home<E>) {
    prefetch(home.tags());
    prefetch_near(home);
}

/// Lets the core fetch where the entry most likely is: at home or a few slots behind.
#[inline(always)]
fn prefetch_near<E>(home: &Home<E>) {
    prefetch(home.entry());
    prefetch(home.entry().wrapping_byte_add(CACHE_LINE));
}

/// Makes room in the segment of `hash`, and says which that is then: gives it twice as many homes while it is small,
/// and then splits it. Where half of it has gone it is tidied and keeps its size, without new memory.
#[cold]
fn grow<K: Key, V>(directory: &mut Directory, segments: &mut Tables<(K, V)>, hash: u64) -> usize {
    let number = directory.segment_of(hash);
    let full = &segments.all()[number];
    let homes = full.homes();
    if full.len() < full.limit() / 7 * 4 {
        segments.tidy(number, |(key, _)| key.hash());
        return number;
    }
    let changed = directory.stretches_of(hash);
    let splits = homes >= Segments::<K, V>::HOMES && directory.split(hash, segments.all().len());
    let homes = if splits { homes } else { 2 * homes };
    if splits {
        segments.push(table::<K, V>(segments.all().len(), homes));
    }
    let full = segments.replace(number, table::<K, V>(number, homes));
    segments.aim(directory.stretches(), changed);
    for entry in full {
        add(directory, segments, entry);
    }
    directory.segment_of(hash)
}

/// Memory for segment `number`. Hashes spread keys evenly, so all the segments would be full at once, and thousands of
/// them split within a few steps: of those that are split, some are when they are three quarters as full as others.
fn table<K: Key, V>(number: usize, homes: usize) -> Slots<(K, V)> {
    let table = Slots::new(homes);
    if homes != Segments::<K, V>::HOMES {
        return table;
    }
    // Multiples of the golden ratio divide what is left most evenly, however many there are (Knuth, TAOCP 3, 6.4).
    let fraction = number as u64 * 0x9E37_79B9 % (1 << 32);
    let less = (table.limit() as u64 / 4 * fraction) >> 32;
    let limit = table.limit() - less as usize;
    table.limited(limit)
}

/// Gives a segment, whose stretches these are, and which nearly all entries have left, as many homes as it needs, and
/// none if it has no entry.
#[cold]
fn shrink<K: Key, V>(
    directory: &mut Directory,
    segments: &mut Tables<(K, V)>,
    (number, stretches): (usize, Range<usize>),
) {
    let smaller = match segments.all()[number].len() {
        0 => Slots::none(),
        len => Slots::new(len + len / 2),
    };
    let deserted = segments.replace(number, smaller);
    segments.aim(directory.stretches(), stretches);
    for entry in deserted {
        add(directory, segments, entry);
    }
}

/// Adds an entry that is not there yet.
fn add<K: Key, V>(directory: &mut Directory, segments: &mut Tables<(K, V)>, mut entry: (K, V)) {
    let hash = entry.0.hash();
    let mut number = directory.segment_of(hash);
    while let Err(back) = segments.insert(number, hash, entry) {
        (entry, number) = (back, grow(directory, segments, hash));
    }
}

#[cfg(test)]
mod tests;
