//! What sliding windows keep of closed panes, for all keys together: two stacks of columns.
//!
//! As [`Stacks`] has them for one key: the back has each pane's column and the sum of all of them; a column of the
//! front has the sum of its pane and all newer ones of the front. A slide adds one column, takes one off and merges
//! two.

use std::ops::Range;

use slotflow_runtime::{Flow, Timestamp};

use super::Merge;
use super::columns::{Cells, cell, widen};
use super::spare::Spare;
use super::stacks::{Stacks, join};

/// Columns, by the starts of their panes.
pub(super) struct ColumnStacks<A> {
    /// The oldest last.
    front: Vec<(Timestamp, Cells<A>)>,
    /// The newest last.
    back: Vec<(Timestamp, Cells<A>)>,
    /// What the back has in all.
    sum: Cells<A>,
    /// Whether the back is becoming the front: what is there is not whole.
    is_turning: bool,
}

impl<A> Default for ColumnStacks<A> {
    fn default() -> Self {
        ColumnStacks { front: Vec::new(), back: Vec::new(), sum: Vec::new(), is_turning: false }
    }
}

impl<A: Clone> ColumnStacks<A> {
    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.back.is_empty()
    }

    /// Adds a part of a pane that is newer than all others to the sum, and shows what it has.
    pub(super) fn add<T>(
        &mut self,
        range: Range<usize>,
        part: &[Option<A>],
        aggregate: &impl Merge<T, Acc = A>,
        mut show: impl FnMut(&A),
    ) {
        widen(&mut self.sum, range.end);
        for (sum, acc) in self.sum[range].iter_mut().zip(part) {
            if let Some(acc) = acc {
                join(sum, acc, aggregate);
                show(acc);
            }
        }
    }

    /// The pane of which all parts have been [added](ColumnStacks::add).
    pub(super) fn push(&mut self, start: Timestamp, cells: Cells<A>) {
        self.back.push((start, cells));
    }

    /// Forgets the panes that start before `first`, in portions; their columns go to the spare ones.
    pub(super) fn evict<T>(
        &mut self,
        first: Timestamp,
        spare: &mut Spare<A>,
        budget: &mut usize,
        aggregate: &impl Merge<T, Acc = A>,
    ) -> Flow {
        if !self.is_turning {
            while let Some((_, cells)) = self.front.pop_if(|(start, _)| *start < first) {
                recycle(cells, spare);
            }
            self.is_turning =
                self.front.is_empty() && self.back.first().is_some_and(|(start, _)| *start < first);
            if self.is_turning {
                self.sum.fill_with(|| None);
            }
        }
        if self.is_turning { self.turn(first, spare, budget, aggregate) } else { Flow::Done }
    }

    /// Makes the back the front, a column at a time.
    fn turn<T>(
        &mut self,
        first: Timestamp,
        spare: &mut Spare<A>,
        budget: &mut usize,
        aggregate: &impl Merge<T, Acc = A>,
    ) -> Flow {
        while let Some((start, mut cells)) = self.back.pop() {
            if start < first {
                recycle(cells, spare);
                continue;
            }
            if let Some((_, newer)) = self.front.last() {
                merge(&mut cells, newer, aggregate);
            }
            *budget = budget.saturating_sub(cells.len());
            self.front.push((start, cells));
            if *budget == 0 && !self.back.is_empty() {
                return Flow::More;
            }
        }
        self.is_turning = false;
        Flow::Done
    }

    /// How many numbers may have something.
    pub(super) fn numbers(&self) -> usize {
        self.sum.len().max(self.front.last().map_or(0, |(_, cells)| cells.len()))
    }

    /// What all panes have for a key; `None` if it is in none.
    #[inline(always)]
    pub(super) fn value<T, M: Merge<T, Acc = A>>(&self, number: usize, aggregate: &M) -> Option<M::Out> {
        let front = self.front.last().and_then(|(_, cells)| cells.get(number)?.as_ref());
        match (front, self.sum.get(number).and_then(Option::as_ref)) {
            (Some(front), Some(back)) => {
                let mut all = front.clone();
                aggregate.merge(&mut all, back);
                Some(aggregate.result(&all))
            }
            (Some(all), None) | (None, Some(all)) => Some(aggregate.result(all)),
            (None, None) => None,
        }
    }

    /// Something that belongs to a pane which may have been pushed already.
    pub(super) fn push_behind<T>(
        &mut self,
        number: usize,
        pane: Timestamp,
        acc: &A,
        aggregate: &impl Merge<T, Acc = A>,
    ) {
        if self.front.first().is_none_or(|(newest, _)| *newest < pane) {
            join(cell(&mut self.sum, number), acc, aggregate);
            let at = self.back.binary_search_by_key(&pane, |(known, _)| *known);
            let at = at.unwrap_or_else(|at| {
                self.back.insert(at, (pane, Vec::new()));
                at
            });
            return join(cell(&mut self.back[at].1, number), acc, aggregate);
        }
        let at = self.front.partition_point(|(known, _)| *known > pane);
        if self.front.get(at).is_none_or(|(known, _)| *known != pane) {
            // All that is newer: there is at least the newest of the front.
            let newer = self.front[at - 1].1.clone();
            self.front.insert(at, (pane, newer));
        }
        self.front[at..].iter_mut().for_each(|(_, cells)| join(cell(cells, number), acc, aggregate));
    }

    /// How many keys have something.
    pub(super) fn keys(&self) -> usize {
        let front = self.front.last().map_or(&[][..], |(_, cells)| cells);
        let is_in = |cells: &[Option<A>], number| cells.get(number).is_some_and(Option::is_some);
        (0..self.numbers()).filter(|number| is_in(front, *number) || is_in(&self.sum, *number)).count()
    }

    /// How many cells there is room for.
    pub(super) fn cells(&self) -> usize {
        self.columns().map(Vec::capacity).sum()
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &Cells<A>> {
        self.front.iter().chain(&self.back).map(|(_, cells)| cells).chain([&self.sum])
    }

    pub(super) fn columns_mut(&mut self) -> impl Iterator<Item = &mut Cells<A>> {
        let ColumnStacks { front, back, sum, .. } = self;
        front.iter_mut().chain(back).map(|(_, cells)| cells).chain([sum])
    }

    /// What there is of one key.
    pub(super) fn of(&self, number: usize) -> Stacks<A> {
        let of = |(start, cells): &(Timestamp, Cells<A>)| Some((*start, cells.get(number)?.clone()?));
        let (front, back) = (self.front.iter().filter_map(of), self.back.iter().filter_map(of));
        Stacks::of(front.collect(), back.collect(), self.sum.get(number).cloned().flatten())
    }
}

