//! The operator of tumbling and sliding windows.
//!
//! 1. A record changes the accumulator of its key in its pane, and nothing else.
//! 2. When a watermark passes the end of a window, the panes up to there are closed. Of tumbling windows a pane
//!    is one: its keys fire. Of sliding ones the panes' keys go into the stacks, and the stacks' keys fire.
//! 3. A pane that late records may still change is retained after that, and its windows fire again with each.
//!
//! So a watermark costs as much as there is to fire, however many keys are open. Each phase keeps its cursor: a
//! call that has used up its budget says so, and the next goes on behind it.

use slotflow_runtime::{
    Build, Context, FIRING_BUDGET, Family, Flow, Hint, Key, MIN_TIMESTAMP, Measures, Operator, Output, Owned,
    Result, SubtaskContext, Timestamp,
};

use super::late::Late;
use super::merge::Heap;
use super::panes::Panes;
use super::processing_time::Due;
use super::retained::Retained;
use super::shape::Shape;
use super::stacks::{Stacks, stack_of};
use super::{Fired, Merge, Sliding, WindowPlan, emit};
use crate::StateSize;
use crate::keyed::{Cursor, KeySelector, Segments, Visited};

impl<T, S, A, L> Build<Owned<T>> for WindowPlan<Sliding, S, A, L>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T> + Clone + Send,
    L: Late<Fired<T, S, A>, T>,
{
    type Out = Owned<L::Out>;
    type Operator = AlignedWindows<T, S, A, L>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let shape = Shape::new(self.windows)?;
        let hashes = self.assigner.hashes_of(subtask);
        let state = Box::new(State {
            shape,
            lateness: self.lateness_ms,
            panes: Panes::new(shape, hashes),
            stacks: Segments::new(hashes),
            retained: Retained::new(hashes),
            stacked: 0,
            heap: Heap::default(),
            closed_to: MIN_TIMESTAMP,
            watermark: MIN_TIMESTAMP,
            phase: Phase::Waiting,
        });
        Ok(AlignedWindows { selector: self.selector, aggregate: self.aggregate, late: self.late, state })
    }
}

/// The operator of [`Sliding`] and tumbling windows.
pub struct AlignedWindows<T, S: KeySelector<T>, A: Merge<T>, L> {
    selector: S,
    aggregate: A,
    late: L,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<State<S::Stored, A::Acc>>,
}

/// The panes of one subtask, and how far they have been fired.
struct State<K, A> {
    shape: Shape,
    lateness: Timestamp,
    panes: Panes<K, A>,
    /// Of sliding windows: what the closed panes have for each key.
    stacks: Segments<K, Stacks<A>>,
    retained: Retained<K, A>,
    /// How many panes all stacks have.
    stacked: usize,
    heap: Heap,
    /// The last end of a window that event time has passed.
    closed_to: Timestamp,
    watermark: Timestamp,
    phase: Phase,
}

/// What is being done about a watermark.
#[derive(Clone, Copy)]
enum Phase {
    /// Nothing.
    Waiting,
    /// The keys of the oldest pane are visited; so many have been.
    Closing(Cursor, usize),
    /// The keys of the windows that end here fire.
    Firing(Timestamp, Cursor),
    /// What the oldest retained pane has is forgotten; so many keys have been.
    Forgetting(Cursor, usize),
}

impl<K: Key + Eq + Clone, A: Clone> State<K, A> {
    /// What is to be done next about the watermark.
    fn next(&mut self) -> Phase {
        let begin = Cursor::default();
        if self.forgets() {
            return Phase::Forgetting(begin, 0);
        }
        let Some(end) = self.next_end().filter(|end| end - 1 <= self.watermark) else {
            self.closed_to = self.shape.last_end(self.watermark).max(self.closed_to);
            return Phase::Waiting;
        };
        // There was nothing up to here, or it has been fired.
        self.closed_to = end - self.shape.slide;
        match self.panes.oldest() {
            Some(start) if start + self.shape.pane <= end => Phase::Closing(begin, 0),
            _ => Phase::Firing(end, begin),
        }
    }

    /// The end of the next window that has something.
    fn next_end(&self) -> Option<Timestamp> {
        if !self.stacks.is_empty() {
            return Some(self.closed_to + self.shape.slide);
        }
        self.panes.oldest().map(|start| *self.shape.ends_of(start).start())
    }

