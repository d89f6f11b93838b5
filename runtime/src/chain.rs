//! The chain: an operator and what it pushes into, as one.
//!
//! Fusion is composition. A `Chain` is itself an output, so operators nest to any depth, and since
//! every piece of glue is inlined the compiler sees one loop body. No operator owns its
//! predecessor, so none repeats the plumbing.

use crate::context::Blame;
use crate::control::{Barrier, LatencyMark};
use crate::{
    Build, Context, Family, Flow, Hint, Leaving, Measures, Operator, Output, Result, SubtaskContext,
    Timestamp,
};

/// Where a chain ends: a sink's writer, or the outlets towards other subtasks.
///
/// Called by the subtask between records, on its slot's thread.
pub trait Tail: 'static {
    /// How many records it can take now; the subtask takes no more input than that.
    fn room(&mut self) -> usize;
    /// How many records can go out at the chain's end: where a link of the chain holds records back, it may let them
    /// go although it has no room for more. The same as [`room`](Tail::room) everywhere else.
    fn room_behind(&mut self) -> usize {
        self.room()
    }
    /// Passes on what is staged, as far as there is room.
    fn flush(&mut self, now_ns: u64) -> Result<Flush>;
    /// A barrier has come through, behind everything pushed before it.
    fn barrier(&mut self, barrier: Barrier);
    /// A latency mark has come through.
    fn mark(&mut self, mark: LatencyMark, now_ns: u64);
    /// Says that everything pushed so far has event time above `watermark` behind it.
    fn forward_watermark(&mut self, watermark: Timestamp);
    /// Says that this input is idle and holds nobody up.
    fn forward_idle(&mut self);
    /// Says that nothing more will come. Called once, after every operator has ended.
    fn close(&mut self);
    /// After [`close`](Tail::close), once [`flush`](Tail::flush) is through: whether everything has
    /// arrived where it was going.
    fn finished(&mut self) -> bool;
    /// The subtask waits for room: charges the time to whoever keeps it waiting.
    fn charge_blocked(&mut self, now_ns: u64);
    /// Whether this must be asked again and again while it has no room or waits for an answer. `false`
    /// where the other side wakes the core, as the reader of a ring does.
    fn is_polled(&self) -> bool {
        true
    }
}

/// What a flush came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Flush {
    /// Nothing waits any more.
    pub clear: bool,
    /// Something has gone to another subtask, whose core must be woken if it sleeps.
    pub moved: bool,
}

impl Flush {
    /// There was nothing to pass on.
    pub const IDLE: Flush = Flush { clear: true, moved: false };

    /// Both together, for a tail that leads to several places.
    pub fn and(self, other: Flush) -> Flush {
        Flush { clear: self.clear && other.clear, moved: self.moved || other.moved }
    }
}

