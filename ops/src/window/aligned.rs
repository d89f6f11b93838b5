//! The operator of tumbling and sliding windows.
//!
//! 1. A record changes the accumulator of its key in its pane, and nothing else.
//! 2. When a watermark passes the end of a window, the panes up to there are closed. Of tumbling windows a pane
//!    is one: its keys fire. Of sliding ones the panes' keys go into the stacks, and the stacks' keys fire.
//! 3. A pane that late records may still change is retained after that, and its windows fire again with each.
//! 4. While columns become tables there are no panes: records are held, and whatever comes behind them waits.
//!
//! So a watermark costs as much as there is to fire, however many keys are open. Each phase keeps its cursor: a
//! call that has used up its budget says so, and the next goes on behind it.

use std::collections::VecDeque;

use slotflow_runtime::{
    Build, Context, FIRING_BUDGET, Family, Flow, Hint, Key, Measures, Operator, Output, Owned, Result,
    SubtaskContext, Timestamp,
};

use super::becoming::PORTION;
use super::late::Late;
use super::panes_by_key::{PanesByKey, Phase, State};
use super::processing_time::Due;
use super::shape::Shape;
use super::tables::{Progress, Tables};
use super::{Fired, Merge, Sliding, WindowPlan, emit};
use crate::keyed::KeySelector;

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
        let state = State::new(Shape::new(self.windows)?, self.lateness_ms, self.assigner.hashes_of(subtask));
        let state = Box::new(state);
        let WindowPlan { selector, aggregate, late, .. } = self;
        Ok(AlignedWindows { selector, aggregate, late, state, held: VecDeque::new() })
    }
}

/// The operator of [`Sliding`] and tumbling windows.
pub struct AlignedWindows<T, S: KeySelector<T>, A: Merge<T>, L> {
    selector: S,
    aggregate: A,
    late: L,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<State<S::Stored, A::Acc>>,
    /// Records that wait, with their times, until columns have become tables: the rest of a step, or what an operator
    /// in front fires meanwhile, but never more than there were cells.
    held: VecDeque<(T, Timestamp)>,
}

/// How many of these are added at a time, and twice as many as come for one portion that is moved.
const HELD: usize = 2 * PORTION;

