//! Panes whose windows have fired, and which late records may still change.

use std::collections::VecDeque;

use slotflow_runtime::{Key, Timestamp};

use super::Merge;
use super::merge::Heap;
use super::panes::Pane;
use super::stacks::join;
use crate::StateSize;
use crate::keyed::Segments;

/// Fired panes, the oldest first.
pub(super) struct Retained<K, A> {
    hashes: (u64, u64),
    panes: VecDeque<Pane<K, A>>,
}

impl<K: Key + Eq + Clone, A: Clone> Retained<K, A> {
    /// None yet.
    pub(super) fn new(hashes: (u64, u64)) -> Self {
        Retained { hashes, panes: VecDeque::new() }
    }

    /// Keeps a pane that is newer than all others.
    pub(super) fn push(&mut self, pane: Pane<K, A>) {
        self.panes.push_back(pane);
    }

    /// Where the oldest pane starts.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.panes.front().map(|pane| pane.start)
    }

    /// The table of the oldest pane.
    pub(super) fn oldest_table(&mut self) -> Option<&mut Segments<K, A>> {
        self.panes.front_mut().map(|pane| &mut pane.table)
    }

    /// How many keys all panes have, a key counting for each, and what their tables take.
    pub(super) fn size(&self) -> StateSize {
        self.panes.iter().map(|pane| pane.table.size()).sum()
    }

    /// Forgets the oldest pane.
    pub(super) fn forget(&mut self) -> Option<Pane<K, A>> {
        self.panes.pop_front()
    }

    /// Adds to what a pane has for a key.
    pub(super) fn add<T, M: Merge<T, Acc = A>>(
        &mut self,
        (start, key): (Timestamp, K),
        acc: &A,
        aggregate: &M,
        heap: &mut Heap,
    ) {
        let at = match self.panes.binary_search_by_key(&start, |pane| pane.start) {
            Ok(known) => known,
            Err(at) => {
                self.panes.insert(at, Pane { start, table: Segments::new(self.hashes) });
                at
            }
        };
        let table = &mut self.panes[at].table;
        let make = |key: &K| {
            let acc = aggregate.create();
            heap.add(aggregate, &acc);
            (key.clone(), acc)
        };
        let known = table.value(&key, |known, key| known == *key, make);
        heap.change(aggregate, known, |known| aggregate.merge(known, acc));
    }

    /// What the panes from `start` up to `end` have for a key.
    pub(super) fn value<T, M>(
        &self,
        start: Timestamp,
        end: Timestamp,
        key: &K,
        aggregate: &M,
    ) -> Option<M::Out>
    where
        M: Merge<T, Acc = A>,
    {
        let first = self.panes.partition_point(|pane| pane.start < start);
        let mut all = None;
        for pane in self.panes.range(first..).take_while(|pane| pane.start < end) {
            pane.table.find(key).into_iter().for_each(|acc| join(&mut all, acc, aggregate));
        }
        all.map(|all| aggregate.result(&all))
    }
}