/// Takes records and the control elements between them: a chain's rest, down to its tail.
pub trait Consumer<F: Family>: Output<F> + Tail {
    /// Hands the watermark to every operator, then to the tail.
    fn watermark(&mut self, watermark: Timestamp, ctx: &mut Context<'_>) -> Flow;
    /// The earliest time at which one of the operators wants to be called; `u64::MAX` for never.
    fn due_ns(&self) -> u64 {
        u64::MAX
    }
    /// Calls those operators whose time has come, last to first: what comes out of one never reaches another that has
    /// emitted only some of what it fires, whose cursor it could put out of place.
    fn tick(&mut self, _ctx: &mut Context<'_>) -> Flow {
        Flow::Done
    }
    /// Lets every operator emit what a barrier or idleness must not pass, first to last; that follows.
    fn settle(&mut self, _ctx: &mut Context<'_>) -> Flow {
        Flow::Done
    }
    /// Lets every operator emit what is left, first to last.
    fn end(&mut self, ctx: &mut Context<'_>) -> Flow;
    /// Asks every operator what it has to tell; see [`Operator::measure`].
    fn measure(&self, _measures: &mut Measures<'_>) {}
    /// The subtask goes: drops each operator under its number. The default drops everything as it is.
    fn leave(self: Box<Self>, _leaving: &mut Leaving<'_>) {}
}

/// How the rest of a chain comes to be; the counterpart of [`Build`].
pub trait Downstream<F: Family>: Clone + Send + 'static {
    /// What is built.
    type Consumer: Consumer<F>;
    /// Builds it on its slot.
    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer>;
}

/// An operator and what it pushes into; also the description of one.
#[derive(Clone)]
pub struct Chain<A, B> {
    /// The operator's number in the job, for blame.
    pub operator: u32,
    /// The operator.
    pub head: A,
    /// What it pushes into.
    pub rest: B,
}

/// Notes the running operator when dropped by a panic or a failure; forgotten otherwise. A link of a chain that calls
/// a user's closure holds one meanwhile, so that errors name it.
pub struct Guard<'s, 'o> {
    blame: &'s Blame,
    /// Borrowed, so that the number is read only if it is needed.
    operator: &'o u32,
}

impl Drop for Guard<'_, '_> {
    #[cold]
    fn drop(&mut self) {
        self.blame.note(*self.operator);
    }
}

impl<'s, 'o> Guard<'s, 'o> {
    /// The operator of this number is about to run.
    #[inline(always)]
    pub fn new(operator: &'o u32, ctx: &Context<'s>) -> Guard<'s, 'o> {
        Guard { blame: ctx.blame(), operator }
    }

    /// The call came back: unless it has failed, nobody is to blame. The innermost guard is dropped
    /// first, and the first note counts.
    #[inline(always)]
    pub fn clear(self, ctx: &Context<'_>) {
        if !ctx.failed() {
            std::mem::forget(self);
        }
    }
}

impl<F: Family, A: Operator<F>, B: Output<A::Out>> Output<F> for Chain<A, B> {
    #[inline(always)]
    fn push<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        // Neither the operator that failed nor one behind it sees another record.
        if ctx.failed() {
            return;
        }
        let guard = Guard::new(&self.operator, ctx);
        self.head.process(record, ctx, &mut self.rest);
        guard.clear(ctx);
    }

    #[inline(always)]
    fn hint<'s, 'r>(
        &mut self,
        records: impl Iterator<Item = &'r F::Of<'s>>,
        first: Hint,
        ctx: &mut Context<'s>,
    ) where
        F::Of<'s>: 'r,
    {
        let guard = Guard::new(&self.operator, ctx);
        self.head.hint(records, first, ctx);
        guard.clear(ctx);
    }

    #[inline(always)]
    fn push_hinted<'s>(&mut self, record: F::Of<'s>, hint: Hint, ctx: &mut Context<'s>) {
        if ctx.failed() {
            return;
        }
        let guard = Guard::new(&self.operator, ctx);
        self.head.process_hinted(record, Some(hint), ctx, &mut self.rest);
        guard.clear(ctx);
    }
}

impl<A: 'static, B: Tail> Tail for Chain<A, B> {
    fn room(&mut self) -> usize {
        self.rest.room()
    }
    fn room_behind(&mut self) -> usize {
        self.rest.room_behind()
    }
    fn flush(&mut self, now_ns: u64) -> Result<Flush> {
        self.rest.flush(now_ns)
    }
    fn barrier(&mut self, barrier: Barrier) {
        self.rest.barrier(barrier);
    }
    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        self.rest.mark(mark, now_ns);
    }
    fn forward_watermark(&mut self, watermark: Timestamp) {
        self.rest.forward_watermark(watermark);
    }
    fn forward_idle(&mut self) {
        self.rest.forward_idle();
    }
    fn close(&mut self) {
        self.rest.close();
    }
    fn finished(&mut self) -> bool {
        self.rest.finished()
    }
    fn charge_blocked(&mut self, now_ns: u64) {
        self.rest.charge_blocked(now_ns);
    }
    fn is_polled(&self) -> bool {
        self.rest.is_polled()
    }
}

impl<F: Family, A: Operator<F>, B: Consumer<A::Out>> Consumer<F> for Chain<A, B> {
    fn watermark(&mut self, watermark: Timestamp, ctx: &mut Context<'_>) -> Flow {
        let guard = Guard::new(&self.operator, ctx);
        let flow = self.head.watermark(watermark, ctx, &mut self.rest);
        guard.clear(ctx);
        match flow {
            Flow::Done if !ctx.failed() => self.rest.watermark(watermark, ctx),
            flow => flow,
        }
    }

    #[inline]
    fn due_ns(&self) -> u64 {
        self.head.due_ns().min(self.rest.due_ns())
    }

    fn tick(&mut self, ctx: &mut Context<'_>) -> Flow {
        let behind = self.rest.tick(ctx);
        if behind != Flow::Done || ctx.failed() || self.head.due_ns() > ctx.now_ns() {
            return behind;
        }
        let guard = Guard::new(&self.operator, ctx);
        let flow = self.head.tick(ctx, &mut self.rest);
        guard.clear(ctx);
        flow
    }

    fn settle(&mut self, ctx: &mut Context<'_>) -> Flow {
        let guard = Guard::new(&self.operator, ctx);
        let flow = self.head.settle(ctx, &mut self.rest);
        guard.clear(ctx);
        match flow {
            Flow::Done if !ctx.failed() => self.rest.settle(ctx),
            flow => flow,
        }
    }

    fn end(&mut self, ctx: &mut Context<'_>) -> Flow {
        let guard = Guard::new(&self.operator, ctx);
        let flow = self.head.end(ctx, &mut self.rest);
        guard.clear(ctx);
        match flow {
            Flow::Done if !ctx.failed() => self.rest.end(ctx),
            flow => flow,
        }
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        measures.by(self.operator, |measures| self.head.measure(measures));
        self.rest.measure(measures);
    }

    fn leave(self: Box<Self>, leaving: &mut Leaving<'_>) {
        let Chain { operator, head, rest } = *self;
        leaving.part(operator, head);
        Box::new(rest).leave(leaving);
    }
}

impl<F: Family, A: Build<F>, B: Downstream<A::Out>> Downstream<F> for Chain<A, B> {
    type Consumer = Chain<A::Operator, B::Consumer>;
    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        Ok(Chain {
            operator: self.operator,
            head: self.head.build(subtask)?,
            rest: self.rest.build(subtask)?,
        })
    }
}