/// Adds what newer panes have.
fn merge<A: Clone, T>(cells: &mut Cells<A>, newer: &[Option<A>], aggregate: &impl Merge<T, Acc = A>) {
    widen(cells, newer.len());
    for (cell, newer) in cells.iter_mut().zip(newer) {
        if let Some(newer) = newer {
            join(cell, newer, aggregate);
        }
    }
}

fn recycle<A>(mut cells: Cells<A>, spare: &mut Spare<A>) {
    cells.fill_with(|| None);
    spare.keep(cells);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::merge::All;
    use super::*;

    /// What happens: so far behind the newest pane, for these keys; and how far windows go on.
    type Change = (i64, i64, Vec<usize>, Option<i64>);

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let keys = prop::collection::vec(0..4usize, 0..4);
        prop::collection::vec((0..3i64, 0..5i64, keys, prop::option::of(0..9i64)), 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_key_has_what_its_panes_in_the_window_have(changes in changes(), budget in 0..9usize) {
            let (all, mut stacks, mut model) = (All::<i64>::new(), ColumnStacks::default(), BTreeMap::new());
            let (mut newest, mut first) = (0, -8);
            for (number, (gap, leave, keys, behind)) in (0i64..).zip(changes) {
                newest += gap;
                if let Some(behind) = behind {
                    let pane = (newest - behind).max(first);
                    for key in keys {
                        stacks.push_behind(key, pane, &vec![number], &all);
                        model.entry((key, pane)).or_insert_with(Vec::new).push(number);
                        newest = newest.max(pane);
                    }
                } else {
                    newest += 1;
                    let mut cells = Cells::new();
                    keys.iter().for_each(|key| *cell(&mut cells, *key) = Some(vec![number]));
                    for part in [0..cells.len() / 2, cells.len() / 2..cells.len()] {
                        stacks.add(part.clone(), &cells[part], &all, |_| {});
                    }
                    keys.iter().for_each(|key| drop(model.insert((*key, newest), vec![number])));
                    stacks.push(newest, cells);
                }
                first = (first + leave).max(newest - 8).min(newest);
                while stacks.evict(first, &mut Spare::default(), &mut budget.clone(), &all) == Flow::More {}
                for key in 0..4 {
                    let sorted = |mut numbers: Vec<i64>| { numbers.sort_unstable(); numbers };
                    let panes = model.range((key, first)..(key + 1, i64::MIN));
                    let expected = sorted(panes.flat_map(|(_, numbers)| numbers.clone()).collect());
                    let value = stacks.value(key, &all);
                    prop_assert_eq!(&stacks.of(key).value(&all).map(sorted), &value.clone().map(sorted));
                    prop_assert_eq!(value.map(sorted), (!expected.is_empty()).then_some(expected));
                }
            }
        }
    }
}
