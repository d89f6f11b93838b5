//! Columns that become tables, a portion at a time.
//!
//! All of it at once would hold the slot for milliseconds. So its subtask takes no record in meanwhile, and it goes on
//! in each step; what that step still brings, or what an operator in front fires, is held until it is over.

use slotflow_runtime::{Flow, Key, Timestamp};

use super::column_stacks::ColumnStacks;
use super::columns::Cells;
use super::tables::{Progress, Tables};
use crate::StateSize;

/// How many cells are moved at a time: into a table that grows each takes some 700 instructions (PERF.md, steps). Few
/// in tests.
pub(super) const PORTION: usize = if cfg!(test) { 4 } else { 256 };

/// What there is of both.
pub(super) struct Becoming<K, A> {
    /// By number.
    keys: Vec<K>,
    /// The panes that are still to be moved, and their cells by number.
    panes: Vec<(Timestamp, Cells<A>)>,
    /// What has been closed, which comes last.
    stacks: ColumnStacks<A>,
    /// How far the last pane has been moved, or the stacks.
    progress: Progress,
    tables: Tables<K, A>,
}

impl<K: Key + Eq + Clone, A: Clone> Becoming<K, A> {
    pub(super) fn new(
        keys: Vec<K>,
        panes: Vec<(Timestamp, Cells<A>)>,
        stacks: ColumnStacks<A>,
        tables: Tables<K, A>,
    ) -> Self {
        Becoming { keys, panes, stacks, progress: Progress::default(), tables }
    }

    /// Nothing but tables.
    pub(super) fn of(tables: Tables<K, A>) -> Self {
        Becoming::new(Vec::new(), Vec::new(), ColumnStacks::default(), tables)
    }

    /// Moves more.
    pub(super) fn go_on(&mut self, budget: &mut usize) -> Flow {
        let Becoming { keys, panes, progress, tables, .. } = self;
        while let Some((start, cells)) = panes.last_mut() {
            let portion = progress.portion(cells.len(), budget);
            tables.panes.turn_to(*start);
            for (key, cell) in keys[portion.clone()].iter().zip(&mut cells[portion]) {
                if let Some(acc) = cell.take() {
                    tables.panes.value(None, key.clone(), |known, key| known == key, |key| (key, acc));
                }
            }
            if progress.number < cells.len() {
                return Flow::More;
            }
            panes.pop();
            *progress = Progress::default();
        }
        self.restack(budget)
    }

    /// Moves more of the stacks. Each key is looked for in all of their columns.
    fn restack(&mut self, budget: &mut usize) -> Flow {
        let Becoming { keys, stacks, progress, tables, .. } = self;
        let columns = stacks.columns().count();
        while let Some(key) = keys.get(progress.number) {
            if *budget == 0 {
                return Flow::More;
            }
            *budget = budget.saturating_sub(columns);
            tables.restack(key, stacks.of(progress.number));
            progress.number += 1;
        }
        Flow::Done
    }

    /// The tables, once all has been moved.
    pub(super) fn into_tables(self) -> Tables<K, A> {
        self.tables
    }

