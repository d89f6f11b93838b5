//! A hash table that does not grow: entries side by side, and a tag of one byte for each.
//!
//! 1. An entry's hash names its home, one of a power of two of slots. It lies in the first slot that was free from
//!    there on: in the window of sixteen slots that begins at home, or, if that was full, in one further on. Behind
//!    the last home there are slots for its window, so a window is never cut in two.
//! 2. A tag is 0 where there never was an entry, 1 where one is gone, and else has its highest bit and seven bits of
//!    the hash. So a search compares sixteen tags at once, then the few entries whose tags are alike.
//! 3. A search ends at the first window with a tag of 0: what it looks for would be there. An entry that goes leaves
//!    a 1 if any window over its slot had no 0, and a 0 otherwise.
//!
//! That is the scheme of Abseil's Swiss tables and of hashbrown. What they cannot do is why this is here: a search can
//! be [begun](Start::home) while the entry is fetched from memory, and goes on without the table's own fields.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull, slice_from_raw_parts_mut};

use super::DESERTED;
use super::home::{Home, Start, tag};
use super::window::{WIDTH, Window};

/// There never was an entry.
pub(super) const EMPTY: u8 = 0;

/// There was an entry.
pub(super) const GONE: u8 = 1;

/// There is an entry, which has not been placed anew yet: only while [`Slots::tidy`] runs.
const UNPLACED: u8 = 2;

/// The fewest homes there are memory for.
const FEWEST: usize = WIDTH;

/// The most homes: they and the slots behind the last one are counted in 32 bits.
const MOST: usize = 1 << 31;

/// The table.
pub struct Slots<E> {
    tags: NonNull<u8>,
    entries: NonNull<E>,
    /// One less than there are homes; there are [`WIDTH`] - 1 more slots than homes. 0 if there is no memory.
    mask: u32,
    len: u32,
    /// How many slots have or had an entry.
    used: u32,
    /// How many may.
    limit: u32,
}

impl<E> Slots<E> {
    /// A table without memory.
    pub fn none() -> Self {
        let Home { tags, entry, .. } = Home::NOWHERE;
        Slots { tags, entries: entry, mask: 0, len: 0, used: 0, limit: 0 }
    }

    /// A table with so many homes, a power of two from 16 to 2^31.
    ///
    /// # Panics
    /// There would be more: keys whose hashes are alike have outgrown what can be counted. With fewer than it was asked
    /// for, who wants room would ask for ever.
    pub fn new(homes: usize) -> Self {
        assert!(
            homes <= MOST,
            "{homes} homes for keys whose hashes are alike; give them a hash that spreads them"
        );
        let homes = homes.max(FEWEST).next_power_of_two();
        let slots = homes + WIDTH - 1;
        let tags = NonNull::from_mut(Box::leak(vec![EMPTY; slots].into_boxed_slice())).cast();
        let entries = NonNull::from_mut(Box::leak(Box::<[E]>::new_uninit_slice(slots))).cast();
        Slots { tags, entries, mask: homes as u32 - 1, len: 0, used: 0, limit: (homes / 8 * 7) as u32 }
    }

    /// The same, where fewer slots may be used: no more than this. By default it is seven eighths of the homes.
    pub fn limited(mut self, limit: usize) -> Self {
        self.limit = self.limit.min(limit as u32);
        self
    }

    /// How many slots may be used.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// How many homes there are.
    pub fn homes(&self) -> usize {
        if self.mask == 0 { 0 } else { self.mask as usize + 1 }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        if self.mask == 0 { 0 } else { self.mask as usize + WIDTH }
    }

    /// Whether nearly all entries have gone, and what they leave can be given back.
    pub fn is_deserted(&self) -> bool {
        let is_least = if self.len == 0 { self.mask == 0 } else { self.homes() <= FEWEST };
        !is_least && self.len() * DESERTED < self.homes()
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.slots() * (size_of::<E>() + 1)
    }

    /// What is to be known of it, which is table `number`, to begin a search.
    pub fn start(&self, number: u32) -> Start<E> {
        Start { tags: self.tags, entries: self.entries, mask: self.mask, number }
    }

    #[inline(always)]
    fn window(&self, home: usize) -> Window {
        debug_assert!(home <= self.mask as usize);
        // SAFETY: from each home on there are sixteen tags, also where there is no memory.
        unsafe { Window::at(self.tags.add(home).as_ptr()) }
    }

