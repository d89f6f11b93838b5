//! The operator around a process function with rules.
//!
//! A rule may ask for a visit of all keys, which takes as many calls as there are keys for. Until it is over, what
//! comes is held: at most what is left of the step that brought the rule, as the operator is due before any other
//! record.

use std::collections::VecDeque;
use std::marker::PhantomData;

use slotflow_runtime::{
    Context, FIRING_BUDGET, Family, Flow, Hint, Measures, Operator, Output, Owned, Result, Timestamp,
};

use super::{BroadcastContext, BroadcastProcessFunction};
use crate::keyed::Round;
use crate::process::context::Emitter;
use crate::process::{KeyedProcess, KeyedProcessFunction, ProcessContext, Timer};
use crate::state::{State, StateBackend, StateSize, Stored, read, write};
use crate::{Either, KeySelector};

/// A function and what the broadcast stream has told it.
pub struct Informed<F, B, R> {
    function: F,
    broadcast: R,
    records: PhantomData<fn(B)>,
}

impl<F, B, R: Default> Informed<F, B, R> {
    pub(super) fn new(function: F) -> Self {
        Informed { function, broadcast: R::default(), records: PhantomData }
    }
}

impl<K, A, B, R, F> KeyedProcessFunction<K, A> for Informed<F, B, R>
where
    B: 'static,
    R: 'static,
    F: BroadcastProcessFunction<K, A, B, Broadcast = R>,
{
    type Out = F::Out;

    #[inline(always)]
    fn process(&mut self, record: A, ctx: &mut ProcessContext<'_, K, F::Out>) {
        self.function.process(record, &self.broadcast, ctx);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, K, F::Out>) {
        self.function.on_timer(timer, &self.broadcast, ctx);
    }
}

/// The operator of [`Stream::broadcast_process`](crate::Stream::broadcast_process).
pub struct BroadcastProcess<A, B, S: KeySelector<A>, F, R> {
    keyed: KeyedProcess<A, S, Informed<F, B, R>>,
    visit: Visit<Either<A, B>>,
}

/// A visit of all keys that is under way, and what waits until it is over.
struct Visit<T> {
    /// Where it is, and the time of the rule that has asked for it.
    at: Option<(Round, Timestamp)>,
    /// With event time and split.
    held: VecDeque<(T, Timestamp, u32)>,
}

impl<T> Visit<T> {
    fn is_over(&self) -> bool {
        self.at.is_none() && self.held.is_empty()
    }
}

impl<A, B, S, F, R> BroadcastProcess<A, B, S, F, R>
where
    R: 'static,
    A: 'static,
    B: 'static,
    S: KeySelector<A>,
    F: BroadcastProcessFunction<S::Stored, A, B, Broadcast = R>,
{
    pub(super) fn new(keyed: KeyedProcess<A, S, Informed<F, B, R>>) -> Self {
        BroadcastProcess { keyed, visit: Visit { at: None, held: VecDeque::new() } }
    }

    /// The state of its keys and the broadcast state, for whoever stores them.
    pub fn state(&mut self) -> BroadcastState<'_, impl StateBackend, R>
    where
        S::Stored: State,
    {
        let (keyed, informed) = self.keyed.state_and_function();
        BroadcastState { keyed, broadcast: &mut informed.broadcast }
    }

    #[inline(always)]
    fn handle(
        &mut self,
        record: Either<A, B>,
        hint: Option<Hint>,
        ctx: &mut Context<'_>,
        out: &mut impl Output<Owned<F::Out>>,
    ) {
        match record {
            Either::First(record) => self.keyed.process_hinted(record, hint, ctx, out),
            Either::Second(record) => self.learn(record, ctx, out),
        }
    }

    fn learn(&mut self, record: B, ctx: &mut Context<'_>, out: &mut impl Output<Owned<F::Out>>) {
        let mut emitter = Emitter { ctx, out };
        let mut ctx = BroadcastContext::new(&mut emitter);
        let Informed { function, broadcast, .. } = self.keyed.function();
        function.process_broadcast(record, broadcast, &mut ctx);
        self.visit.at = ctx.applies.then(|| (Round::default(), ctx.timestamp));
    }

    /// Goes on with the visit that is under way, and then with what was held, as far as a budget goes.
    fn go_on(&mut self, ctx: &mut Context<'_>, out: &mut impl Output<Owned<F::Out>>) -> Flow {
        for _ in 0..FIRING_BUDGET {
            if ctx.failed() {
                return Flow::Done;
            }
            if self.visit.at.is_some() {
                return self.visit_more(ctx, out);
            }
            let Some((record, timestamp, split)) = self.visit.held.pop_front() else { return Flow::Done };
            ctx.set_timestamp(timestamp);
            ctx.set_split(split);
            self.handle(record, None, ctx, out);
        }
        Flow::More
    }

    fn visit_more(&mut self, ctx: &mut Context<'_>, out: &mut impl Output<Owned<F::Out>>) -> Flow {
        let Some((round, timestamp)) = &mut self.visit.at else { return Flow::Done };
        ctx.set_timestamp(*timestamp);
        let visit = |informed: &mut Informed<F, B, R>, ctx: &mut ProcessContext<'_, S::Stored, F::Out>| {
            informed.function.on_each_key(&informed.broadcast, ctx);
        };
        if !self.keyed.visit(round, ctx, out, visit) {
            self.visit.at = None;
        }
        if self.visit.is_over() { Flow::Done } else { Flow::More }
    }
}

