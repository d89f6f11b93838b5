//! Panes of few keys: each key has a number, and each pane a column of accumulators by number.
//!
//! 1. A record's key is looked up in one table, which all panes share, so a hint is as good for one as for another.
//! 2. Its pane is found by arithmetic among those that follow each other in a ring: no branch that disorder would make
//!    the core guess wrong.
//! 3. Closing a pane and firing a window are loops over columns.
//!
//! A column is as long as there are keys, however few of them the pane has. So this is for few keys, for panes that are
//! near each other and have many of the keys, and for windows of few panes; elsewhere, or from then on,
//! [`Tables`](super::tables::Tables) serve, and take over what there is ([`Becoming`](super::becoming::Becoming)).

use std::mem::needs_drop;

use slotflow_runtime::values::Values;
use slotflow_runtime::{Flow, Hint, Key, Timestamp};

use super::becoming::Becoming;
use super::column_stacks::ColumnStacks;
use super::shape::{FARTHEST, Shape};
use super::spare::Spare;
use super::tables::{Progress, Tables};
use super::{Merge, panes::Panes};
use crate::StateSize;

/// The most that a column takes, so that some are in a core's second cache: 4,096 keys of 16 bytes.
const COLUMN_BYTES: usize = 64 * 1024;

/// The most panes of a sliding window (a guess: with the columns above, 8 MiB, and some milliseconds to become tables).
const MOST_PANES: Timestamp = 128;

/// A pane is sparse that has less than a sixteenth of the keys; after so many in a row it is tables that serve, unless
/// keys are so few that it does not matter (all three are guesses; less of each in tests).
const SPARSE: usize = if cfg!(test) { 3 } else { 16 };
const SPARSE_PANES: usize = if cfg!(test) { 3 } else { 16 };
const FEW_KEYS: usize = if cfg!(test) { 2 } else { 64 };

/// How many panes the ring has; a power of two (a guess: disorder seldom spans more). Few in tests, too.
const RING: usize = if cfg!(test) { 4 } else { 64 };

/// How many cells are looked at when numbers are given to others: more would make a long step (PERF.md, steps).
const MOST_CELLS: usize = 32 * 1024;

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

impl<A> Default for Column<A> {
    fn default() -> Self {
        Column { cells: Vec::new(), keys: 0 }
    }
}

/// The panes that may still get records, and of sliding windows what the closed ones come to.
pub(super) struct Columns<K, A> {
    shape: Shape,
    /// The hashes of the subtask's keys.
    hashes: (u64, u64),
    numbers: Values<K, u32>,
    /// The keys by number.
    keys: Vec<K>,
    /// The pane that starts at `start` is the one at `first`, and the others follow.
    ring: Box<[Column<A>; RING]>,
    first: usize,
    start: Timestamp,
    /// How long all of them are; 0 before the first record.
    length: u64,
    /// 2^63 divided by the length of a pane, rounded up.
    reciprocal: u64,
    /// Columns without anything in them.
    spare: Spare<A>,
    /// How many sparse panes have been closed in a row.
    sparse_panes: usize,
    stacks: ColumnStacks<A>,
}

/// One of the panes in the ring.
#[derive(Clone, Copy)]
pub(super) struct Pane(usize);

impl<K: Key + Eq + Clone, A: Clone> Columns<K, A> {
    /// The most keys that have numbers. Few in tests, so that these see both forms and the change from one to the
    /// other.
    const MOST_KEYS: usize = if cfg!(test) { 4 } else { COLUMN_BYTES / size_of::<Option<A>>() };