    /// The homes whose windows a search for `hash` looks at, each once.
    fn windows(&self, hash: u64) -> impl Iterator<Item = usize> + use<E> {
        let mask = self.mask as usize;
        let steps = (0..).map(|number| number * WIDTH).take_while(move |step| *step <= mask);
        steps.scan(hash as usize & mask, move |at, step| {
            // Further away each time, so that where many homes are close together not all take the same way.
            *at = (*at + step) & mask;
            Some(*at)
        })
    }

    /// The slot of the entry that `is` the one among those of `hash`.
    pub fn find(&self, hash: u64, is: impl Fn(&E) -> bool) -> Option<usize> {
        for home in self.windows(hash) {
            let window = self.window(home);
            let mut bits = window.are(tag(hash));
            while bits != 0 {
                let slot = home + bits.trailing_zeros() as usize;
                if self.at(slot).is_some_and(&is) {
                    return Some(slot);
                }
                bits &= bits - 1;
            }
            if window.are(EMPTY) != 0 {
                return None;
            }
        }
        None
    }

    /// Adds an entry that is not there yet, and says in which slot; gives it back if there is no room for it.
    ///
    /// # Errors
    /// As many slots are used as may be, or all where it might be.
    pub fn insert(&mut self, hash: u64, entry: E) -> Result<usize, E> {
        if self.used >= self.limit {
            return Err(entry);
        }
        let Some((_, slot)) = self.vacant(hash) else { return Err(entry) };
        // SAFETY: the slot is in the table.
        let (known, place) = unsafe { (self.tags.add(slot).as_mut(), self.entries.add(slot)) };
        self.len += 1;
        self.used += u32::from(*known == EMPTY);
        *known = tag(hash);
        // SAFETY: its tag said that there is nothing which would have to be dropped.
        unsafe { place.write(entry) };
        Ok(slot)
    }

    /// Which of the sixteen slots from `slot` on have entries, that one's bit the lowest; `None` behind the last slot.
    #[inline(always)]
    pub fn occupied(&self, slot: usize) -> Option<u32> {
        let slots = self.slots();
        if slot >= slots {
            return None;
        }
        // The last window ends with the last slot.
        let from = slot.min(slots - WIDTH);
        // SAFETY: from there on there are sixteen tags.
        let high = unsafe { Window::at(self.tags.add(from).as_ptr()) }.are_high();
        Some(high >> (slot - from))
    }

    /// The entry in a slot.
    #[inline(always)]
    pub fn at(&self, slot: usize) -> Option<&E> {
        // SAFETY: its tag says that there is an entry.
        self.has(slot).then(|| unsafe { self.entries.add(slot).as_ref() })
    }

    /// The entry in a slot, to be changed.
    #[inline(always)]
    pub fn at_mut(&mut self, slot: usize) -> Option<&mut E> {
        // SAFETY: its tag says that there is an entry.
        self.has(slot).then(|| unsafe { self.entries.add(slot).as_mut() })
    }

    /// The entry in a slot that has one.
    ///
    /// # Safety
    /// It has.
    #[inline(always)]
    pub unsafe fn entry_mut(&mut self, slot: usize) -> &mut E {
        debug_assert!(self.has(slot));
        // SAFETY: the caller's word.
        unsafe { self.entries.add(slot).as_mut() }
    }

    #[inline(always)]
    fn has(&self, slot: usize) -> bool {
        self.tags().get(slot).is_some_and(|tag| *tag >= 0x80)
    }

    /// Takes the entry of a slot out.
    pub fn take(&mut self, slot: usize) -> Option<E> {
        let left = if self.has(slot) && self.is_passed(slot) { GONE } else { EMPTY };
        self.take_leaving(left, slot)
    }

    /// Takes the entry of a slot out and leaves this tag there; any will do where nobody searches any more.
    fn take_leaving(&mut self, left: u8, slot: usize) -> Option<E> {
        // SAFETY: it has one.
        self.has(slot).then(|| unsafe { self.take_from(slot, left) })
    }

    /// As [`take_leaving`](Slots::take_leaving), of a slot that has an entry.
    ///
    /// # Safety
    /// It has.
    #[inline(always)]
    unsafe fn take_from(&mut self, slot: usize, left: u8) -> E {
        debug_assert!(self.has(slot));
        self.len -= 1;
        self.used -= u32::from(left == EMPTY);
        // SAFETY: the slot is in the table, and its tag says from now on that there is no entry.
        unsafe {
            self.tags.add(slot).write(left);
            self.entries.add(slot).read()
        }
    }

