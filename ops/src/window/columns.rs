//! Panes of few keys: each key has a number, and each pane a column of accumulators by number.
//!
//! 1. A record's key is looked up in one table, which all panes share, so a hint is as good for one pane as for another.
//! 2. Its pane is found by arithmetic among those that follow each other in a ring: no branch that disorder would make
//!    the core guess wrong.
//! 3. Closing a pane and firing a window are loops over columns.
//!
//! A column is as long as there are keys, however few of them the pane has. So this is for few keys and panes that are
//! near each other; where there is more, [`Tables`](super::tables::Tables) take over what there is, for good.

use slotflow_runtime::{Flow, Hint, Key, Timestamp};

use super::column_stacks::ColumnStacks;
use super::shape::Shape;
use super::tables::{Progress, Tables};
use super::{Merge, panes::Panes};
use crate::StateSize;
use crate::keyed::Segments;

/// The most keys that have numbers: a column of 16 bytes a key is 64 KiB then, so some are in a core's second cache. Few
/// in tests, so that these see both forms and the change from one to the other.
const MOST_KEYS: usize = if cfg!(test) { 3 } else { 4096 };

/// How many panes the ring has; a power of two (a guess: disorder seldom spans more). Few in tests, too.
const RING: usize = if cfg!(test) { 4 } else { 64 };

/// The longest pane, some three days: the quotient is exact for panes up to this (see [`Columns::pane_at`]).
const LONGEST_MS: Timestamp = 1 << 28;

/// What the keys have in one pane, by number.
pub(super) type Cells<A> = Vec<Option<A>>;

/// One pane.
struct Column<A> {
    cells: Cells<A>,
    /// How many keys it has.
    keys: usize,
}

/// The panes that may still get records, and of sliding windows what the closed ones come to.
pub(super) struct Columns<K, A> {
    shape: Shape,
    /// The hashes of the subtask's keys.
    hashes: (u64, u64),
    numbers: Segments<K, u32>,
    /// The keys by number.
    keys: Vec<K>,
    /// The pane that starts at `start` is the one at `first`, and the others follow.
    ring: Box<[Column<A>]>,
    first: usize,
    start: Timestamp,
    /// How long all of them are; 0 before the first record.
    length: u64,
    /// 2^63 divided by the length of a pane, rounded up.
    reciprocal: u64,
    /// Columns without anything in them.
    spare: Vec<Cells<A>>,
    stacks: ColumnStacks<A>,
}

/// One of the panes in the ring.
#[derive(Clone, Copy)]
pub(super) struct Pane(usize);

impl<K: Key + Eq + Clone, A: Clone> Columns<K, A> {
    /// No panes yet; `None` if the panes are too long for this.
    pub(super) fn new(shape: Shape, hashes: (u64, u64)) -> Option<Self> {
        let none = || Column { cells: Vec::new(), keys: 0 };
        (shape.pane <= LONGEST_MS).then(|| Columns {
            shape,
            hashes,
            numbers: Segments::new(hashes),
            keys: Vec::new(),
            ring: (0..RING).map(|_| none()).collect(),
            first: 0,
            start: 0,
            length: 0,
            reciprocal: (1u64 << 63).div_ceil(shape.pane as u64),
            spare: Vec::new(),
            stacks: ColumnStacks::default(),
        })
    }

    /// The pane of a time that is in the ring. What is in the ring is open.
    ///
    /// The quotient is exact: what its divisor is too large by, less than 1, comes to less than
    /// 2 x 64 x length / 2^64 of a pane for times in the ring, and the next one is 1 / length away at least.
    #[inline(always)]
    pub(super) fn pane_at(&self, time: Timestamp) -> Option<Pane> {
        let after = time.wrapping_sub(self.start) as u64;
        let panes = (u128::from(after << 1) * u128::from(self.reciprocal)) >> 64;
        (after < self.length).then(|| Pane(self.first.wrapping_add(panes as usize) % RING))
    }

    /// Notes where the keys of these hashes are to be looked for.
    #[inline(always)]
    pub(super) fn hint(&mut self, hashes: impl Iterator<Item = u64>, first: Hint) {
        self.numbers.hint(hashes, first);
    }

