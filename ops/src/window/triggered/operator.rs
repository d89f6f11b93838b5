//! The operator of windows with a trigger.
//!
//! 1. A record goes into each of its windows. The trigger of each is asked first, and what it says counts once the
//!    record is in.
//! 2. When a timer is due, the trigger of its window is asked. A watermark, or the clock, costs the timers that are
//!    due, however many windows are open. The timers that have been called are the cursor: a call that has used up
//!    its budget leaves the others to the next.
//! 3. A window is cleaned up by a timer of its own, once it is over and so is the lateness that is allowed it. At
//!    the same time the trigger is asked first.
//!
//! At the true end of the input the timers in event time are called, then those in processing time.

use slotflow_runtime::{
    Build, Context, Flow, MAX_TIMESTAMP, MIN_TIMESTAMP, Measures, Operator, Output, Owned, Result,
    SubtaskContext, Timestamp,
};

use super::super::late::Late;
use super::super::trigger::Now;
use super::open::OpenWindows;
use super::{Contents, Trigger, TriggeredPlan, WindowAssigner, WindowFiring};
use crate::keyed::KeySelector;
use crate::state::TimeDomain;

/// What such windows give for a key.
pub(super) type Fired<T, S, C> = WindowFiring<<S as KeySelector<T>>::Stored, <C as Contents<T>>::Out>;

impl<T, W, S, G, C, L> Build<Owned<T>> for TriggeredPlan<W, S, G, C, L>
where
    T: Clone + 'static,
    W: WindowAssigner<T, G>,
    S: KeySelector<T, Stored: Clone + Eq>,
    G: Trigger<T>,
    C: Contents<T>,
    L: Late<Fired<T, S, C>, T>,
{
    type Out = Owned<L::Out>;
    type Operator = TriggeredWindows<T, W, S, G, C, L>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let TriggeredPlan { selector, assigner, windows, lateness_ms, trigger, contents, late } = self;
        // Nothing is late by the clock that it is timed by, so nothing is kept for it.
        let lateness = if W::TIME == TimeDomain::EventTime { lateness_ms } else { 0 };
        let measured = contents.clone();
        let heap_of = Box::new(move |kept: &C::Kept| measured.heap_bytes(kept));
        let state = Box::new(State {
            open: OpenWindows::new(assigner.hashes_of(subtask), W::TIME, lateness, heap_of),
            watermark: MIN_TIMESTAMP,
        });
        let (due, due_ns) = (None, u64::MAX);
        let shape = windows.shape()?;
        Ok(TriggeredWindows { selector, shape, trigger, contents, late, state, due, due_ns })
    }
}

/// The operator of [`TriggeredPlan`].
pub struct TriggeredWindows<T, W, S, G, C, L>
where
    W: WindowAssigner<T, G>,
    S: KeySelector<T>,
    G: Trigger<T>,
    C: Contents<T>,
{
    pub(super) selector: S,
    shape: W::Shape,
    pub(super) trigger: G,
    pub(super) contents: C,
    late: L,
    /// Apart, because an operator is moved at each step, and best small.
    pub(super) state: Box<State<S::Stored, C::Kept, G::State>>,
    /// When the first timer in processing time is due.
    due: Option<Timestamp>,
    /// The same, in nanoseconds of the host's clock.
    due_ns: u64,
}

pub(super) struct State<K, C, X> {
    pub(super) open: OpenWindows<K, C, X>,
    pub(super) watermark: Timestamp,
}

impl<T, W, S, G, C, L> TriggeredWindows<T, W, S, G, C, L>
where
    W: WindowAssigner<T, G>,
    S: KeySelector<T, Stored: Clone + Eq>,
    G: Trigger<T>,
    C: Contents<T>,
{
    /// Where time stands, for a record or timer of this time.
    pub(super) fn now(&self, timestamp: Timestamp, ctx: &Context<'_>) -> Now {
        let (watermark, processing_time) = (self.state.watermark, ctx.processing_time());
        Now { timestamp, watermark, processing_time, timer: None }
    }

    fn note_due(&mut self, ctx: &Context<'_>) {
        self.due = self.state.open.timers.processing.next();
        self.due_ns = self.due.map_or(u64::MAX, |time| ctx.ns_at(time));
    }
}

impl<T, W, S, G, C, L> Operator<Owned<T>> for TriggeredWindows<T, W, S, G, C, L>
where
    T: Clone + 'static,
    W: WindowAssigner<T, G>,
    S: KeySelector<T, Stored: Clone + Eq>,
    G: Trigger<T>,
    C: Contents<T>,
    L: Late<Fired<T, S, C>, T>,
{
    type Out = Owned<L::Out>;

    fn process<'s>(&mut self, record: T, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) {
        let now = self.now(ctx.timestamp(), ctx);
        let time = if W::TIME == TimeDomain::EventTime { now.timestamp } else { now.processing_time };
        let mut before = None;
        for span in W::spans(self.shape, time) {
            let Some(row) = self.place(&record, span, before, now) else { continue };
            if let Some(before) = before.replace(row) {
                self.add(before, record.clone(), now, ctx, out);
            }
        }
        match before {
            Some(row) => self.add(row, record, now, ctx, out),
            None => self.late.late(record, ctx).into_iter().for_each(|late| out.push(late, ctx)),
        }
        if self.state.open.timers.processing.next() != self.due {
            self.note_due(ctx);
        }
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        self.state.watermark = watermark;
        let mut flow = self.call_timers(TimeDomain::EventTime, watermark, ctx, out);
        if flow == Flow::Done && watermark == MAX_TIMESTAMP {
            flow = self.call_timers(TimeDomain::ProcessingTime, MAX_TIMESTAMP, ctx, out);
        }
        self.note_due(ctx);
        flow
    }

    #[inline(always)]
    fn due_ns(&self) -> u64 {
        self.due_ns
    }

    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<L::Out>>) -> Flow {
        let now = ctx.processing_time();
        let flow = self.call_timers(TimeDomain::ProcessingTime, now, ctx, out);
        self.note_due(ctx);
        flow
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<L::Out>>) -> Flow {
        self.late.ended(ctx);
        Flow::Done
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.state.open.size().tell(measures);
        self.late.measure(measures);
    }
}
