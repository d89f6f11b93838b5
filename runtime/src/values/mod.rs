//! Values by key: those of numbers that are near each other in pages, and all others in segments.
//!
//! Identifiers are often given one after the other, and then a number says by itself where its value is: no hash,
//! no tags, no search, and no room for what might collide. Which keys are so is seen and not told:
//!
//! 1. Pages come to be when two new keys, one after the other, are numbers near each other. They cover the chunks
//!    of these two and those between at first. From there they spread, to the neighbours of numbers that have a
//!    value there and to new keys, as long as about one in sixteen of the numbers they cover has its value there.
//! 2. A key whose number they cover is looked for in them, and then in the segments, where it may be from before:
//!    from there it moves to its page when it is asked for. All other keys are in segments.
//! 3. Pages to which nearly none of the new keys come, since the first numbers were not like those that followed, are
//!    given up: what they have goes to segments, and others may come to be elsewhere. There are never pages in two
//!    places that are far from each other.
//! 4. Where there are more than 4 MiB of entries, whose keys come in any order, one more costs less in a segment than
//!    in a page that is in no cache: nothing comes to pages any more, and what they have goes to segments.
//!
//! Both go page by page as records are shown ahead, so not where no inlet is in front.
//!
//! A number is as good as a hash, and no more: an entry that is found by it is compared with the key. Two keys of one
//! number are both served, the second one by the segments.
//!
//! Nothing is taken out by itself. For values that come and go there are [`Segments`].

mod pages;

use crate::machine::prefetch_whole;
use crate::segments::{self, CACHED_BYTES, Segments};
use crate::{Hint, Key, LOOK_AHEAD, StateSize};
use pages::{CHUNK, Pages};

/// How many keys a chunk is worth: one in sixteen of its numbers (a guess: with three times fewer, pages of entries
/// of 24 bytes would take as much memory as segments, reasoned from 32 bytes a page).
const WORTH: usize = CHUNK as usize / 16;

/// How many chunks may be covered before they are worth it, so that those which are have neighbours (a guess).
const MORE: usize = 3;

/// How near two numbers are for which pages begin: a few chunks (a guess; each that is made in vain takes 2 KiB).
const NEAR: u64 = 8 * CHUNK;

/// Pages are given up that have fewer than one of so many keys that have come since they began (a guess: where keys are
/// as far from each other as pages allow, and 4 MiB of 16 bytes, three chunks have one of 341).
const FEW: usize = 512;

/// How many bytes of entries there may be where some are in pages. With 12 MiB, keys that come in any order cost more
/// there than in segments until all have come, and with 120 MiB three times as much (PERF.md, keyed).
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The largest entry in pages, in bytes: an entry that comes moves up to 63 others, and these are 32 KiB then.
const LARGEST: usize = 512;

/// Values by key, of one subtask, whose keys stay.
///
/// ```
/// use slotflow_runtime::values::Values;
///
/// let mut counts = Values::new((0, u64::MAX));
/// for user in [1_000_001u64, 1_000_002, 1_000_001] {
///     counts.entry(None, user, |known, user| known == user, |user| (user, 0)).1 += 1;
/// }
/// let mut counts: Vec<_> = counts.into_iter().collect();
/// counts.sort();
/// assert_eq!(counts, [(1_000_001, 2), (1_000_002, 1)]);
/// ```
pub struct Values<K, V> {
    pages: Pages<(K, V)>,
    segments: Segments<K, V>,
    /// How many there are, or more, if a key could not be hashed that had been counted.
    keys: usize,
    /// How many there were when the pages began.
    begun: usize,
    /// The number of the newest key that no page covered.
    newest: Option<u64>,
}

impl<K: Key, V> Values<K, V> {
    /// Whether any may be in pages.
    const PAGED: bool = size_of::<(K, V)>() <= LARGEST;

    /// None yet, of keys that have hashes from `first` on, of which there are `more` besides. A hash outside costs
    /// time and changes nothing.
    pub fn new(hashes: (u64, u64)) -> Self {
        Values { pages: Pages::new(), segments: Segments::new(hashes), keys: 0, begun: 0, newest: None }
    }

    /// Has what is needed for these keys asked for meanwhile, as far as it pays, or notes it under numbers from
    /// `first` on, as [`Segments::hint`] does. It is for where most keys are: others are found without.
    #[inline(always)]
    pub fn hint<Q: Key>(&mut self, keys: impl Iterator<Item = Q>, first: Hint) {
        if 2 * self.pages.len() < self.keys || !fits::<(K, V)>(self.keys) {
            if self.pages.len() > 0 {
                self.give_up();
            }
            self.segments.hint(keys.map(|key| key.hash()), first);
        } else if first == Hint::NONE {
            keys.take(1).for_each(|key| self.fetch(&key));
        } else if self.pages.bytes() > CACHED_BYTES {
            keys.take(LOOK_AHEAD).for_each(|key| self.fetch(&key));
        }
    }