impl<A, B, S, F, R> Operator<Owned<Either<A, B>>> for BroadcastProcess<A, B, S, F, R>
where
    R: 'static,
    A: 'static,
    B: 'static,
    S: KeySelector<A>,
    F: BroadcastProcessFunction<S::Stored, A, B, Broadcast = R>,
{
    type Out = Owned<F::Out>;

    #[inline(always)]
    fn process<'s>(
        &mut self,
        record: Either<A, B>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) {
        self.process_hinted(record, None, ctx, out);
    }

    #[inline(always)]
    fn hint<'s, 'r>(
        &mut self,
        records: impl Iterator<Item = &'r Either<A, B>>,
        first: Hint,
        ctx: &mut Context<'s>,
    ) where
        <Owned<Either<A, B>> as Family>::Of<'s>: 'r,
    {
        let own = |either: &'r Either<A, B>| match either {
            Either::First(record) => Some(record),
            Either::Second(_) => None,
        };
        self.keyed.hint_at(records.map(own), first, ctx);
    }

    #[inline(always)]
    fn process_hinted<'s>(
        &mut self,
        record: Either<A, B>,
        hint: Option<Hint>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) {
        if !self.visit.is_over() {
            return self.visit.held.push_back((record, ctx.timestamp(), ctx.split()));
        }
        self.handle(record, hint, ctx, out);
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<F::Out>>,
    ) -> Flow {
        match self.go_on(ctx, out) {
            Flow::Done if !ctx.failed() => self.keyed.watermark(watermark, ctx, out),
            flow => flow,
        }
    }

    fn due_ns(&self) -> u64 {
        if self.visit.is_over() { self.keyed.due_ns() } else { 0 }
    }

    fn tick<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<F::Out>>) -> Flow {
        match self.go_on(ctx, out) {
            Flow::Done if !ctx.failed() && self.keyed.due_ns() <= ctx.now_ns() => self.keyed.tick(ctx, out),
            flow => flow,
        }
    }

    /// What waits for the visit was read before the barrier.
    fn settle<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<F::Out>>) -> Flow {
        self.go_on(ctx, out)
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<F::Out>>) -> Flow {
        self.go_on(ctx, out)
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.keyed.measure(measures);
    }
}

/// The state of one subtask's keys, and the broadcast state, of which every subtask has the same.
pub struct BroadcastState<'a, S, R> {
    keyed: &'a mut S,
    broadcast: &'a mut R,
}

impl<S: StateBackend, R: State> StateBackend for BroadcastState<'_, S, R> {
    fn snapshot(&self, group: usize, into: &mut Vec<u8>) -> Result<()> {
        self.keyed.snapshot(group, into)
    }

    fn begin_snapshot(&mut self) -> Result<()> {
        self.keyed.begin_snapshot()
    }

    fn continue_snapshot(&mut self) -> Result<Stored> {
        self.keyed.continue_snapshot()
    }

    fn abandon_snapshot(&mut self) {
        self.keyed.abandon_snapshot();
    }

    fn restore(&mut self, group: usize, from: &[u8]) -> Result<()> {
        self.keyed.restore(group, from)
    }

    fn snapshot_broadcast(&self, into: &mut Vec<u8>) -> Result<()> {
        write(&*self.broadcast, into)
    }

    fn restore_broadcast(&mut self, mut from: &[u8]) -> Result<()> {
        *self.broadcast = read(&mut from)?;
        Ok(())
    }

    fn size(&self) -> StateSize {
        self.keyed.size()
    }
}

#[cfg(test)]
mod tests;
