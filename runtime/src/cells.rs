//! An array of cells that may be empty, at a bit for each.
//!
//! An `Option` of a number takes as much again as the number; of ten million keys that is a third of all there is.
#![allow(unsafe_code)]

use std::mem::{MaybeUninit, needs_drop};

/// How many cells it grows by: they are allocated in one step (a guess: 48 KiB of a `String`).
const CHUNK: usize = 2048;

/// The cells, by row. They never move, and those of a chunk are made in one step.
///
/// ```
/// use slotflow_runtime::Cells;
///
/// let mut cells = Cells::default();
/// cells.grow(10);
/// cells.put(7, Some("seven"));
/// assert_eq!((cells.at(7), cells.at(8)), (Some(&"seven"), None));
/// assert_eq!(cells.take(7), Some("seven"));
/// assert_eq!(cells.take(7), None);
/// ```
pub struct Cells<C>(Vec<Chunk<C>>);

impl<C> Default for Cells<C> {
    fn default() -> Self {
        Cells(Vec::new())
    }
}

/// Some neighbouring cells.
struct Chunk<C> {
    /// Which of them are full, a bit for each.
    marks: Box<[u64]>,
    values: Box<[MaybeUninit<C>]>,
}

impl<C> Chunk<C> {
    fn new() -> Self {
        let marks = vec![0; CHUNK.div_ceil(64)].into_boxed_slice();
        Chunk { marks, values: Box::new_uninit_slice(CHUNK) }
    }

    #[inline]
    fn is_full(&self, index: usize) -> bool {
        self.marks[index / 64] >> (index % 64) & 1 != 0
    }

    #[inline]
    fn mark(&mut self, index: usize, full: bool) {
        let mark = &mut self.marks[index / 64];
        *mark = *mark & !(1 << (index % 64)) | u64::from(full) << (index % 64);
    }

    /// Fills an empty cell.
    #[inline]
    fn fill(&mut self, index: usize, value: C) -> &mut C {
        self.mark(index, true);
        self.values[index].write(value)
    }

    #[inline]
    fn take(&mut self, index: usize) -> Option<C> {
        if !self.is_full(index) {
            return None;
        }
        self.mark(index, false);
        // SAFETY: it was marked as full, and is no more: the value has one owner.
        Some(unsafe { self.values[index].assume_init_read() })
    }
}

impl<C> Drop for Chunk<C> {
    fn drop(&mut self) {
        if needs_drop::<C>() {
            (0..CHUNK).for_each(|index| drop(self.take(index)));
        }
    }
}

impl<C> Cells<C> {
    /// How many rows it grows by.
    pub const CHUNK: usize = CHUNK;

    /// Makes room for this many rows in all.
    pub fn grow(&mut self, rows: usize) {
        while self.0.len() * CHUNK < rows {
            self.0.push(Chunk::new());
        }
    }

    /// The value of a row.
    #[inline]
    pub fn at(&self, row: u32) -> Option<&C> {
        let (chunk, index) = (self.0.get(row as usize / CHUNK)?, row as usize % CHUNK);
        // SAFETY: it is marked as full.
        chunk.is_full(index).then(|| unsafe { chunk.values[index].assume_init_ref() })
    }

    /// The value of a row, to be changed where it lies.
    #[inline]
    pub fn at_mut(&mut self, row: u32) -> Option<&mut C> {
        let (chunk, index) = (self.0.get_mut(row as usize / CHUNK)?, row as usize % CHUNK);
        // SAFETY: it is marked as full.
        chunk.is_full(index).then(|| unsafe { chunk.values[index].assume_init_mut() })
    }

    /// Fills the cell of a row, or empties it. There is room for the row, as for an index of a slice.
    #[inline]
    pub fn put(&mut self, row: u32, value: Option<C>) {
        drop(self.take(row));
        if let Some(value) = value {
            self.0[row as usize / CHUNK].fill(row as usize % CHUNK, value);
        }
    }

    /// The value of a row, to be changed where it lies; made by `make` if there is none. There is room for the row, as
    /// for an index of a slice.
    #[inline]
    pub fn at_or(&mut self, row: u32, make: impl FnOnce() -> C) -> &mut C {
        let (chunk, index) = (&mut self.0[row as usize / CHUNK], row as usize % CHUNK);
        if !chunk.is_full(index) {
            return chunk.fill(index, make());
        }
        // SAFETY: it is marked as full.
        unsafe { chunk.values[index].assume_init_mut() }
    }

    /// Takes the value of a row out.
    #[inline]
    pub fn take(&mut self, row: u32) -> Option<C> {
        self.0.get_mut(row as usize / CHUNK)?.take(row as usize % CHUNK)
    }

    /// What it takes, without what the values own on the heap.
    pub fn bytes(&self) -> usize {
        self.0.len() * (CHUNK * size_of::<C>() + CHUNK.div_ceil(64) * size_of::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_row_has_what_was_put_there_last_and_nothing_is_kept_or_dropped_twice(
            steps in prop::collection::vec((0..5 * CHUNK as u32, 0..4u8), 0..300),
        ) {
            let (owned, mut model) = (Rc::new(()), HashMap::new());
            let mut cells = Cells::default();
            cells.grow(5 * CHUNK);
            for (number, (row, what)) in (0..).zip(steps) {
                // Few rows, on both sides of a word's and of a chunk's edge.
                let row = row / 61 * 61;
                match what {
                    0 => prop_assert_eq!(cells.take(row).map(|(n, _)| n), model.remove(&row)),
                    1 => cells.at_or(row, || (number, owned.clone())).0 = *model.entry(row).or_insert(number),
                    2 => {
                        cells.put(row, Some((number, owned.clone())));
                        model.insert(row, number);
                    }
                    _ => {
                        cells.put(row, None);
                        model.remove(&row);
                    }
                }
                prop_assert_eq!(cells.at(row).map(|(n, _)| n), model.get(&row));
                prop_assert_eq!(Rc::strong_count(&owned), model.len() + 1);
            }
            let all = (0..5 * CHUNK as u32).filter_map(|row| Some((row, cells.at_mut(row)?.0)));
            prop_assert_eq!(all.collect::<HashMap<_, _>>(), model);
            drop(cells);
            prop_assert_eq!(Rc::strong_count(&owned), 1);
        }
    }

    #[test]
    fn a_row_without_room_is_empty() {
        let mut cells = Cells::<u8>::default();
        assert_eq!((cells.bytes(), cells.at_mut(9)), (0, None));
        assert_eq!((cells.take(u32::MAX), cells.at(0)), (None, None));
        cells.grow(1);
        assert_eq!((cells.at(CHUNK as u32), cells.bytes()), (None, CHUNK + CHUNK / 8));
    }
}