    /// The number of a key. A new one may be one too many for [`value`](Columns::value).
    #[inline(always)]
    pub(super) fn number<Q: Key>(
        &mut self,
        hint: Option<Hint>,
        key: Q,
        same: impl Fn(&K, &Q) -> bool,
        store: impl FnOnce(Q) -> K,
    ) -> usize {
        let new = self.keys.len() as u32;
        let (known, number) = self.numbers.entry(hint, key, same, |key| (store(key), new));
        if *number == new {
            self.keys.push(known.clone());
        }
        *number as usize
    }

    /// What a pane has for the key of this number; `None` if there are too many keys.
    #[inline(always)]
    pub(super) fn value(&mut self, pane: Pane, number: usize, create: impl FnOnce() -> A) -> Option<&mut A> {
        if self.ring[pane.0].cells.get(number).is_none_or(Option::is_none) {
            self.fill(pane, number, create);
        }
        self.ring[pane.0].cells.get_mut(number)?.as_mut()
    }

    #[inline(never)]
    fn fill(&mut self, pane: Pane, number: usize, create: impl FnOnce() -> A) {
        if self.is_full() {
            return;
        }
        let column = &mut self.ring[pane.0];
        if column.keys == 0 && column.cells.is_empty() {
            column.cells = self.spare.pop().unwrap_or_default();
        }
        *cell(&mut column.cells, number) = Some(create());
        column.keys += 1;
    }