impl<T, S, A, L> AlignedWindows<T, S, A, L>
where
    T: 'static,
    S: KeySelector<T, Stored: Clone + Eq>,
    A: Merge<T>,
    L: Late<Fired<T, S, A>, T>,
{
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    #[cfg(test)]
    pub(super) fn panes(&self) -> &PanesByKey<S::Stored, A::Acc> {
        &self.state.panes
    }

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
            Phase::Closing(mut progress) => {
                let start = self.state.panes.oldest();
                let flow = self.close(&mut progress, budget, ctx, out);
                if let (Flow::Done, Some(start)) = (flow, start) {
                    self.state.closed(start, progress);
                }
                (flow, Phase::Closing(progress))
            }
            Phase::Firing(end, mut progress) => {
                let flow = self.fire(end, &mut progress, budget, ctx, out);
                if flow == Flow::Done {
                    self.state.pass(end);
                }
                (flow, Phase::Firing(end, progress))
            }
            Phase::Forgetting(mut progress) => {
                let flow = self.state.forget(&mut progress, budget, &self.aggregate);
                (flow, Phase::Forgetting(progress))
            }
        }
    }

    /// Visits the keys of the oldest pane: they fire, or go into the stacks.
    fn close<'s>(
        &mut self,
        progress: &mut Progress,
        budget: &mut usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        let AlignedWindows { aggregate, state, .. } = self;
        let State { shape, panes, heap, lateness, .. } = &mut **state;
        let (Some(start), retains) = (panes.oldest(), *lateness > 0) else { return Flow::Done };
        let window = (start, start + shape.size);
        let mut fire = |key: &S::Stored, acc: &A::Acc| {
            emit::<L, _, _, _>(key.clone(), window, aggregate.result(acc), ctx, out);
        };
        let mut gone = |acc: &A::Acc| {
            if !retains {
                heap.remove(aggregate, acc);
            }
        };
        match panes {
            PanesByKey::Columns(columns) if shape.is_tumbling() => {
                columns.empty_oldest(progress, budget, |key, acc| {
                    fire(key, &acc);
                    gone(&acc);
                })
            }
            PanesByKey::Tables(tables) if shape.is_tumbling() => {
                tables.visit_oldest(progress, budget, retains, |key, acc| {
                    fire(key, acc);
                    gone(acc);
                })
            }
            PanesByKey::Columns(columns) => columns.stack_oldest(progress, budget, aggregate, gone),
            PanesByKey::Tables(tables) => tables.stack_oldest(progress, budget, retains, (aggregate, gone)),
        }
    }

    /// Visits the keys of the stacks: the windows that end here fire.
    fn fire<'s>(
        &mut self,
        end: Timestamp,
        progress: &mut Progress,
        budget: &mut usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        let AlignedWindows { aggregate, state, .. } = self;
        let start = end - state.shape.size;
        let visit = |key: &S::Stored, value| {
            emit::<L, _, _, _>(key.clone(), (start, end), value, ctx, out);
        };
        match &mut state.panes {
            PanesByKey::Columns(columns) => columns.fire(start, progress, budget, aggregate, visit),
            PanesByKey::Tables(tables) => tables.fire(start, progress, budget, aggregate, visit),
        }
    }

    /// Adds a record to the open pane of this time; gives it back if there is none, or no room.
    #[inline(always)]
    fn add(&mut self, record: T, hint: Option<Hint>, time: Timestamp) -> Option<T> {
        let AlignedWindows { selector, aggregate, state, .. } = self;
        let State { shape, panes, heap, closed_to, .. } = &mut **state;
        let mut create = || {
            let acc = aggregate.create();
            heap.add(aggregate, &acc);
            acc
        };
        let acc = match panes {
            PanesByKey::Columns(columns) => {
                let Some(pane) = columns.pane_at(time) else { return Some(record) };
                let number = columns.number(hint, selector.key(&record), S::same, S::store);
                columns.value(pane, number, create)
            }
            PanesByKey::Tables(tables) => {
                if !tables.panes.is_current(time) && !tables.turn_to(time, *shape, *closed_to) {
                    return Some(record);
                }
                let make = |key: S::Key<'_>| (S::store(key), create());
                Some(tables.panes.value(hint, selector.key(&record), S::same, make))
            }
        };
        let Some(acc) = acc else { return Some(record) };
        heap.change(aggregate, acc, |acc| aggregate.add(acc, record));
        None
    }

    /// A record that could not be added as things were.
    #[cold]
    #[inline(never)]
    fn add_after_all<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        let (time, mut record) = (ctx.timestamp(), Some(record));
        let start = self.state.shape.pane_of(time);
        // Twice at most: where there is a pane, a key may still be one too many.
        while let Some(again) = record.take() {
            if self.state.is_becoming() {
                self.hold(again, ctx, out);
            } else if self.state.is_open(start) {
                self.state.make_room(start);
                record = self.add(again, None, start);
            } else {
                self.behind(again, ctx, out);
            }
        }
    }

    /// A record of a pane that is closed: it changes what is still to fire, and what has fired and is retained;
    /// or it is late.
    #[cold]
    fn behind<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        let start = self.state.shape.pane_of(ctx.timestamp());
        if !self.state.can_change(start) {
            self.late.late(record, ctx).into_iter().for_each(|late| out.push(late, ctx));
            return;
        }
        self.state.relieve();
        if self.state.is_becoming() {
            return self.hold(record, ctx, out);
        }
        let AlignedWindows { selector, aggregate, state, .. } = self;
        let key = S::store(selector.key(&record));
        let mut acc = aggregate.create();
        aggregate.add(&mut acc, record);
        if *state.shape.ends_of(start).end() > state.closed_to {
            state.push_behind(&key, start, &acc, aggregate);
        }
        if state.retain(&key, start, &acc, aggregate) {
            self.fire_again(start, key, ctx, out);
        }
    }

    /// Holds a record back. Nobody calls this operator between two that an operator in front fires, so it goes on by
    /// itself now and then: as it moves as many cells as records come meanwhile, it never holds more than that.
    fn hold<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        self.held.push_back((record, ctx.timestamp()));
        if self.held.len().is_multiple_of(PORTION) {
            let _more = self.settle_down(ctx, out);
        }
    }

    /// Goes on becoming tables, and then adding what was held meanwhile.
    fn settle_down<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) -> Flow {
        if self.state.become_more() == Flow::More {
            return Flow::More;
        }
        let own = ctx.timestamp();
        for _ in 0..HELD {
            let Some((record, time)) = self.held.pop_front() else { break };
            ctx.set_timestamp(time);
            // Out of line: one more place where a record is added would be one too many for the loop over records.
            self.add_after_all(record, ctx, out);
        }
        ctx.set_timestamp(own);
        if self.held.is_empty() {
            return Flow::Done;
        }
        // What comes now comes behind it.
        self.state.become_tables();
        Flow::More
    }

    /// The windows of this pane that have fired do so again for a key.
    fn fire_again<'s>(
        &mut self,
        pane: Timestamp,
        key: S::Stored,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let State { shape, lateness, closed_to, watermark, .. } = &*self.state;
        let PanesByKey::Tables(Tables { retained, .. }) = &self.state.panes else { return };
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
        let keys = records.map(|record| selector.key(record));
        match &mut self.state.panes {
            PanesByKey::Columns(columns) => columns.hint(keys, first),
            PanesByKey::Tables(tables) => tables.panes.hint(keys.map(|key| key.hash()), first),
        }
    }

    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: T,
        hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        if let Some(record) = self.add(record, hint, ctx.timestamp()) {
            self.add_after_all(record, ctx, out);
        }
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        if self.settle_down(ctx, out) == Flow::More {
            return Flow::More;
        }
        self.state.watermark = watermark;
        let mut budget = FIRING_BUDGET;
        loop {
            let (flow, phase) = self.advance(self.state.phase, &mut budget, ctx, out);
            self.state.phase = phase;
            if flow == Flow::More {
                return flow;
            }
            if self.state.is_becoming() {
                self.state.phase = Phase::Waiting;
                return Flow::More;
            }
            self.state.phase = self.state.next();
            if let Phase::Waiting = self.state.phase {
                return Flow::Done;
            }
        }
    }

    /// At once, as long as columns are becoming tables.
    #[inline(always)]
    fn due_ns(&self) -> u64 {
        if self.state.is_becoming() { 0 } else { u64::MAX }
    }

    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) -> Flow {
        self.settle_down(ctx, out)
    }

    fn settle<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) -> Flow {
        self.settle_down(ctx, out)
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) -> Flow {
        let flow = self.settle_down(ctx, out);
        if flow == Flow::Done {
            self.late.ended(ctx);
        }
        flow
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        let held_bytes = self.held.capacity() * size_of::<(T, Timestamp)>();
        self.state.size().and_bytes(held_bytes).tell(measures);
        measures.waiting(self.held.len(), || "its columns, which become tables".into());
        self.late.measure(measures);
    }
}
