//! Panes and stacks in tables by key: for many keys, for panes far from each other, and for those that late records may
//! still change.

use slotflow_runtime::{Flow, Key, Timestamp};

use super::Merge;
use super::merge::Heap;
use super::panes::Panes;
use super::retained::Retained;
use super::shape::Shape;
use super::stacks::{Stacks, stack_of};
use crate::StateSize;
use crate::keyed::{Cursor, Segments, Visited};

/// What a key that is put on the stacks counts for besides the visit: it may be a new one there, or its stack may grow,
/// each some 900 instructions (PERF.md, steps).
const STACKING: usize = 3;

/// How far the keys of a pane or window have been visited.
#[derive(Clone, Copy, Default)]
pub(super) struct Progress {
    cursor: Cursor,
    /// How many keys of a table have been.
    keys: usize,
    /// The number of the next key, where they have numbers.
    pub(super) number: usize,
}

impl Progress {
    /// The numbers to be visited now, of so many.
    pub(super) fn portion(&mut self, numbers: usize, budget: &mut usize) -> std::ops::Range<usize> {
        let portion = self.number..numbers.min(self.number + *budget);
        self.number = portion.end;
        *budget -= portion.len();
        portion
    }
}

/// The panes of one subtask.
pub(super) struct Tables<K, A> {
    pub(super) panes: Panes<K, A>,
    /// Of sliding windows: what the closed panes have for each key.
    stacks: Segments<K, Stacks<A>>,
    pub(super) retained: Retained<K, A>,
    /// How many panes all stacks have.
    stacked: usize,
    /// Whether no pane is opened.
    is_closed: bool,
}

impl<K: Key + Eq + Clone, A: Clone> Tables<K, A> {
    /// Of these panes, for a subtask that has the keys of these hashes.
    pub(super) fn new(panes: Panes<K, A>, hashes: (u64, u64)) -> Self {
        Tables {
            panes,
            stacks: Segments::new(hashes),
            retained: Retained::new(hashes),
            stacked: 0,
            is_closed: false,
        }
    }

    /// The same, in which no pane is opened.
    pub(super) fn closed_to_all(self) -> Self {
        Tables { is_closed: true, ..self }
    }

    /// Whether closed panes have something that is still to fire.
    pub(super) fn has_stacked(&self) -> bool {
        !self.stacks.is_empty()
    }

    /// Gives a key its stacks.
    pub(super) fn restack(&mut self, key: &K, stacks: Stacks<A>) {
        if stacks.len() > 0 {
            self.stacked += stacks.len();
            *stack_of(&mut self.stacks, key) = stacks;
        }
    }

    /// Visits the keys of the oldest pane, which are kept if the pane will be retained.
    pub(super) fn visit_oldest(
        &mut self,
        progress: &mut Progress,
        budget: &mut usize,
        retains: bool,
        mut visit: impl FnMut(&K, &mut A),
    ) -> Flow {
        visit_all(self.panes.oldest_table(), progress, budget, retains, |key, acc, _| visit(key, acc))
    }

    /// Puts the oldest pane on the stacks, and shows what it has; its keys are kept if the pane will be retained.
    pub(super) fn stack_oldest<T>(
        &mut self,
        progress: &mut Progress,
        budget: &mut usize,
        retains: bool,
        (aggregate, mut show): (&impl Merge<T, Acc = A>, impl FnMut(&A)),
    ) -> Flow {
        let Tables { panes, stacks, stacked, .. } = self;
        let Some(start) = panes.oldest() else { return Flow::Done };
        visit_all(panes.oldest_table(), progress, budget, retains, |key, acc, spent| {
            *spent += STACKING;
            stack_of(stacks, key).push(start, acc, aggregate);
            *stacked += 1;
            show(acc);
        })
    }

    /// The oldest pane has been visited.
    pub(super) fn closed(&mut self, progress: Progress, retains: bool) {
        let Some(pane) = self.panes.close() else { return };
        if retains {
            self.retained.push(pane);
        } else {
            self.panes.recycle(pane.table, progress.keys);
        }
    }

    /// Visits the keys of the stacks with what the window from `start` on comes to.
    pub(super) fn fire<T, M: Merge<T, Acc = A>>(
        &mut self,
        start: Timestamp,
        progress: &mut Progress,
        budget: &mut usize,
        aggregate: &M,
        mut visit: impl FnMut(&K, M::Out),
    ) -> Flow {
        let Tables { stacks, stacked, .. } = self;
        stacks.visit(&mut progress.cursor, budget, |key, stack, spent| {
            let before = stack.len();
            *spent += stack.evict(start, aggregate);
            *stacked -= before - stack.len();
            match stack.value(aggregate) {
                Some(value) => {
                    visit(key, value);
                    Visited::Kept
                }
                None => Visited::Removed,
            }
        })
    }

    /// Something that belongs to a pane which has been closed, and which is still to fire.
    pub(super) fn push_behind<T>(
        &mut self,
        key: &K,
        start: Timestamp,
        acc: &A,
        aggregate: &impl Merge<T, Acc = A>,
    ) {
        let stack = stack_of(&mut self.stacks, key);
        let before = stack.len();
        stack.push_behind(start, acc, aggregate);
        self.stacked += stack.len() - before;
    }

    /// Forgets more of the oldest retained pane.
    pub(super) fn forget<T>(
        &mut self,
        progress: &mut Progress,
        budget: &mut usize,
        heap: &mut Heap,
        aggregate: &impl Merge<T, Acc = A>,
    ) -> Flow {
        let Some(table) = self.retained.oldest_table() else { return Flow::Done };
        let flow = table.empty(&mut progress.cursor, budget, |_, acc, _| {
            progress.keys += 1;
            heap.remove(aggregate, acc);
            Visited::Kept
        });
        if flow == Flow::Done {
            let pane = self.retained.forget();
            pane.into_iter().for_each(|pane| self.panes.recycle(pane.table, progress.keys));
        }
        flow
    }

    /// Makes the pane of this time the current one; `false` if it is closed.
    #[inline(never)]
    pub(super) fn turn_to(&mut self, timestamp: Timestamp, shape: Shape, closed_to: Timestamp) -> bool {
        if self.panes.turn_back(timestamp) {
            return true;
        }
        let start = shape.pane_of(timestamp);
        let open = start + shape.pane > closed_to && !self.is_closed;
        if open {
            self.panes.turn_to(start);
        }
        open
    }

    /// How much there is; of sliding windows without what the copies in the stacks own on the heap.
    pub(super) fn size(&self) -> StateSize {
        let tables = self.panes.size() + self.stacks.size() + self.retained.size();
        tables.and_bytes(self.stacked * size_of::<(Timestamp, A)>())
    }
}

/// Visits the keys of a pane; it is left empty, unless it will be retained.
fn visit_all<K: Key, A>(
    table: Option<&mut Segments<K, A>>,
    progress: &mut Progress,
    budget: &mut usize,
    retains: bool,
    mut visit: impl FnMut(&K, &mut A, &mut usize),
) -> Flow {
    let Some(table) = table else { return Flow::Done };
    let Progress { cursor, keys, .. } = progress;
    let visit = |key: &K, acc: &mut A, spent: &mut usize| {
        *keys += 1;
        visit(key, acc, spent);
        Visited::Kept
    };
    if retains { table.visit(cursor, budget, visit) } else { table.empty(cursor, budget, visit) }
}
