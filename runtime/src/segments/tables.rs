//! Tables, and places in them.
#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr::NonNull;

use super::home::{Home, Start};
use super::slots::Slots;
use crate::{Hint, LOOK_AHEAD};

/// Tables that can be searched without being looked at.
///
/// Starts and notes are places in memory: a start of a table, a note of an entry. They are forgotten when the table or
/// the entry goes or moves, and nobody outside of this file can make it: that is why a place can be looked at without
/// asking what is there.
pub struct Tables<E> {
    tables: Vec<Slots<E>>,
    /// What a search begins with in each stretch of hashes.
    starts: Vec<Start<E>>,
    /// The entries that were noted last, by number; none before the first and when they have been forgotten.
    notes: Vec<Option<NonNull<E>>>,
    /// Empty but for while notes are made: kept for its memory.
    ahead: Vec<u64>,
}

impl<E> Tables<E> {
    /// One table without memory, to which all stretches belong.
    pub fn new(stretches: usize) -> Self {
        let (tables, starts) = (vec![Slots::none()], vec![Start::NOWHERE; stretches]);
        Tables { tables, starts, notes: Vec::new(), ahead: Vec::new() }
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
            self.starts.capacity() * size_of::<Start<E>>() + self.ahead.capacity() * size_of::<u64>();
        let notes = self.notes.capacity() * size_of::<Option<NonNull<E>>>();
        self.tables.iter().map(Slots::bytes).sum::<usize>() + places + notes
    }

    /// Adds a table.
    pub fn push(&mut self, table: Slots<E>) {
        self.tables.push(table);
    }

    /// Replaces a table, whose entries can be taken out. Its stretches are [aimed](Tables::aim) anew before anything is
    /// found in it.
    pub fn replace(&mut self, number: usize, table: Slots<E>) -> Slots<E> {
        self.forget();
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

    /// Forgets what was noted. Who takes many entries out does it first: so it is not done for each.
    pub fn forget(&mut self) {
        self.notes.clear();
    }

    /// As [`Slots::take`]; `None` also if there is no such table. What goes is noted no more.
    pub fn take(&mut self, number: usize, slot: usize) -> Option<E> {
        let table = self.tables.get_mut(number)?;
        let goes = table.at_mut(slot).map(NonNull::from_mut);
        self.notes.iter_mut().for_each(|note| *note = note.filter(|_| *note != goes));
        table.take(slot)
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
        self.forget();
        self.tables[number].tidy(hash_of);
    }

    /// As [`Slots::clear`].
    pub fn clear(&mut self, number: usize) {
        self.forget();
        self.tables[number].clear();
    }

    /// Notes which entries the ones of these hashes seem to be, in the stretches that `place` names, under numbers from
    /// `first` on, and shows `fetch` where each is.
    #[inline(always)]
    pub fn note(
        &mut self,
        hashes: impl Iterator<Item = u64>,
        first: Hint,
        place: impl Fn(u64) -> usize,
        fetch: impl Fn(*const E),
    ) {
        if self.notes.is_empty() {
            self.notes.resize(LOOK_AHEAD, None);
        }
        let Tables { starts, notes, .. } = self;
        let (starts, notes) = (&starts[..], notes.get_mut(first.0..).unwrap_or_default());
        for (note, hash) in notes.iter_mut().zip(hashes) {
            // SAFETY: starts are of these tables.
            let (entry, at) = unsafe { start(starts, place(hash)).guess(hash) };
            *note = entry;
            fetch(at);
        }
    }

    /// As [`note`](Tables::note), where the tags are not near either: shows `fetch_tags` all of theirs first.
    #[inline(always)]
    pub fn note_afar(
        &mut self,
        hashes: impl Iterator<Item = u64>,
        first: Hint,
        place: impl Fn(u64) -> usize,
        fetch_tags: impl Fn(*const u8),
        fetch: impl Fn(*const E),
    ) {
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.extend(hashes.take(LOOK_AHEAD));
        ahead.iter().for_each(|hash| fetch_tags(self.home(place(*hash), *hash).tags()));
        self.note(ahead.drain(..), first, place, fetch);
        self.ahead = ahead;
    }

    /// Where the search for `hash`, which is in stretch `place`, begins.
    #[inline(always)]
    pub fn home(&self, place: usize, hash: u64) -> Home<E> {
        start(&self.starts, place).home(hash)
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
        if let Some(Some(note)) = self.notes.get_mut(number)
            // SAFETY: an entry of these tables, which are borrowed for as long as it is; what goes is not noted.
            && let entry = unsafe { note.as_mut() }
            && is(entry, &asked)
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

    /// Tables of one table, which has these numbers, their own hashes.
    fn of(numbers: &[u64]) -> Tables<u64> {
        let mut tables = Tables::new(1);
        let _nothing = tables.replace(0, Slots::new(16));
        tables.aim(&[0], 0..1);
        numbers.iter().for_each(|number| assert!(tables.insert(0, *number, *number).is_ok()));
        tables
    }

    #[test]
    fn as_many_are_shown_as_there_are_notes_for() {
        for (first, noted) in [(3, 2), (LOOK_AHEAD - 1, 1), (LOOK_AHEAD, 0), (usize::MAX, 0)] {
            let (mut tables, shown, tags) = (of(&[7, 8]), Cell::new(0), Cell::new(0));
            let show = |_| shown.set(shown.get() + 1);
            tables.note([7, 8].into_iter(), Hint(first), |_| 0, show);
            assert_eq!(shown.take(), noted);
            tables.note_afar([7, 8].into_iter(), Hint(first), |_| 0, |_| tags.set(tags.get() + 1), show);
            assert_eq!((tags.take(), shown.take()), (2, noted));
            assert_eq!(tables.notes.iter().flatten().count(), noted);
        }
    }

    #[test]
    fn an_entry_that_goes_or_moves_is_noted_no_more() {
        let ways: [fn(&mut Tables<u64>); 4] = [
            |tables| assert_eq!(tables.take(0, 7), Some(7)),
            |tables| tables.tidy(0, |number| *number),
            |tables| tables.clear(0),
            Tables::forget,
        ];
        for (way, go) in ways.into_iter().enumerate() {
            let mut tables = of(&[7, 8]);
            tables.note([7, 8, 9].into_iter(), Hint(0), |_| 0, |_| {});
            let noted = |tables: &Tables<u64>| tables.notes.iter().map(Option::is_some).collect::<Vec<_>>();
            assert_eq!(noted(&tables)[..3], [true, true, false], "9 is not there");
            go(&mut tables);
            // What is taken out by itself leaves the others noted.
            assert_eq!(noted(&tables).iter().filter(|noted| **noted).count(), usize::from(way == 0));
        }
    }

    #[test]
    fn notes_and_starts_of_a_table_are_forgotten_when_it_goes() {
        let mut tables = of(&[7]);
        tables.note([7].into_iter(), Hint(0), |_| 0, |_| {});
        assert_eq!(found(&mut tables), [true, true]);
        // It is kept, so what is found in it could be found.
        let kept = tables.replace(0, Slots::new(16));
        assert_eq!((kept.len(), found(&mut tables)), (1, [false, false]));
        tables.aim(&[0], 0..1);
        assert_eq!(found(&mut tables), [false, false]);
    }
}