    /// Whether there are too many keys.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() > MOST_KEYS
    }

    /// Turns the ring so that it has the open pane that starts here; `false` if it is too far from the others.
    pub(super) fn reach(&mut self, start: Timestamp) -> bool {
        let (oldest, newest) = (self.oldest().unwrap_or(start), self.newest().unwrap_or(start));
        let (first, last) = (oldest.min(start), newest.max(start));
        let length = RING as u64 * self.shape.pane as u64;
        let reached = (last.wrapping_sub(first) as u64) < length;
        if reached {
            self.turn_to(first);
            self.length = length;
        }
        reached
    }

    /// Makes this the first pane of the ring: nothing is in what it leaves behind.
    fn turn_to(&mut self, start: Timestamp) {
        let panes = start.wrapping_sub(self.start) / self.shape.pane;
        self.first = self.first.wrapping_add(panes as usize) % RING;
        self.start = start;
    }

    /// The panes up to this time are closed: they are in the ring no more.
    pub(super) fn pass(&mut self, closed_to: Timestamp) {
        match self.oldest() {
            Some(oldest) => self.turn_to(oldest.min(closed_to.max(self.start))),
            None => self.length = 0,
        }
    }

    /// Where the oldest pane starts that has something.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        (0..RING).find(|after| self.keys_of(*after) > 0).map(|after| self.start_of(after))
    }

    fn newest(&self) -> Option<Timestamp> {
        (0..RING).rfind(|after| self.keys_of(*after) > 0).map(|after| self.start_of(after))
    }

    fn keys_of(&self, after: usize) -> usize {
        self.ring[(self.first + after) % RING].keys
    }

    fn start_of(&self, after: usize) -> Timestamp {
        self.start + after as Timestamp * self.shape.pane
    }

    /// Whether closed panes have something that is still to fire.
    pub(super) fn has_stacked(&self) -> bool {
        !self.stacks.is_empty()
    }

    /// Takes the keys of the oldest pane out.
    pub(super) fn empty_oldest(
        &mut self,
        progress: &mut Progress,
        budget: &mut usize,
        mut visit: impl FnMut(&K, A),
    ) -> Flow {
        let Some(Pane(at)) = self.oldest().and_then(|start| self.pane_at(start)) else { return Flow::Done };
        let Column { cells, keys } = &mut self.ring[at];
        let range = progress.portion(cells.len(), budget);
        for (cell, key) in cells[range.clone()].iter_mut().zip(&self.keys[range]) {
            if let Some(acc) = cell.take() {
                visit(key, acc);
            }
        }
        if progress.number < cells.len() {
            return Flow::More;
        }
        *keys = 0;
        self.spare.push(std::mem::take(cells));
        Flow::Done
    }

    /// Puts the oldest pane on the stacks, and shows what it has.
    pub(super) fn stack_oldest<T>(
        &mut self,
        progress: &mut Progress,
        budget: &mut usize,
        aggregate: &impl Merge<T, Acc = A>,
        show: impl FnMut(&A),
    ) -> Flow {
        let Some(start) = self.oldest() else { return Flow::Done };
        let Some(Pane(at)) = self.pane_at(start) else { return Flow::Done };
        let Column { cells, keys } = &mut self.ring[at];
        let range = progress.portion(cells.len(), budget);
        self.stacks.add(range.clone(), &cells[range], aggregate, show);
        if progress.number < cells.len() {
            return Flow::More;
        }
        *keys = 0;
        self.stacks.push(start, std::mem::take(cells));
        Flow::Done
    }

    /// Shows each key what the window from `start` on comes to, of which all panes are on the stacks.
    pub(super) fn fire<T, M: Merge<T, Acc = A>>(
        &mut self,
        start: Timestamp,
        progress: &mut Progress,
        budget: &mut usize,
        aggregate: &M,
        mut visit: impl FnMut(&K, M::Out),
    ) -> Flow {
        if self.stacks.evict(start, &mut self.spare, budget, aggregate) == Flow::More {
            return Flow::More;
        }
        let numbers = self.stacks.numbers();
        for number in progress.portion(numbers, budget) {
            if let Some(value) = self.stacks.value(number, aggregate) {
                visit(&self.keys[number], value);
            }
        }
        if progress.number < numbers { Flow::More } else { Flow::Done }
    }

    /// Something that belongs to a pane which has been closed, and which is still to fire.
    pub(super) fn push_behind<T>(
        &mut self,
        number: usize,
        start: Timestamp,
        acc: &A,
        aggregate: &impl Merge<T, Acc = A>,
    ) {
        self.stacks.push_behind(number, start, acc, aggregate);
    }

    /// How much there is: keys, each counting for each pane and once for all closed ones, and what it takes.
    pub(super) fn size(&self) -> StateSize {
        let open: usize = self.ring.iter().map(|column| column.keys).sum();
        let cells = self.ring.iter().map(|column| &column.cells).chain(&self.spare).map(Vec::capacity);
        let columns = (cells.sum::<usize>() + self.stacks.cells()) * size_of::<Option<A>>();
        let names = self.keys.capacity() * size_of::<K>() + self.numbers.size().bytes;
        StateSize { keys: open + self.stacks.keys(), bytes: columns + names }
    }

    /// Forgets the keys that have nothing in any pane; `false` if that is less than half of them, so that it is not worth
    /// while.
    pub(super) fn compact(&mut self) -> bool {
        let mut kept = vec![false; self.keys.len()];
        let columns = || self.ring.iter().map(|column| &column.cells).chain(self.stacks.columns());
        for cells in columns() {
            kept.iter_mut().zip(cells).for_each(|(kept, cell)| *kept |= cell.is_some());
        }
        if kept.iter().filter(|kept| **kept).count() > MOST_KEYS / 2 {
            return false;
        }
        let columns = self.ring.iter_mut().map(|column| &mut column.cells).chain(self.stacks.columns_mut());
        columns.for_each(|cells| retain(cells, &kept));
        retain(&mut self.keys, &kept);
        self.spare.clear();
        self.numbers = Segments::new(self.hashes);
        for (number, key) in (0..).zip(&self.keys) {
            self.numbers.value(key.clone(), |known, key| known == key, |key| (key, number));
        }
        true
    }

    /// The same as tables.
    pub(super) fn into_tables(self) -> Tables<K, A> {
        let mut panes = Panes::new(self.shape, self.hashes);
        let starts: Vec<_> = (0..RING).map(|after| self.start_of(after)).collect();
        let mut ring = self.ring;
        ring.rotate_left(self.first);
        for (start, column) in starts.into_iter().zip(ring).filter(|(_, column)| column.keys > 0) {
            panes.turn_to(start);
            for (key, acc) in self.keys.iter().zip(column.cells).filter_map(|(key, acc)| Some((key, acc?))) {
                panes.value(None, key.clone(), |known, key| known == key, |key| (key, acc));
            }
        }
        let mut tables = Tables::new(panes, self.hashes);
        let stacks = (0..self.keys.len()).map(|number| self.stacks.of(number));
        self.keys.iter().zip(stacks).for_each(|(key, stacks)| tables.restack(key, stacks));
        tables
    }
}

/// The cell of a number, in a column that is made longer if it is too short.
pub(super) fn cell<A>(cells: &mut Cells<A>, number: usize) -> &mut Option<A> {
    if cells.len() <= number {
        cells.resize_with(number + 1, || None);
    }
    &mut cells[number]
}

/// Keeps those that are `kept`, in their order.
fn retain<C>(cells: &mut Vec<C>, kept: &[bool]) {
    let mut kept = kept.iter();
    cells.retain(|_| kept.next().is_some_and(|kept| *kept));
}