    /// Whether a window over this slot has no empty one, so that a search may have gone on behind it.
    fn is_passed(&self, slot: usize) -> bool {
        let (before, behind) = self.tags().split_at(slot);
        let used = |tag: &&u8| **tag != EMPTY;
        let run = before.iter().rev().take_while(used).take(WIDTH).count();
        run + behind.iter().take_while(used).take(WIDTH).count() >= WIDTH
    }

    /// Makes what has gone leave no trace: places all entries anew, in the memory that there is. `hash_of` gives their
    /// hashes; should it panic, what has not been placed is lost and not dropped.
    pub fn tidy(&mut self, hash_of: impl Fn(&E) -> u64) {
        self.tags_mut().iter_mut().for_each(|tag| *tag = if *tag >= 0x80 { UNPLACED } else { EMPTY });
        self.used = self.len;
        for slot in 0..self.slots() {
            while self.tags()[slot] == UNPLACED {
                // SAFETY: its tag says that there is an entry.
                let hash = hash_of(unsafe { self.entries.add(slot).as_ref() });
                self.place(slot, hash);
            }
        }
    }

    /// Moves the entry of `slot`, whose hash this is, to where it belongs; what was there comes to `slot`, unplaced.
    fn place(&mut self, slot: usize, hash: u64) {
        let to = match self.vacant(hash) {
            // It will be found where it is, as the windows before this one are full for good.
            Some((home, _)) if (home..home + WIDTH).contains(&slot) => slot,
            Some((_, to)) => to,
            None => slot,
        };
        let displaced = self.tags()[to];
        self.tags_mut()[slot] = displaced;
        self.tags_mut()[to] = tag(hash);
        if to != slot {
            // SAFETY: both are in the table, and apart; where there was no entry, nobody asks for what comes there.
            unsafe {
                ptr::swap_nonoverlapping(self.entries.add(to).as_ptr(), self.entries.add(slot).as_ptr(), 1)
            };
        }
    }

    /// The first slot without a placed entry where one of `hash` would be looked for, and its window.
    #[inline(always)]
    fn vacant(&self, hash: u64) -> Option<(usize, usize)> {
        let home = hash as usize & self.mask as usize;
        match self.vacant_in(home) {
            0 => self.vacant_further(hash),
            bits => Some((home, home + bits.trailing_zeros() as usize)),
        }
    }

    /// As [`vacant`](Slots::vacant), where the first window is full.
    #[cold]
    fn vacant_further(&self, hash: u64) -> Option<(usize, usize)> {
        let vacant = |home| (self.vacant_in(home), home);
        let (bits, home) = self.windows(hash).map(vacant).find(|(bits, _)| *bits != 0)?;
        Some((home, home + bits.trailing_zeros() as usize))
    }

    /// Which slots of a window have no placed entry.
    #[inline(always)]
    fn vacant_in(&self, home: usize) -> u32 {
        !self.window(home).are_high() & 0xffff
    }

    /// Drops all entries, and keeps the memory.
    pub fn clear(&mut self) {
        self.drop_entries();
        self.tags_mut().fill(EMPTY);
        (self.len, self.used) = (0, 0);
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        (0..self.slots()).filter_map(|slot| self.at(slot))
    }

    fn tags(&self) -> &[u8] {
        // SAFETY: so many there are, also none.
        unsafe { NonNull::slice_from_raw_parts(self.tags, self.slots()).as_ref() }
    }

    fn tags_mut(&mut self) -> &mut [u8] {
        // SAFETY: so many there are, and they are the table's own: where there is no memory they are none.
        unsafe { NonNull::slice_from_raw_parts(self.tags, self.slots()).as_mut() }
    }

    fn drop_entries(&mut self) {
        if std::mem::needs_drop::<E>() {
            (0..self.slots()).for_each(|slot| drop(self.take_leaving(EMPTY, slot)));
        }
    }
}

impl<E> Drop for Slots<E> {
    fn drop(&mut self) {
        self.drop_entries();
        if self.mask == 0 {
            return;
        }
        // SAFETY: both come from boxes of as many, and the entries have been dropped.
        unsafe {
            drop(Box::from_raw(slice_from_raw_parts_mut(self.tags.as_ptr(), self.slots())));
            let entries = self.entries.cast::<std::mem::MaybeUninit<E>>().as_ptr();
            drop(Box::from_raw(slice_from_raw_parts_mut(entries, self.slots())));
        }
    }
}

