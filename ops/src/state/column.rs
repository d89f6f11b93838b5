//! One state of all keys: a column, of which each key has a cell.
//!
//! The table of keys knows a key's row; every state has its cell at that row, in a column of its own type. So one
//! look-up finds all states of a key, nothing is boxed for a key, and a state that few keys have costs the others
//! an empty cell. Columns grow by chunks, so that no step pays for all keys.

use std::any::Any;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use slotflow_runtime::{Cells, MAX_TIMESTAMP, MIN_TIMESTAMP, Result, Timestamp};

use super::bytes::{read, write};
use super::ttl::Now;
use super::{StateDescriptor, Ttl};

/// Rows that a column grows by.
const CHUNK: usize = Cells::<()>::CHUNK;

/// What can be stored as state: anything owned that `serde` reads and writes, so that it outlives the process.
///
/// Implemented for everything that qualifies.
pub trait State: Serialize + DeserializeOwned + 'static {}

impl<T: Serialize + DeserializeOwned + 'static> State for T {}

/// What a cell holds.
pub(crate) trait Cell: State {
    /// What it has on the heap, as far as its type tells.
    fn heap_bytes(&self) -> usize;
}

/// A value as it is; what it owns on the heap is not known.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Plain<T>(pub(crate) T);

impl<T: State> Cell for Plain<T> {
    #[inline]
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl<T: State> Cell for Vec<T> {
    #[inline]
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<K: State + Ord, V: State> Cell for BTreeMap<K, V> {
    #[inline]
    fn heap_bytes(&self) -> usize {
        // A node has room for eleven entries and is, on average, two thirds full.
        self.len() * (size_of::<K>() + size_of::<V>()) * 3 / 2
    }
}

/// When a cell was written that was stored while its state had no time to live: it begins one when it is looked at.
const UNKNOWN: Timestamp = MAX_TIMESTAMP;

/// The key in hand, as its states see it.
pub(crate) struct At {
    /// Its row.
    pub(crate) row: u32,
    /// How many cells and timers it has; a key without any is forgotten.
    pub(crate) live: u32,
    /// When its states are looked at.
    pub(crate) now: Now,
}

/// A growing array that never moves what it holds.
pub(crate) struct Chunks<X>(Vec<Box<[X]>>);

impl<X> Default for Chunks<X> {
    fn default() -> Self {
        Chunks(Vec::new())
    }
}

impl<X> Chunks<X> {
    /// Makes room for this many in all.
    pub(crate) fn grow(&mut self, rows: usize, make: impl Fn() -> X) {
        while self.0.len() * CHUNK < rows {
            self.0.push((0..CHUNK).map(|_| make()).collect());
        }
    }

    /// What is at `row`, for which there is room.
    #[inline]
    pub(crate) fn cell(&self, row: u32) -> &X {
        &self.0[row as usize / CHUNK][row as usize % CHUNK]
    }

    /// As [`cell`](Chunks::cell), to be changed.
    #[inline]
    pub(crate) fn cell_mut(&mut self, row: u32) -> &mut X {
        &mut self.0[row as usize / CHUNK][row as usize % CHUNK]
    }

    /// What it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * CHUNK * size_of::<X>()
    }
}

/// One state of all keys.
pub(crate) struct Column<C> {
    cells: Cells<C>,
    /// When each was last written; of no use, and so empty, without a time to live.
    written: Chunks<Timestamp>,
    ttl: Option<Ttl>,
    heap_bytes: usize,
}

impl<C: Cell> Column<C> {
    fn new(ttl: Option<Ttl>) -> Self {
        Column { cells: Cells::default(), written: Chunks::default(), ttl, heap_bytes: 0 }
    }

    /// The cell, unless it is empty or its time is over.
    #[inline]
    pub(crate) fn read(&mut self, at: &mut At) -> Option<&C> {
        self.drop_if_over(at);
        if let Some(ttl) = self.ttl.filter(|ttl| ttl.is_renewed_by_reads()) {
            self.touch(ttl, at, *self.written.cell(at.row));
        }
        self.cells.at(at.row)
    }

    /// Changes the cell, and notes that it was written.
    #[inline]
    pub(crate) fn edit<R>(&mut self, at: &mut At, edit: impl FnOnce(&mut Option<C>) -> R) -> R {
        self.drop_if_over(at);
        let mut cell = self.cells.take(at.row);
        let before = (cell.is_some(), heap_bytes(&cell));
        let result = edit(&mut cell);
        at.live = at.live + u32::from(cell.is_some()) - u32::from(before.0);
        self.heap_bytes = self.heap_bytes + heap_bytes(&cell) - before.1;
        self.cells.put(at.row, cell);
        if let Some(ttl) = self.ttl {
            // An empty cell may be one that another key has left.
            let written = if before.0 { *self.written.cell(at.row) } else { MIN_TIMESTAMP };
            self.touch(ttl, at, written);
        }
        result
    }

