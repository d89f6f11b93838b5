//! Where a chain goes two ways.

use std::marker::PhantomData;

use crate::control::{Barrier, LatencyMark};
use crate::{
    Consumer, Context, Downstream, Family, Flow, Flush, Leaving, Measures, Output, Owned, Result,
    SubtaskContext, Tail, Timestamp,
};

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed<A, B> {
    /// Down the first way, the main output.
    Main(A),
    /// Down the second way, the side output.
    Side(B),
}

/// How a record is divided between two ways.
pub trait Divide<F: Family>: 'static {
    /// What goes down the first way.
    type First: Family;
    /// What goes down the second.
    type Second: Family;
    /// Pushes what each way gets of a record.
    fn divide<'s>(
        record: F::Of<'s>,
        first: &mut impl Output<Self::First>,
        second: &mut impl Output<Self::Second>,
        ctx: &mut Context<'s>,
    );
}

/// Each record goes one way: see [`Routed`].
#[derive(Clone, Copy, Debug)]
pub struct Routing;

impl<X: 'static, Y: 'static> Divide<Owned<Routed<X, Y>>> for Routing {
    type First = Owned<X>;
    type Second = Owned<Y>;

    #[inline(always)]
    fn divide<'s>(
        record: Routed<X, Y>,
        first: &mut impl Output<Owned<X>>,
        second: &mut impl Output<Owned<Y>>,
        ctx: &mut Context<'s>,
    ) {
        match record {
            Routed::Main(record) => first.push(record, ctx),
            Routed::Side(record) => second.push(record, ctx),
        }
    }
}

/// Each record goes both ways, cloned for the first.
#[derive(Clone, Copy, Debug)]
pub struct Cloning;

impl<F: Family> Divide<F> for Cloning
where
    for<'s> F::Of<'s>: Clone,
{
    type First = F;
    type Second = F;

    #[inline(always)]
    fn divide<'s>(
        record: F::Of<'s>,
        first: &mut impl Output<F>,
        second: &mut impl Output<F>,
        ctx: &mut Context<'s>,
    ) {
        let timestamp = ctx.timestamp();
        first.push(record.clone(), ctx);
        // An operator down the first way may have given its records another time.
        ctx.set_timestamp(timestamp);
        second.push(record, ctx);
    }
}

/// Two ways for a chain to go on, as one; also the description of them. Control elements go both
/// ways, and the room is that of the fuller one.
#[derive(Clone)]
pub struct Fork<A, B, M> {
    first: A,
    second: B,
    /// What happens to a record: [`Divide`].
    how: PhantomData<fn() -> M>,
}

impl<A, B, M> Fork<A, B, M> {
    /// Goes both ways.
    pub fn new(first: A, second: B) -> Self {
        Fork { first, second, how: PhantomData }
    }
}

impl<F, A, B, M> Output<F> for Fork<A, B, M>
where
    F: Family,
    M: Divide<F>,
    A: Output<M::First>,
    B: Output<M::Second>,
{
    #[inline(always)]
    fn push<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        M::divide(record, &mut self.first, &mut self.second, ctx);
    }
}

impl<A: Tail, B: Tail, M: 'static> Tail for Fork<A, B, M> {
    fn room(&mut self) -> usize {
        self.first.room().min(self.second.room())
    }
    fn room_behind(&mut self) -> usize {
        self.first.room_behind().min(self.second.room_behind())
    }
    fn flush(&mut self, now_ns: u64) -> Result<Flush> {
        Ok(self.first.flush(now_ns)?.and(self.second.flush(now_ns)?))
    }
    fn barrier(&mut self, barrier: Barrier) {
        self.first.barrier(barrier);
        self.second.barrier(barrier);
    }
    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        self.first.mark(mark, now_ns);
        self.second.mark(mark, now_ns);
    }
    fn forward_watermark(&mut self, watermark: Timestamp) {
        self.first.forward_watermark(watermark);
        self.second.forward_watermark(watermark);
    }
    fn forward_idle(&mut self) {
        self.first.forward_idle();
        self.second.forward_idle();
    }
    fn close(&mut self) {
        self.first.close();
        self.second.close();
    }
    fn finished(&mut self) -> bool {
        // Both are asked: a sink reports its arrivals when it is.
        self.first.finished() & self.second.finished()
    }
    fn charge_blocked(&mut self, now_ns: u64) {
        self.first.charge_blocked(now_ns);
        self.second.charge_blocked(now_ns);
    }
    fn is_polled(&self) -> bool {
        self.first.is_polled() || self.second.is_polled()
    }
}

