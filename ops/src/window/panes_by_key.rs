//! What one subtask keeps of tumbling and sliding windows: its panes, in columns or in tables, and how far they have
//! been fired.

use std::ops::Add;

use slotflow_runtime::{Flow, Key, MIN_TIMESTAMP, Timestamp};

use super::Merge;
use super::becoming::{Becoming, PORTION};
use super::columns::Columns;
use super::merge::Heap;
use super::panes::Panes;
use super::shape::Shape;
use super::tables::{Progress, Tables};
use crate::StateSize;

/// The panes of one subtask.
pub(super) enum PanesByKey<K, A> {
    /// Of few keys.
    Columns(Columns<K, A>),
    /// Of any.
    Tables(Tables<K, A>),
}

impl<K: Key + Eq + Clone, A: Clone> PanesByKey<K, A> {
    /// Where the oldest pane starts.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        match self {
            PanesByKey::Columns(columns) => columns.oldest(),
            PanesByKey::Tables(tables) => tables.panes.oldest(),
        }
    }

    fn has_stacked(&self) -> bool {
        match self {
            PanesByKey::Columns(columns) => columns.has_stacked(),
            PanesByKey::Tables(tables) => tables.has_stacked(),
        }
    }

    fn size(&self) -> StateSize {
        match self {
            PanesByKey::Columns(columns) => columns.size(),
            PanesByKey::Tables(tables) => tables.size(),
        }
    }
}

/// What is being done about a watermark, and how far it has come.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// Nothing.
    Waiting,
    /// The keys of the oldest pane are visited.
    Closing(Progress),
    /// The keys of the windows that end here fire.
    Firing(Timestamp, Progress),
    /// What the oldest retained pane has is forgotten.
    Forgetting(Progress),
}

/// The panes of one subtask, and how far they have been fired.
pub(super) struct State<K, A> {
    pub(super) shape: Shape,
    pub(super) lateness: Timestamp,
    hashes: (u64, u64),
    pub(super) panes: PanesByKey<K, A>,
    /// Columns that are becoming tables: until that is over `panes` are tables that take nothing, so that a record that
    /// is added need not be asked for a third form.
    becoming: Option<Box<Becoming<K, A>>>,
    pub(super) heap: Heap,
    /// The last end of a window that event time has passed.
    pub(super) closed_to: Timestamp,
    pub(super) watermark: Timestamp,
    pub(super) phase: Phase,
}

impl<K: Key + Eq + Clone, A: Clone> State<K, A> {
    /// Without any panes, of a subtask that has the keys of these hashes.
    pub(super) fn new(shape: Shape, lateness: Timestamp, hashes: (u64, u64)) -> Self {
        // What late records may still change is found by key.
        let columns = if lateness > 0 { None } else { Columns::new(shape, hashes) };
        let tables = || PanesByKey::Tables(Tables::new(Panes::new(shape, hashes), hashes));
        State {
            shape,
            lateness,
            hashes,
            panes: columns.map_or_else(tables, PanesByKey::Columns),
            becoming: None,
            heap: Heap::default(),
            closed_to: MIN_TIMESTAMP,
            watermark: MIN_TIMESTAMP,
            phase: Phase::Waiting,
        }
    }

    /// What is to be done next about the watermark.
    pub(super) fn next(&mut self) -> Phase {
        let begin = Progress::default();
        if self.forgets() {
            return Phase::Forgetting(begin);
        }
        let Some(end) = self.next_end().filter(|end| end - 1 <= self.watermark) else {
            self.pass(self.shape.last_end(self.watermark).max(self.closed_to));
            return Phase::Waiting;
        };
        // There was nothing up to here, or it has been fired.
        self.pass(end - self.shape.slide);
        match self.panes.oldest() {
            Some(start) if start + self.shape.pane <= end => Phase::Closing(begin),
            _ => Phase::Firing(end, begin),
        }
    }

    /// Windows have fired up to this end.
    pub(super) fn pass(&mut self, end: Timestamp) {
        self.closed_to = end;
        if let PanesByKey::Columns(columns) = &mut self.panes {
            columns.pass(end);
        }
    }