/// The entries of a table, which goes with them.
pub struct IntoEntries<E> {
    slots: Slots<E>,
    /// Which slots from `from` on, sixteen at most, have entries that are not taken yet.
    occupied: u32,
    from: usize,
    /// Where the next sixteen begin.
    next: usize,
}

impl<E> Iterator for IntoEntries<E> {
    type Item = E;

    #[inline]
    fn next(&mut self) -> Option<E> {
        while self.occupied == 0 {
            (self.occupied, self.from) = (self.slots.occupied(self.next)?, self.next);
            self.next += WIDTH;
        }
        let slot = self.from + self.occupied.trailing_zeros() as usize;
        self.occupied &= self.occupied - 1;
        // SAFETY: it had an entry when the window was looked at, and nobody else takes any.
        Some(unsafe { self.slots.take_from(slot, EMPTY) })
    }
}

impl<E> IntoIterator for Slots<E> {
    type Item = E;
    type IntoIter = IntoEntries<E>;

    fn into_iter(self) -> IntoEntries<E> {
        IntoEntries { slots: self, from: 0, occupied: 0, next: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    /// Doubles the homes.
    fn grown(slots: Slots<(u64, u64, Rc<()>)>) -> Slots<(u64, u64, Rc<()>)> {
        let mut larger = Slots::new(2 * slots.homes());
        for entry in slots {
            assert!(larger.insert(entry.0, entry).is_ok());
        }
        larger
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Keys come and go; few hashes, so that windows are full and searches go on behind them.
        #[test]
        fn what_was_put_there_is_found_until_it_is_taken_out(
            steps in prop::collection::vec((any::<bool>(), 0..200u64), 0..600),
            hashes in 1..200u64,
        ) {
            let (owned, mut slots, mut model) = (Rc::new(()), Slots::none(), HashMap::new());
            for (number, (puts, key)) in (0..).zip(steps) {
                if number % 50 == 0 {
                    slots.tidy(|entry: &(u64, u64, Rc<()>)| entry.0);
                }
                let hash = (key % hashes) << 30 | (key % hashes);
                let found = slots.find(hash, |(_, known, _)| *known == key);
                prop_assert_eq!(found.is_some(), model.contains_key(&key));
                match found {
                    Some(slot) if puts => slots.at_mut(slot).unwrap().0 = hash,
                    Some(slot) => {
                        let taken = slots.take(slot).map(|entry| entry.1);
                        prop_assert_eq!(taken, model.remove(&key).map(|_: i32| key));
                    }
                    None if puts => {
                        if let Err(entry) = slots.insert(hash, (hash, key, owned.clone())) {
                            slots = grown(slots);
                            prop_assert!(slots.insert(hash, entry).is_ok());
                        }
                        model.insert(key, number);
                    }
                    None => {}
                }
                prop_assert_eq!((slots.len(), slots.iter().count()), (model.len(), model.len()));
                prop_assert_eq!(Rc::strong_count(&owned), model.len() + 1);
            }
            slots.clear();
            prop_assert_eq!((slots.len(), Rc::strong_count(&owned)), (0, 1));
        }
    }

    #[test]
    fn entries_are_dropped_with_the_table_and_with_what_is_left_of_it() {
        let owned = Rc::new(());
        let filled = || {
            (0..14).fold(Slots::new(1), |mut slots, key| {
                assert!(slots.insert(key, owned.clone()).is_ok());
                slots
            })
        };
        drop(filled());
        assert_eq!(Rc::strong_count(&owned), 1);
        let mut entries = filled().into_iter();
        let _first = entries.next();
        drop(entries);
        assert_eq!(Rc::strong_count(&owned), 2);
    }

    #[test]
    #[should_panic(expected = "2147483649 homes for keys whose hashes are alike")]
    fn a_table_is_never_smaller_than_it_was_asked_for() {
        let _table = Slots::<()>::new(MOST + 1);
    }

    #[test]
    fn seven_eighths_of_the_homes_find_room_whatever_their_hashes() {
        for homes in [16, 64, 1024] {
            for hash in [0, 5, homes - 1, u64::MAX] {
                let mut slots = Slots::new(homes as usize);
                (0..homes / 8 * 7).for_each(|key| assert!(slots.insert(hash, key).is_ok()));
                assert_eq!(slots.insert(hash, 0), Err(0));
            }
        }
    }
}