/// Said again to a way that is done, which is harmless, as long as the other has more.
fn both(first: Flow, second: Flow) -> Flow {
    match (first, second) {
        (Flow::Done, Flow::Done) => Flow::Done,
        (Flow::More, _) | (_, Flow::More) => Flow::More,
        _ => Flow::Waits,
    }
}

impl<F, A, B, M> Consumer<F> for Fork<A, B, M>
where
    F: Family,
    M: Divide<F>,
    A: Consumer<M::First>,
    B: Consumer<M::Second>,
{
    fn watermark(&mut self, watermark: Timestamp, ctx: &mut Context<'_>) -> Flow {
        both(self.first.watermark(watermark, ctx), self.second.watermark(watermark, ctx))
    }
    fn due_ns(&self) -> u64 {
        self.first.due_ns().min(self.second.due_ns())
    }
    fn tick(&mut self, ctx: &mut Context<'_>) -> Flow {
        both(self.first.tick(ctx), self.second.tick(ctx))
    }
    fn settle(&mut self, ctx: &mut Context<'_>) -> Flow {
        both(self.first.settle(ctx), self.second.settle(ctx))
    }
    fn end(&mut self, ctx: &mut Context<'_>) -> Flow {
        both(self.first.end(ctx), self.second.end(ctx))
    }
    fn measure(&self, measures: &mut Measures<'_>) {
        self.first.measure(measures);
        self.second.measure(measures);
    }
    fn leave(self: Box<Self>, leaving: &mut Leaving<'_>) {
        Box::new(self.first).leave(leaving);
        Box::new(self.second).leave(leaving);
    }
}

impl<F, A, B, M> Downstream<F> for Fork<A, B, M>
where
    F: Family,
    M: Divide<F> + Clone,
    A: Downstream<M::First>,
    B: Downstream<M::Second>,
{
    type Consumer = Fork<A::Consumer, B::Consumer, M>;
    fn build(self, subtask: &SubtaskContext) -> Result<Self::Consumer> {
        Ok(Fork::new(self.first.build(subtask)?, self.second.build(subtask)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::subtask;
    use crate::{Arena, Blame};

    /// Keeps the event times of what comes, and moves the time on as an operator may.
    #[derive(Default)]
    struct Later(Vec<(u64, Timestamp)>);

    impl Output<Owned<u64>> for Later {
        fn push<'s>(&mut self, record: u64, ctx: &mut Context<'s>) {
            self.0.push((record, ctx.timestamp()));
            ctx.set_timestamp(ctx.timestamp() + 1);
        }
    }

    #[test]
    fn both_ways_see_the_record_at_its_time() {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        ctx.set_timestamp(5);
        let mut fork = Fork::<_, _, Cloning>::new(Later::default(), Later::default());
        Output::<Owned<u64>>::push(&mut fork, 7, &mut ctx);
        assert_eq!((fork.first.0, fork.second.0), (vec![(7, 5)], vec![(7, 5)]));
    }

    #[test]
    fn a_fork_is_done_when_both_ways_are() {
        assert_eq!(both(Flow::Done, Flow::Done), Flow::Done);
        assert_eq!(both(Flow::More, Flow::Done), Flow::More);
        assert_eq!(both(Flow::Done, Flow::More), Flow::More);
    }
}
