//! Tables, and places in them.
#![allow(unsafe_code)]

use std::ops::Range;

use super::home::{Home, Start};
use super::slots::Slots;
use crate::{Hint, LOOK_AHEAD};

/// Tables that can be searched without being looked at.
///
/// Starts and notes are places in memory. Those of a table are forgotten when it goes, and nobody outside of this file
/// can replace one: that is why a place can be looked at without asking whose it is.
pub struct Tables<E> {
    tables: Vec<Slots<E>>,
    /// What a search begins with in each stretch of hashes.
    starts: Vec<Start<E>>,
    /// What was noted last, by number; none before the first.
    notes: Vec<Home<E>>,
}

impl<E> Tables<E> {
    /// One table without memory, to which all stretches belong.
    pub fn new(stretches: usize) -> Self {
        Tables { tables: vec![Slots::none()], starts: vec![Start::NOWHERE; stretches], notes: Vec::new() }
    }

    /// All of them.
    pub fn all(&self) -> &[Slots<E>] {
        &self.tables
    }

    /// All of them, without the notes.
    pub fn into_all(self) -> Vec<Slots<E>> {
        self.tables
    }

    /// What all of it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let places =
            self.starts.capacity() * size_of::<Start<E>>() + self.notes.capacity() * size_of::<Home<E>>();
        self.tables.iter().map(Slots::bytes).sum::<usize>() + places
    }

    /// Adds a table.
    pub fn push(&mut self, table: Slots<E>) {
        self.tables.push(table);
    }

    /// Replaces a table, whose entries can be taken out. Its stretches are [aimed](Tables::aim) anew before anything is
    /// found in it.
    pub fn replace(&mut self, number: usize, table: Slots<E>) -> Slots<E> {
        self.notes.fill(Home::NOWHERE);
        let belongs = |start: &&mut Start<E>| start.number as usize == number;
        self.starts.iter_mut().filter(belongs).for_each(|start| *start = Start::NOWHERE);
        std::mem::replace(&mut self.tables[number], table)
    }

    /// To which tables the stretches belong: those in `changed`, or all if there are more of them now.
    pub fn aim(&mut self, stretches: &[u32], changed: Range<usize>) {
        let changed = if stretches.len() == self.starts.len() { changed } else { 0..stretches.len() };
        self.starts.resize(stretches.len(), Start::NOWHERE);
        for stretch in changed {
            self.starts[stretch] = self.tables[stretches[stretch] as usize].start(stretches[stretch]);
        }
    }

    /// As [`Slots::at_mut`]; `None` also if there is no such table.
    pub fn at_mut(&mut self, number: usize, slot: usize) -> Option<&mut E> {
        self.tables.get_mut(number)?.at_mut(slot)
    }

    /// As [`Slots::take`]; `None` also if there is no such table.
    pub fn take(&mut self, number: usize, slot: usize) -> Option<E> {
        self.tables.get_mut(number)?.take(slot)
    }

    /// As [`Slots::insert`].
    ///
    /// # Errors
    /// There is no room.
    pub fn insert(&mut self, number: usize, hash: u64, entry: E) -> Result<usize, E> {
        self.tables[number].insert(hash, entry)
    }

    /// As [`Slots::tidy`].
    pub fn tidy(&mut self, number: usize, hash_of: impl Fn(&E) -> u64) {
        self.tables[number].tidy(hash_of);
    }

    /// As [`Slots::clear`].
    pub fn clear(&mut self, number: usize) {
        self.tables[number].clear();
    }

    /// Notes where the searches for these hashes begin, under numbers from `first` on, in the stretches that `place`
    /// names, shows each to `fetch`, and says how many there are.
    #[inline(always)]
    pub fn note(
        &mut self,
        hashes: impl Iterator<Item = u64>,
        first: Hint,
        place: impl Fn(u64) -> usize,
        fetch: impl Fn(&Home<E>),
    ) -> usize {
        if self.notes.is_empty() {
            self.notes.resize(LOOK_AHEAD, Home::NOWHERE);
        }
        let Tables { starts, notes, .. } = self;
        let (starts, notes) = (&starts[..], notes.get_mut(first.0..).unwrap_or_default());
        let mut noted = 0;
        for (note, hash) in notes.iter_mut().zip(hashes) {
            *note = start(starts, place(hash)).home(hash);
            fetch(note);
            noted += 1;
        }
        noted
    }

    /// Where the search for `hash`, which is in stretch `place`, begins.
    #[inline(always)]
    pub fn home(&self, place: usize, hash: u64) -> Home<E> {
        start(&self.starts, place).home(hash)
    }

    /// Shows `fetch` where so many entries seem to be that were noted from `first` on. Not those of older notes:
    /// looking at their tags would wait for memory.
    #[inline(always)]
    pub fn seem(&self, first: Hint, noted: usize, fetch: impl Fn(*const E)) {
        // SAFETY: notes are of these tables.
        self.notes.iter().skip(first.0).take(noted).for_each(|note| fetch(unsafe { note.seems() }));
    }

    /// The entry that `is` the one for `asked`, if it is where it was noted under this number; what `otherwise` finds
    /// if not. Whoever the note was made for: an entry that is given is the one.
    #[inline(always)]
    pub fn noted_or<'a, Q>(
        &'a mut self,
        Hint(number): Hint,
        asked: Q,
        is: impl Fn(&E, &Q) -> bool,
        otherwise: impl FnOnce(&'a mut Self, Q) -> &'a mut E,
    ) -> &'a mut E {
        if let Some(note) = self.notes.get(number)
            // SAFETY: notes are of these tables, which are borrowed for as long as the entry is.
            && let Some(entry) = unsafe { note.find(|entry| is(entry, &asked)) }
        {
            return entry;
        }
        otherwise(self, asked)
    }

    /// The entry that `is` the one for `asked`, if it is in the window at `home`; what `otherwise` finds if not.
    #[inline(always)]
    pub fn near_or<'a, Q>(
        &'a mut self,
        (place, hash): (usize, u64),
        asked: Q,
        is: impl Fn(&E, &Q) -> bool,
        otherwise: impl FnOnce(&'a mut Self, Q) -> &'a mut E,
    ) -> &'a mut E {
        let home = self.home(place, hash);
        // SAFETY: starts are of these tables, which are borrowed for as long as the entry is.
        match unsafe { home.find(|entry| is(entry, &asked)) } {
            Some(entry) => entry,
            None => otherwise(self, asked),
        }
    }

    /// The entry of table `number` that `is` the one for `asked` among those of `hash`. If there is none, the one that
    /// is made for it, in the table that `grow` has made room in, if it must.
    pub fn entry<Q>(
        &mut self,
        (mut number, hash): (usize, u64),
        asked: Q,
        is: impl Fn(&E, &Q) -> bool,
        make: impl FnOnce(Q) -> E,
        mut grow: impl FnMut(&mut Self) -> usize,
    ) -> &mut E {
        let slot = match self.tables[number].find(hash, |entry| is(entry, &asked)) {
            Some(slot) => slot,
            None => {
                let mut entry = make(asked);
                loop {
                    match self.insert(number, hash, entry) {
                        Ok(slot) => break slot,
                        Err(back) => (entry, number) = (back, grow(self)),
                    }
                }
            }
        };
        // SAFETY: it was found there, or has just been put there.
        unsafe { self.tables[number].entry_mut(slot) }
    }
}