    /// The cell's value, made by `make` if there is none, to be changed where it lies.
    #[inline]
    pub(crate) fn edit_in_place(&mut self, at: &mut At, make: impl FnOnce() -> C) -> &mut C {
        self.drop_if_over(at);
        let is_new = self.cells.at(at.row).is_none();
        if let Some(ttl) = self.ttl {
            let written = if is_new { MIN_TIMESTAMP } else { *self.written.cell(at.row) };
            self.touch(ttl, at, written);
        }
        at.live += u32::from(is_new);
        let heap_bytes = &mut self.heap_bytes;
        self.cells.at_or(at.row, || {
            let made = make();
            *heap_bytes += made.heap_bytes();
            made
        })
    }

    /// Notes that the cell is written now; `written` is when it was before. A record that comes late does not
    /// take time off.
    fn touch(&mut self, ttl: Ttl, at: &At, written: Timestamp) {
        *self.written.cell_mut(at.row) = ttl.now(at.now).max(written);
    }

    #[inline]
    fn drop_if_over(&mut self, at: &mut At) {
        let Some(ttl) = self.ttl else { return };
        let written = self.written.cell_mut(at.row);
        if *written == UNKNOWN {
            *written = ttl.now(at.now);
        } else if ttl.is_over(*written, at.now) {
            self.forget(at);
        }
    }

    /// Empties the cell; the next value begins a life of its own.
    fn forget(&mut self, at: &mut At) {
        if let Some(cell) = self.cells.take(at.row) {
            at.live -= 1;
            self.heap_bytes -= cell.heap_bytes();
        }
        *self.written.cell_mut(at.row) = MIN_TIMESTAMP;
    }
}

fn heap_bytes<C: Cell>(cell: &Option<C>) -> usize {
    cell.as_ref().map_or(0, Cell::heap_bytes)
}

/// A column whatever its type.
pub(crate) trait AnyColumn: Any {
    /// Makes cells for this many rows.
    fn grow(&mut self, rows: usize);
    /// Empties the cell of a row whose time is over.
    fn clean(&mut self, at: &mut At);
    /// Whether its cells have a time to live.
    fn has_ttl(&self) -> bool;
    /// What it takes, without what its values own on the heap.
    fn bytes(&self) -> usize;
    /// Appends the cell of a row, and when it was written.
    fn save(&self, row: u32, into: &mut Vec<u8>) -> Result<()>;
    /// Fills the cell of a row with what was saved.
    fn load(&mut self, at: &mut At, from: &mut &[u8]) -> Result<()>;
}

impl<C: Cell> AnyColumn for Column<C> {
    fn grow(&mut self, rows: usize) {
        self.cells.grow(rows);
        if self.ttl.is_some() {
            self.written.grow(rows, || MIN_TIMESTAMP);
        }
    }

    fn clean(&mut self, at: &mut At) {
        self.drop_if_over(at);
    }

    fn has_ttl(&self) -> bool {
        self.ttl.is_some()
    }

    fn bytes(&self) -> usize {
        self.cells.bytes() + self.written.bytes() + self.heap_bytes
    }

    fn save(&self, row: u32, into: &mut Vec<u8>) -> Result<()> {
        let written = self.ttl.map(|_| *self.written.cell(row));
        write(&(self.cells.at(row), written), into)
    }

    fn load(&mut self, at: &mut At, from: &mut &[u8]) -> Result<()> {
        let (cell, written): (Option<C>, Option<Timestamp>) = read(from)?;
        at.live += u32::from(cell.is_some());
        self.heap_bytes += heap_bytes(&cell);
        self.cells.put(at.row, cell);
        if self.ttl.is_some() {
            *self.written.cell_mut(at.row) = written.unwrap_or(UNKNOWN);
        }
        Ok(())
    }
}

/// The columns of an operator, in the order in which they were declared.
#[derive(Default)]
pub(crate) struct Columns {
    columns: Vec<Box<dyn AnyColumn>>,
    descriptors: Vec<StateDescriptor>,
    rows: usize,
}

impl Columns {
    /// Adds a column and gives its number; the second of a name is refused by [`Columns::twice`].
    pub(crate) fn declare<C: Cell>(&mut self, descriptor: StateDescriptor) -> usize {
        self.columns.push(Box::new(Column::<C>::new(descriptor.ttl)));
        self.descriptors.push(descriptor);
        self.columns.len() - 1
    }

    /// The column of this number.
    #[inline]
    pub(crate) fn column<C: Cell>(&mut self, number: usize) -> &mut Column<C> {
        let column = self.columns.get_mut(number).map(|column| &mut **column as &mut dyn Any);
        let column = column.and_then(|column| column.downcast_mut());
        column.expect("a state is used in the operator that declared it")
    }

    /// Makes cells for a new row, and gives its number.
    pub(crate) fn add_row(&mut self) -> u32 {
        self.rows += 1;
        if self.rows % CHUNK == 1 {
            self.columns.iter_mut().for_each(|column| column.grow(self.rows));
        }
        self.rows as u32 - 1
    }

    /// How many rows there are, those that keys have left among them.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What was declared.
    pub(crate) fn descriptors(&self) -> &[StateDescriptor] {
        &self.descriptors
    }

    /// The column of this number, whatever its type.
    pub(super) fn any(&mut self, number: usize) -> &mut dyn AnyColumn {
        &mut *self.columns[number]
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn AnyColumn>> {
        self.columns.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn AnyColumn> {
        self.columns.iter().map(|column| &**column)
    }
}