    /// About how much there is: each key once beside what has been moved.
    pub(super) fn size(&self) -> StateSize {
        let cells = self.panes.iter().map(|(_, cells)| cells.capacity()).sum::<usize>() + self.stacks.cells();
        let bytes = cells * size_of::<Option<A>>() + self.keys.capacity() * size_of::<K>();
        self.tables.size() + StateSize { keys: self.keys.len(), bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use slotflow_runtime::metrics::OperatorMeters;
    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame, Context, Measures, Operator};

    use super::super::aligned::AlignedWindows;
    use super::super::panes::Panes;
    use super::super::shape::Shape;
    use super::super::tests::{Given, Sum, built, lasts, ms, sums};
    use super::super::{Sliding, Tumbling};
    use super::*;

    const KEYS: u64 = 50;

    /// What a key has in a pane: nothing in each third.
    fn cell(key: u64, start: Timestamp) -> Option<u64> {
        let n = key + start as u64;
        (!n.is_multiple_of(3)).then_some(n)
    }

    fn cells(start: Timestamp) -> Cells<u64> {
        (0..KEYS).map(|key| cell(key, start)).collect()
    }

    /// Two open panes behind three closed ones.
    fn becoming() -> Becoming<u64, u64> {
        let shape = Shape::new(Sliding::of(ms(40), ms(10))).unwrap();
        let mut stacks = ColumnStacks::default();
        for start in [0, 10, 20] {
            stacks.add(0..KEYS as usize, &cells(start), &Sum, |_| ());
            stacks.push(start, cells(start));
        }
        let every = (0, u64::MAX);
        let tables = Tables::new(Panes::new(shape, every), every);
        Becoming::new((0..KEYS).collect(), [40, 30].map(|start| (start, cells(start))).into(), stacks, tables)
    }

    /// What the first window comes to, once its last pane has been closed.
    fn fired(mut tables: Tables<u64, u64>) -> BTreeMap<u64, u64> {
        let (mut progress, mut budget, mut fired) = (Progress::default(), usize::MAX, BTreeMap::new());
        assert_eq!(tables.stack_oldest(&mut progress, &mut budget, false, (&Sum, |_| ())), Flow::Done);
        tables.closed(progress, false);
        let visit = |key: &u64, sum| assert_eq!(fired.insert(*key, sum), None);
        assert_eq!(tables.fire(0, &mut Progress::default(), &mut budget, &Sum, visit), Flow::Done);
        assert_eq!(tables.panes.oldest(), Some(40));
        fired
    }

    #[test]
    fn whatever_the_portions_all_is_moved_once_and_no_portion_is_larger() {
        let sum = |key| [0, 10, 20, 30].into_iter().filter_map(|start| cell(key, start)).sum();
        let expected: BTreeMap<u64, u64> = (0..KEYS).map(|key| (key, sum(key))).collect();
        for budget in [1, 7, 1_000] {
            let (mut becoming, mut calls, mut flow) = (becoming(), 0, Flow::More);
            while flow == Flow::More {
                let mut portion = budget;
                flow = becoming.go_on(&mut portion);
                calls += 1;
            }
            // Two panes by the cell, and all keys at four columns each.
            let least = (2 * KEYS as usize).div_ceil(budget) + (KEYS as usize).div_ceil(budget.div_ceil(4));
            assert!((least - 1..=least + 2).contains(&calls), "{calls} calls at {budget}, not {least}");
            assert_eq!(fired(becoming.into_tables()), expected);
        }
    }

    #[test]
    fn an_operator_is_due_while_it_becomes_tables_and_holds_what_comes_meanwhile() {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        let (mut operator, mut given) = (built(sums(Tumbling::of(ms(10)))), Given(Vec::new()));
        ctx.set_timestamp(5);
        for key in "abcdefgh".chars() {
            operator.process((key, 1), &mut ctx, &mut given);
        }
        assert_eq!((operator.due_ns(), operator.tick(&mut ctx, &mut given)), (0, Flow::More));
        while operator.settle(&mut ctx, &mut given) == Flow::More {}
        assert_eq!(operator.due_ns(), u64::MAX);
        assert!(given.0.is_empty(), "nothing has fired");
        while operator.watermark(9, &mut ctx, &mut given) == Flow::More {}
        let mut keys: Vec<_> = given.0.iter().map(|(result, _)| (result.key, result.value)).collect();
        keys.sort_unstable();
        assert_eq!(keys, "abcdefgh".chars().map(|key| (key, 1)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_held_is_told_as_records_and_as_bytes_and_no_more_once_it_is_added() {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        let (mut operator, mut given) = (built(sums(Tumbling::of(ms(10)))), Given(Vec::new()));
        let meters = OperatorMeters::default();
        let told = |operator: &AlignedWindows<_, _, _, _>| {
            operator.measure(&mut Measures::of(&meters));
            let told = meters.snapshot(|_| String::new()).pop().unwrap();
            (told.waiting_records, told.state_bytes)
        };
        ctx.set_timestamp(5);
        // A fifth key is one too many. As many are held when some cells are moved, and the next needs more room.
        let mut all: Vec<_> = "abcdefghi".chars().collect();
        let last = all.pop().unwrap();
        all.into_iter().for_each(|key| operator.process((key, 1), &mut ctx, &mut given));
        let (records, bytes) = told(&operator);
        assert_eq!(records, 4);
        operator.process((last, 1), &mut ctx, &mut given);
        assert!(told(&operator).0 == 5 && told(&operator).1 > bytes);
        while operator.settle(&mut ctx, &mut given) == Flow::More {}
        assert_eq!(told(&operator).0, 0);
    }

    #[test]
    fn what_is_fired_in_front_without_a_pause_is_added_meanwhile_and_in_order() {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        let (mut operator, mut given) = (built(lasts(Tumbling::of(ms(10)))), Given(Vec::new()));
        ctx.set_timestamp(5);
        let keys = (b'!'..=b'~').map(char::from);
        let mut most = 0;
        for value in 0..100 {
            for key in keys.clone() {
                operator.process((key, value), &mut ctx, &mut given);
                most = most.max(operator.held());
            }
        }
        assert!((1..100).contains(&most), "{most} were held of 9,400");
        while operator.watermark(9, &mut ctx, &mut given) == Flow::More {}
        let mut ended: Vec<_> = given.0.iter().map(|(result, _)| result.value).collect();
        ended.sort_unstable();
        assert_eq!(ended, keys.map(|key| (key, 99)).collect::<Vec<_>>());
    }
}