/// What a search begins with in stretch `place`, or in the last one.
#[inline(always)]
fn start<E>(starts: &[Start<E>], place: usize) -> &Start<E> {
    match starts.get(place) {
        Some(start) => start,
        None => &starts[starts.len() - 1],
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What is found of key 7 from its note, and without.
    fn found(tables: &mut Tables<u64>) -> [bool; 2] {
        let (is, mut missed) = (|known: &u64, asked: &u64| known == asked, [false; 2]);
        let mut nothing = [0, 0];
        let [first, second] = &mut nothing;
        // The tables are needed no more where they have nothing; the lifetimes say so.
        let noted = tables.noted_or(Hint(0), 7, is, |_, _| first);
        missed[0] = *noted == 0;
        let near = tables.near_or((0, 7), 7, is, |_, _| second);
        missed[1] = *near == 0;
        missed.map(|missed| !missed)
    }

    #[test]
    fn only_what_was_just_noted_is_asked_for() {
        let (mut tables, asked) = (Tables::<u64>::new(1), Cell::new(0));
        for (first, noted) in [(3, 2), (LOOK_AHEAD - 1, 1), (LOOK_AHEAD, 0), (usize::MAX, 0)] {
            assert_eq!(tables.note([7, 8].into_iter(), Hint(first), |_| 0, |_| {}), noted);
            asked.set(0);
            tables.seem(Hint(first), noted, |_| asked.set(asked.get() + 1));
            assert_eq!(asked.get(), noted);
        }
    }

    #[test]
    fn notes_and_starts_of_a_table_are_forgotten_when_it_goes() {
        let mut tables = Tables::new(1);
        let _nothing = tables.replace(0, Slots::new(16));
        tables.aim(&[0], 0..1);
        assert_eq!(tables.insert(0, 7, 7), Ok(7));
        tables.note([7].into_iter(), Hint(0), |_| 0, |_| {});
        assert_eq!(found(&mut tables), [true, true]);
        // It is kept, so what is found in it could be found.
        let kept = tables.replace(0, Slots::new(16));
        assert_eq!((kept.len(), found(&mut tables)), (1, [false, false]));
        tables.aim(&[0], 0..1);
        assert_eq!(found(&mut tables), [false, false]);
    }
}