    /// Whether nothing can change the oldest retained pane any more.
    fn forgets(&self) -> bool {
        self.retained.oldest().is_some_and(|start| !self.can_change(start))
    }

    /// Whether a pane has a window that a record may still change.
    fn can_change(&self, start: Timestamp) -> bool {
        self.shape.ends_of(start).end() - 1 + self.lateness > self.watermark
    }

    /// The oldest pane has been visited, and `keys` were in it.
    fn closed(&mut self, keys: usize) {
        let Some(pane) = self.panes.close() else { return };
        if self.shape.is_tumbling() {
            self.closed_to = pane.start + self.shape.size;
        }
        if self.lateness > 0 {
            self.retained.push(pane);
        } else {
            self.panes.recycle(pane.table, keys);
        }
    }

    /// Forgets more of the oldest retained pane.
    fn forget<T, M: Merge<T, Acc = A>>(
        &mut self,
        (cursor, keys): (&mut Cursor, &mut usize),
        budget: &mut usize,
        aggregate: &M,
    ) -> Flow {
        let Some(table) = self.retained.oldest_table() else { return Flow::Done };
        let flow = table.empty(cursor, budget, |_, acc, _| {
            *keys += 1;
            self.heap.remove(aggregate, acc);
            Visited::Kept
        });
        if flow == Flow::Done {
            let pane = self.retained.forget();
            pane.into_iter().for_each(|pane| self.panes.recycle(pane.table, *keys));
        }
        flow
    }

    /// How much there is; of sliding windows without what the copies in the stacks own on the heap.
    fn size(&self) -> StateSize {
        let tables = self.panes.size() + self.stacks.size() + self.retained.size();
        tables.and_bytes(self.stacked * size_of::<(Timestamp, A)>() + self.heap.bytes())
    }

    /// Makes the pane of this time the current one; `false` if it is closed.
    #[inline(never)]
    fn turn_to(&mut self, timestamp: Timestamp) -> bool {
        if self.panes.turn_back(timestamp) {
            return true;
        }
        let start = self.shape.pane_of(timestamp);
        let open = start + self.shape.pane > self.closed_to;
        if open {
            self.panes.turn_to(start);
        }
        open
    }
}