    /// Gives pages up that have nearly nothing, and one page if there is too much.
    #[cold]
    fn give_up(&mut self) {
        let has_nothing = self.pages.len() < WORTH && FEW * self.pages.len() < self.keys - self.begun;
        let given_up = if has_nothing { usize::MAX } else { usize::from(!fits::<(K, V)>(self.keys)) };
        let pages = std::iter::from_fn(|| self.pages.shed());
        for entry in pages.take(given_up).flatten() {
            self.segments.put(entry);
        }
    }

    #[inline(always)]
    fn fetch(&self, key: &impl Key) {
        if let Some(entry) = key.number().and_then(|number| self.pages.place(number)) {
            prefetch_whole(entry);
        }
    }

    /// The entry of `key`, of which `hint` was given, if it was, and which is `same` as a known one or made a new
    /// one by `make`. A hint of another key, or of another time, costs time and changes nothing.
    #[inline(always)]
    pub fn entry<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        make: impl FnOnce(Q) -> (K, V),
    ) -> &mut (K, V) {
        let Values { pages, segments, keys, begun, newest } = self;
        let number = if Self::PAGED { key.number() } else { None };
        match number {
            Some(number) if pages.covers(number) => {
                let is = |entry: &(K, V), key: &Q| same(&entry.0, key);
                let settle = |pages, key| settle((pages, segments, keys), (number, key), hint, &same, make);
                pages.known_or(number, key, is, settle)
            }
            _ => segments.entry(hint, key, same, |key| {
                let entry = make(key);
                *keys += 1;
                if let Some(number) = number
                    && spread(pages, *keys, newest.replace(number), number)
                {
                    *begun = *keys;
                }
                entry
            }),
        }
    }

    /// How many keys there are, and what all of it takes, in bytes. Costs a look at each segment.
    pub fn size(&self) -> StateSize {
        self.segments.size() + StateSize { keys: self.pages.len(), bytes: self.pages.bytes() }
    }
}

/// Whether so many entries may be in pages.
#[inline(always)]
fn fits<E>(entries: usize) -> bool {
    entries * size_of::<E>() <= MOST_BYTES
}

/// Has the number of a new key covered, if it is near those that are. Says whether pages begin, with it and the one
/// before.
fn spread<E>(pages: &mut Pages<E>, keys: usize, before: Option<u64>, number: u64) -> bool {
    if pages.len() > 0 {
        pages.reach(number, most(pages, keys));
        return false;
    }
    // They have some time to get a value before others begin: their numbers need not come right behind.
    let is_time = fits::<E>(keys) && (pages.is_bare() || keys.is_power_of_two());
    let Some(before) = before.filter(|before| is_time && number.abs_diff(*before) < NEAR) else {
        return false;
    };
    pages.begin([before, number]);
    true
}

/// How many chunks may be listed, where there are so many keys.
fn most<E>(pages: &Pages<E>, keys: usize) -> usize {
    if fits::<E>(keys) { MORE + pages.len() / WORTH } else { 0 }
}

/// The entry of a key that pages cover and do not have: one that moves there, or a new one. If another key of the
/// same number is there, it stays where it is.
#[cold]
#[inline(never)]
fn settle<'a, K: Key, V, Q: Key>(
    (pages, segments, keys): (&'a mut Pages<(K, V)>, &'a mut Segments<K, V>, &mut usize),
    (number, key): (u64, Q),
    hint: Option<Hint>,
    same: impl Fn(&K, &Q) -> bool,
    make: impl FnOnce(Q) -> (K, V),
) -> &'a mut (K, V) {
    let (fits, elsewhere, most) = (fits::<(K, V)>(*keys), *keys - pages.len(), most(pages, *keys));
    pages.reach(number.saturating_sub(CHUNK), most);
    pages.reach(number.saturating_add(CHUNK), most);
    let make = |key| {
        let entry = make(key);
        debug_assert_eq!(entry.0.number(), Some(number), "a key is kept that has another number");
        *keys += 1;
        entry
    };
    let Some(vacancy) = fits.then(|| pages.vacancy(number)).flatten() else {
        return segments.entry(hint, key, same, make);
    };
    let is = |(known, _): &(K, V)| same(known, &key);
    let known = if elsewhere > 0 { segments.leave_by(key.hash(), is) } else { None };
    vacancy.insert(known.unwrap_or_else(|| make(key)))
}

/// The keys and values, in no order.
pub type Entries<K, V> = std::iter::Chain<pages::IntoEntries<(K, V)>, segments::Entries<K, V>>;

impl<K, V> IntoIterator for Values<K, V> {
    type Item = (K, V);
    type IntoIter = Entries<K, V>;

    fn into_iter(self) -> Entries<K, V> {
        self.pages.into_iter().chain(self.segments)
    }
}

#[cfg(test)]
mod tests;