    /// The end of the next window that has something.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        if self.panes.has_stacked() {
            return Some(self.closed_to + self.shape.slide);
        }
        self.panes.oldest().map(|start| *self.shape.ends_of(start).start())
    }

    /// Whether the pane that starts here takes records.
    pub(super) fn is_open(&self, start: Timestamp) -> bool {
        start + self.shape.pane > self.closed_to
    }

    /// Whether nothing can change the oldest retained pane any more.
    fn forgets(&self) -> bool {
        let PanesByKey::Tables(tables) = &self.panes else { return false };
        tables.retained.oldest().is_some_and(|start| !self.can_change(start))
    }

    /// Whether a pane has a window that a record may still change.
    pub(super) fn can_change(&self, start: Timestamp) -> bool {
        self.shape.ends_of(start).end() - 1 + self.lateness > self.watermark
    }

    /// The oldest pane, which started here, has been visited.
    pub(super) fn closed(&mut self, start: Timestamp, progress: Progress) {
        if let PanesByKey::Tables(tables) = &mut self.panes {
            tables.closed(progress, self.lateness > 0);
        }
        if self.shape.is_tumbling() {
            self.pass(start + self.shape.size);
        }
        if matches!(&self.panes, PanesByKey::Columns(columns) if columns.is_sparse()) {
            self.become_tables();
        }
    }

    /// Forgets more of the oldest retained pane.
    pub(super) fn forget<T>(
        &mut self,
        progress: &mut Progress,
        budget: &mut usize,
        aggregate: &impl Merge<T, Acc = A>,
    ) -> Flow {
        match &mut self.panes {
            PanesByKey::Columns(_) => Flow::Done,
            PanesByKey::Tables(tables) => tables.forget(progress, budget, &mut self.heap, aggregate),
        }
    }

    /// Makes it possible that the open pane that starts here gets a record.
    pub(super) fn make_room(&mut self, start: Timestamp) {
        self.relieve();
        if let PanesByKey::Columns(columns) = &mut self.panes
            && !columns.reach(start)
        {
            self.become_tables();
        }
    }

    /// Sees to it that columns have numbers for new keys, if there are any columns.
    pub(super) fn relieve(&mut self) {
        if let PanesByKey::Columns(columns) = &mut self.panes
            && columns.is_full()
            && !columns.compact()
        {
            self.become_tables();
        }
    }

    /// Until there are tables again nothing is added: what was columns is moved there first, and what is tables already
    /// waits for what was held.
    pub(super) fn become_tables(&mut self) {
        let none = Tables::new(Panes::new(self.shape, self.hashes), self.hashes).closed_to_all();
        let becoming = match std::mem::replace(&mut self.panes, PanesByKey::Tables(none)) {
            PanesByKey::Columns(columns) => columns.into_becoming(),
            PanesByKey::Tables(tables) => Becoming::of(tables),
        };
        self.becoming = Some(Box::new(becoming));
    }

    /// Whether columns are becoming tables.
    #[inline(always)]
    pub(super) fn is_becoming(&self) -> bool {
        self.becoming.is_some()
    }

    /// Goes on becoming tables; done where there is nothing to become.
    pub(super) fn become_more(&mut self) -> Flow {
        let Some(mut becoming) = self.becoming.take() else { return Flow::Done };
        let mut budget = PORTION;
        let flow = becoming.go_on(&mut budget);
        match flow {
            Flow::Done => self.panes = PanesByKey::Tables(becoming.into_tables()),
            _ => self.becoming = Some(becoming),
        }
        flow
    }

    /// Something that belongs to a pane which has been closed, and which is still to fire. Columns that are full
    /// have been [relieved](State::relieve).
    pub(super) fn push_behind<T>(
        &mut self,
        key: &K,
        start: Timestamp,
        acc: &A,
        aggregate: &impl Merge<T, Acc = A>,
    ) {
        match &mut self.panes {
            PanesByKey::Columns(columns) => {
                let number = columns.number(None, key, |known, key| known == *key, K::clone);
                columns.push_behind(number, start, acc, aggregate);
            }
            PanesByKey::Tables(tables) => tables.push_behind(key, start, acc, aggregate),
        }
    }

    /// Adds to what has fired and is retained; `false` if nothing is.
    pub(super) fn retain<T>(
        &mut self,
        key: &K,
        start: Timestamp,
        acc: &A,
        aggregate: &impl Merge<T, Acc = A>,
    ) -> bool {
        let State { panes: PanesByKey::Tables(tables), heap, lateness: 1.., .. } = self else { return false };
        tables.retained.add((start, key.clone()), acc, aggregate, heap);
        true
    }

    /// How much there is.
    pub(super) fn size(&self) -> StateSize {
        let becoming = self.becoming.as_ref().map(|becoming| becoming.size());
        becoming.into_iter().fold(self.panes.size(), Add::add).and_bytes(self.heap.bytes())
    }
}