    /// No panes yet; `None` if they are too long for this, or too many in a window, or if what they have is too large,
    /// or is of a kind that ought not to be copied along the stacks.
    pub(super) fn new(shape: Shape, hashes: (u64, u64)) -> Option<Self> {
        let few = shape.is_tumbling() || shape.size / shape.pane <= MOST_PANES && !needs_drop::<A>();
        (few && shape.pane <= LONGEST_MS && Self::MOST_KEYS >= 2).then(|| Columns {
            shape,
            hashes,
            numbers: Values::new(hashes),
            keys: Vec::new(),
            ring: Box::new(std::array::from_fn(|_| Column::default())),
            first: 0,
            start: 0,
            length: 0,
            reciprocal: (1u64 << 63).div_ceil(shape.pane as u64),
            spare: Spare::default(),
            sparse_panes: 0,
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

    /// Prepares for these keys.
    #[inline(always)]
    pub(super) fn hint<Q: Key>(&mut self, keys: impl Iterator<Item = Q>, first: Hint) {
        self.numbers.hint(keys, first);
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
        let Columns { numbers, keys, .. } = self;
        let make = |key| {
            let key = store(key);
            keys.push(key.clone());
            (key, keys.len() as u32 - 1)
        };
        numbers.entry(hint, key, same, make).1 as usize
    }

    /// What a pane has for the key of this number; `None` if there are too many keys.
    #[inline(always)]
    pub(super) fn value(&mut self, pane: Pane, number: usize, create: impl FnOnce() -> A) -> Option<&mut A> {
        // Asked for twice, as the compiler asks once, and would not know otherwise which borrow ends where.
        if self.ring[pane.0].cells.get(number).is_none_or(Option::is_none) {
            return self.fill(pane, number, create);
        }
        self.ring[pane.0].cells.get_mut(number)?.as_mut()
    }

    #[cold]
    #[inline(never)]
    fn fill(&mut self, pane: Pane, number: usize, create: impl FnOnce() -> A) -> Option<&mut A> {
        if self.is_full() {
            return None;
        }
        let column = &mut self.ring[pane.0];
        if column.keys == 0 && column.cells.is_empty() {
            column.cells = self.spare.take();
        }
        column.keys += 1;
        Some(cell(&mut column.cells, number).insert(create()))
    }

    /// Whether there are too many keys.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() > Self::MOST_KEYS
    }

    /// Turns the ring so that it has the open pane that starts here; `false` if it is too far from the others.
    pub(super) fn reach(&mut self, start: Timestamp) -> bool {
        let (oldest, newest) = (self.oldest().unwrap_or(start), self.newest().unwrap_or(start));
        let (first, last) = (oldest.min(start), newest.max(start));
        let length = RING as u64 * self.shape.pane as u64;
        // Times past the farthest are taken for it: what is in the ring is not asked.
        let far = FARTHEST as u64 - length;
        let near = first.unsigned_abs() < far && last.unsigned_abs() < far;
        let reached = near && ((last - first) as u64) < length;
        if reached {
            self.turn_to(first);
            self.length = length;
        }
        reached
    }

    /// Whether panes have so few of the keys that tables would serve better.
    pub(super) fn is_sparse(&self) -> bool {
        self.sparse_panes >= SPARSE_PANES && self.keys.len() > FEW_KEYS
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
        let cells = &mut self.ring[at].cells;
        let range = progress.portion(cells.len(), budget);
        for (cell, key) in cells[range.clone()].iter_mut().zip(&self.keys[range]) {
            if let Some(acc) = cell.take() {
                visit(key, acc);
            }
        }
        if progress.number < cells.len() {
            return Flow::More;
        }
        let cells = self.close(at);
        self.spare.keep(cells);
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
        let cells = &mut self.ring[at].cells;
        let range = progress.portion(cells.len(), budget);
        self.stacks.add(range.clone(), &cells[range], aggregate, show);
        if progress.number < cells.len() {
            return Flow::More;
        }
        let cells = self.close(at);
        self.stacks.push(start, cells);
        Flow::Done
    }

    /// A pane has been visited: takes its column out of the ring.
    fn close(&mut self, at: usize) -> Cells<A> {
        let Column { cells, keys } = std::mem::take(&mut self.ring[at]);
        self.sparse_panes = if keys * SPARSE < self.keys.len() { self.sparse_panes + 1 } else { 0 };
        cells
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
        let cells =
            self.ring.iter().map(|column| &column.cells).chain(self.spare.columns()).map(Vec::capacity);
        let columns = (cells.sum::<usize>() + self.stacks.cells()) * size_of::<Option<A>>();
        let names = self.keys.capacity() * size_of::<K>() + self.numbers.size().bytes;
        StateSize { keys: open + self.stacks.keys(), bytes: columns + names }
    }

    /// Forgets the keys that have nothing in any pane; `false` if that is less than half of them, so that it is not
    /// worth while, or if there is too much to look at.
    pub(super) fn compact(&mut self) -> bool {
        let columns = || self.ring.iter().map(|column| &column.cells).chain(self.stacks.columns());
        if columns().map(Vec::len).sum::<usize>() > MOST_CELLS {
            return false;
        }
        let mut kept = vec![false; self.keys.len()];
        for cells in columns() {
            kept.iter_mut().zip(cells).for_each(|(kept, cell)| *kept |= cell.is_some());
        }
        if kept.iter().filter(|kept| **kept).count() > Self::MOST_KEYS / 2 {
            return false;
        }
        let columns = self.ring.iter_mut().map(|column| &mut column.cells).chain(self.stacks.columns_mut());
        columns.for_each(|cells| retain(cells, &kept));
        retain(&mut self.keys, &kept);
        self.spare = Spare::default();
        self.numbers = Values::new(self.hashes);
        for (number, key) in (0..).zip(&self.keys) {
            self.numbers.entry(None, key.clone(), |known, key| known == key, |key| (key, number));
        }
        true
    }

    /// The same, as what becomes tables.
    pub(super) fn into_becoming(self) -> Becoming<K, A> {
        let starts: Vec<_> = (0..RING).map(|after| self.start_of(after)).collect();
        let mut ring = self.ring;
        ring.rotate_left(self.first);
        let panes = starts.into_iter().zip(*ring).filter(|(_, column)| column.keys > 0);
        let panes = panes.map(|(start, column)| (start, column.cells)).collect();
        let tables = Tables::new(Panes::new(self.shape, self.hashes), self.hashes);
        Becoming::new(self.keys, panes, self.stacks, tables)
    }
}

/// The cell of a number, in a column that is made longer if it is too short.
pub(super) fn cell<A>(cells: &mut Cells<A>, number: usize) -> &mut Option<A> {
    widen(cells, number + 1);
    &mut cells[number]
}

/// Makes a column long enough for so many numbers.
pub(super) fn widen<A>(cells: &mut Cells<A>, numbers: usize) {
    if cells.len() < numbers {
        cells.resize_with(numbers, || None);
    }
}

/// Keeps those that are `kept`, in their order.
fn retain<C>(cells: &mut Vec<C>, kept: &[bool]) {
    let mut kept = kept.iter();
    cells.retain(|_| kept.next().is_some_and(|kept| *kept));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::tests::{Step, built, drive, sums};
    use super::super::{Sliding, Tumbling};
    use super::*;
    use crate::window::panes_by_key::PanesByKey;

    fn columns(pane_ms: u64) -> Columns<u64, u64> {
        let shape = Shape::new(Tumbling::of(Duration::from_millis(pane_ms))).unwrap();
        Columns::new(shape, (0, u64::MAX)).unwrap()
    }

    #[test]
    fn panes_that_are_too_long_have_no_columns() {
        let shape = |length| Shape::new(Tumbling::of(Duration::from_millis(length))).unwrap();
        let is_short = |length| Columns::<u64, u64>::new(shape(length), (0, u64::MAX)).is_some();
        assert!(is_short(LONGEST_MS as u64) && !is_short(LONGEST_MS as u64 + 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The product is the quotient, at the edges of panes above all.
        #[test]
        fn a_time_has_the_pane_that_division_says(
            length in prop_oneof![1..100i64, 1..=LONGEST_MS, LONGEST_MS - 9..=LONGEST_MS],
            first in -1_000..1_000i64,
            after in 0..RING as i64,
            turned in 0..2 * RING as i64,
            beside in -2..3i64,
        ) {
            let mut columns = columns(length as u64);
            prop_assert!(columns.pane_at(first * length).is_none());
            prop_assert!(columns.reach((first - turned) * length));
            columns.turn_to(first * length);
            let (start, end) = (first * length, (first + RING as i64) * length);
            let time = (first + after) * length + beside;
            let is = |time: i64| (time - start).div_euclid(length);
            let at = columns.pane_at(time).map(|pane| (pane.0 + RING - columns.first) % RING);
            prop_assert_eq!(at, (start..end).contains(&time).then(|| is(time) as usize));
        }
    }

    #[test]
    fn the_ends_of_time_are_out_of_reach() {
        let mut columns = columns(10);
        let starts = [FARTHEST / 10 * 10, -FARTHEST / 10 * 10, FARTHEST / 20 * 10];
        assert_eq!(starts.map(|start| columns.reach(start)), [false, false, true]);
    }

    #[test]
    fn a_key_that_stays_is_found_by_its_new_number() {
        let mut columns = columns(10);
        assert!(columns.reach(0));
        let pane = columns.pane_at(0).unwrap();
        let number =
            |columns: &mut Columns<u64, u64>, key| columns.number(None, key, |a, b| a == b, |key| key);
        for key in 0..=Columns::<u64, u64>::MOST_KEYS as u64 {
            let number = number(&mut columns, key);
            if key == 2 {
                assert_eq!(columns.value(pane, number, || 7), Some(&mut 7));
            }
        }
        assert!(columns.value(pane, 3, || 8).is_none() && columns.compact());
        assert_eq!([2, 9, 2].map(|key| number(&mut columns, key)), [0, 1, 0]);
        assert_eq!([0, 1].map(|number| columns.value(pane, number, || 9).copied()), [Some(7), Some(9)]);
    }

    #[test]
    fn panes_of_few_of_the_keys_become_tables() {
        let mut operator = built(sums(Tumbling::of(Duration::from_millis(10))));
        let (mut sum, mut is_tables) = (0, Vec::new());
        for n in 0..5 {
            let keys = if n == 0 { "abcd" } else { "a" };
            let records = keys.chars().map(|key| Step::Record(key, 1, 10 * n));
            drive(&mut operator, records.chain([Step::Watermark(10 * n + 9)]), |result, _| {
                sum += result.value
            });
            is_tables.push(matches!(operator.panes(), PanesByKey::Tables(_)));
        }
        assert_eq!((sum, is_tables), (8, vec![false, false, false, true, true]));
    }

    #[test]
    fn panes_that_late_records_open_leave_no_more_columns_than_are_needed() {
        let mut operator = built(sums(Sliding::of(Duration::from_millis(20), Duration::from_millis(10))));
        let mut sum = 0;
        for n in 0..50 {
            let late = [Step::Watermark(10 * n + 9), Step::Record('a', 1, 10 * n + 5)];
            drive(&mut operator, late, |result, _| sum += result.value);
        }
        let PanesByKey::Columns(columns) = operator.panes() else { panic!("they have become tables") };
        assert!(columns.spare.columns().len() <= 4 && sum > 40, "{sum}");
    }

    #[test]
    fn what_is_not_for_columns_has_none() {
        let ms = Duration::from_millis;
        let sliding = |panes| Shape::new(Sliding::of(ms(10 * panes), ms(10))).unwrap();
        let most = MOST_PANES as u64;
        assert!(Columns::<u64, u64>::new(sliding(most), (0, 9)).is_some());
        assert!(Columns::<u64, u64>::new(sliding(most + 1), (0, 9)).is_none());
        // What the front has for a key is a copy for each older pane.
        assert!(Columns::<u64, Vec<u64>>::new(sliding(most), (0, 9)).is_none());
        assert!(Columns::<u64, Vec<u64>>::new(sliding(1), (0, 9)).is_some());
    }

    #[test]
    fn keys_that_have_gone_give_their_numbers_to_others() {
        let key = |n: i64| char::from_u32(0x4e00 + n as u32).unwrap();
        let steps = |n: i64| [Step::Record(key(n), n as u64, 10 * n), Step::Watermark(10 * n + 9)];
        for windows in [1, 2] {
            let sliding = Sliding::of(Duration::from_millis(10 * windows), Duration::from_millis(10));
            let (mut operator, mut given) = (built(sums(sliding)), Vec::new());
            let all = (0..200).flat_map(steps).chain([Step::Watermark(3_000)]);
            drive(&mut operator, all, |result, _| given.push((result.key, result.value)));
            given.sort_unstable();
            let expected = (0..200).flat_map(|n| (0..windows).map(move |_| (key(n), n as u64)));
            assert_eq!(given, expected.collect::<Vec<_>>());
            let PanesByKey::Columns(columns) = operator.panes() else { panic!("they have become tables") };
            assert!(columns.keys.len() <= Columns::<char, u64>::MOST_KEYS + 1);
        }
    }
}