impl<T, S, A, L> AlignedWindows<T, S, A, L>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T>,
    L: Late<Fired<T, S, A>, T>,
{
    /// Goes on with the watermark; gives what is left to do when the budget is used up.
    fn advance<'s>(
        &mut self,
        phase: Phase,
        budget: &mut usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> (Flow, Phase) {
        match phase {
            Phase::Waiting => (Flow::Done, phase),
            Phase::Closing(mut cursor, mut keys) => {
                let flow = self.close((&mut cursor, &mut keys), budget, ctx, out);
                if flow == Flow::Done {
                    self.state.closed(keys);
                }
                (flow, Phase::Closing(cursor, keys))
            }
            Phase::Firing(end, mut cursor) => {
                let flow = self.fire(end, &mut cursor, budget, ctx, out);
                if flow == Flow::Done {
                    self.state.closed_to = end;
                }
                (flow, Phase::Firing(end, cursor))
            }
            Phase::Forgetting(mut cursor, mut keys) => {
                let flow = self.state.forget((&mut cursor, &mut keys), budget, &self.aggregate);
                (flow, Phase::Forgetting(cursor, keys))
            }
        }
    }

    /// Visits the keys of the oldest pane: they fire, or go into the stacks.
    fn close<'s>(
        &mut self,
        (cursor, keys): (&mut Cursor, &mut usize),
        budget: &mut usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        let AlignedWindows { aggregate, state, .. } = self;
        let State { shape, panes, stacks, stacked, heap, lateness, .. } = &mut **state;
        let (Some(start), tumbling) = (panes.oldest(), shape.is_tumbling()) else { return Flow::Done };
        let Some(table) = panes.oldest_table() else { return Flow::Done };
        let visit = |key: &S::Stored, acc: &mut A::Acc, _: &mut usize| {
            *keys += 1;
            if tumbling {
                let value = aggregate.result(acc);
                emit::<L, _, _, _>(key.clone(), (start, start + shape.size), value, ctx, out);
            } else {
                stack_of(stacks, key).push(start, acc, aggregate);
                *stacked += 1;
            }
            if *lateness == 0 {
                heap.remove(aggregate, acc);
            }
            Visited::Kept
        };
        if *lateness > 0 { table.visit(cursor, budget, visit) } else { table.empty(cursor, budget, visit) }
    }

    /// Visits the keys of the stacks: the windows that end here fire.
    fn fire<'s>(
        &mut self,
        end: Timestamp,
        cursor: &mut Cursor,
        budget: &mut usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        let AlignedWindows { aggregate, state, .. } = self;
        let State { shape, stacks, stacked, .. } = &mut **state;
        let start = end - shape.size;
        stacks.visit(cursor, budget, |key, stack, spent| {
            let before = stack.len();
            *spent += stack.evict(start, aggregate);
            *stacked -= before - stack.len();
            match stack.value(aggregate) {
                Some(value) => {
                    emit::<L, _, _, _>(key.clone(), (start, end), value, ctx, out);
                    Visited::Kept
                }
                None => Visited::Removed,
            }
        })
    }

    /// A record of a pane that is closed: it changes what is still to fire, and what has fired and is retained;
    /// or it is late.
    #[cold]
    fn behind<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        let AlignedWindows { selector, aggregate, late, state } = self;
        let start = state.shape.pane_of(ctx.timestamp());
        if !state.can_change(start) {
            late.late(record, ctx).into_iter().for_each(|late| out.push(late, ctx));
            return;
        }
        let key = S::store(selector.key(&record));
        let mut acc = aggregate.create();
        aggregate.add(&mut acc, record);
        if *state.shape.ends_of(start).end() > state.closed_to {
            let stack = stack_of(&mut state.stacks, &key);
            let before = stack.len();
            stack.push_behind(start, &acc, aggregate);
            state.stacked += stack.len() - before;
        }
        if state.lateness > 0 {
            state.retained.add((start, key.clone()), &acc, aggregate, &mut state.heap);
            self.fire_again(start, key, ctx, out);
        }
    }

    /// The windows of this pane that have fired do so again for a key.
    fn fire_again<'s>(
        &mut self,
        pane: Timestamp,
        key: S::Stored,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let State { shape, lateness, retained, closed_to, watermark, .. } = &*self.state;
        let ends = shape.ends_of(pane).step_by(shape.slide as usize);
        let fired = ends.filter(|end| end <= closed_to && end - 1 + lateness > *watermark);
        for (start, end) in fired.map(|end| (end - shape.size, end)) {
            if let Some(value) = retained.value(start, end, &key, &self.aggregate) {
                emit::<L, _, _, _>(key.clone(), (start, end), value, ctx, out);
            }
        }
    }
}

impl<T, S: KeySelector<T, Stored: Clone + Eq>, A: Merge<T>, L> Due for AlignedWindows<T, S, A, L> {
    fn due(&self) -> Option<Timestamp> {
        self.state.next_end()
    }
}

impl<T, S, A, L> Operator<Owned<T>> for AlignedWindows<T, S, A, L>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T>,
    L: Late<Fired<T, S, A>, T>,
{
    type Out = Owned<L::Out>;

    #[inline(always)]
    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        self.process_hinted(record, None, ctx, out);
    }

    #[inline(always)]
    fn hint<'s, 'r>(&mut self, records: impl Iterator<Item = &'r T>, first: Hint, _: &mut Context<'s>)
    where
        <Owned<T> as Family>::Of<'s>: 'r,
    {
        let selector = &mut self.selector;
        self.state.panes.hint(records.map(|record| selector.key(record).hash()), first);
    }

    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: T,
        hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let AlignedWindows { selector, aggregate, state, .. } = self;
        if !state.panes.is_current(ctx.timestamp()) && !state.turn_to(ctx.timestamp()) {
            return self.behind(record, ctx, out);
        }
        let make = |key: S::Key<'_>| (S::store(key), aggregate.create());
        let State { panes, heap, .. } = &mut **state;
        let acc = panes.value(hint, selector.key(&record), S::same, make);
        heap.change(aggregate, acc, |acc| aggregate.add(acc, record));
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        self.state.watermark = watermark;
        let mut budget = FIRING_BUDGET;
        loop {
            let (flow, phase) = self.advance(self.state.phase, &mut budget, ctx, out);
            self.state.phase = phase;
            if flow == Flow::More {
                return flow;
            }
            self.state.phase = self.state.next();
            if let Phase::Waiting = self.state.phase {
                return Flow::Done;
            }
        }
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<L::Out>>) -> Flow {
        self.late.ended(ctx);
        Flow::Done
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.state.size().tell(measures);
        self.late.measure(measures);
    }
}
