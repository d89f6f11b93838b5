//! Joins records of two streams whose times are near each other.
//!
//! 1. A record meets those of the other side that are kept, and is kept itself.
//! 2. It is forgotten once event time has passed the last time that one of the other side may have for it.

use std::ops::RangeInclusive;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{
    Build, Context, Error, EventTime, Flow, Measures, Operator, Output, Owned, Result, SubtaskContext,
    Timestamp,
};

use super::kept::{Keeps, Kept};
use super::{Side, bytes, keep};
use crate::keyed::{Assigner, KeySelector, KeyedStream};
use crate::window::{Aside, Dropped, Late, Wording};
use crate::{Either, Split, Stream, tally};

/// Bounds and event times further from 0 than this are taken for this far, so that their sums are times, too.
const FARTHEST: Timestamp = 1 << 60;

/// How a late record is told of.
const LATE: Wording = Wording {
    what: "an interval join drops late records; `with_late` behind it keeps them",
    reason: tally::LATE,
};

impl<'env, A, B, P, S> KeyedStream<'env, P, S>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>, Time = EventTime>,
    S: KeySelector<Either<A, B>>,
{
    /// Joins each record of the first of two [connected](Stream::connect) streams with each of the second that has
    /// its key, and a time that is later by one of `between`, in milliseconds, both bounds among them: Flink's
    /// interval join. `-5..=0` are those of the five milliseconds before, and of the same time. A pair has the later
    /// one's time.
    ///
    /// Records are kept until event time says that none they could meet comes any more. One at or before the watermark
    /// is late: it is dropped and counted, with warnings; [`with_late`](Stream::with_late) keeps it, and
    /// [`split_late`](Stream::split_late) before `connect` does: what that lets through is in time here. A range
    /// without a value is an error of the start.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use std::time::Duration;
    ///
    /// let env = Environment::with(Config::default());
    /// let lag = Duration::from_millis(100);
    /// let orders = env.source(from_iterator([(7, 10, "pears"), (8, 12, "figs"), (7, 50, "plums")]));
    /// let payments = env.source(from_iterator([(8, 15, 250), (7, 11, 120)]));
    /// let orders = orders.with_timestamps(|order| order.1, Watermarks::bounded_out_of_orderness(lag));
    /// let payments = payments.with_timestamps(|payment| payment.1, Watermarks::bounded_out_of_orderness(lag));
    /// let paid = Collected::new();
    /// orders
    ///     .connect(payments)
    ///     .key_by(|either| match either {
    ///         Either::First(order) => order.0,
    ///         Either::Second(payment) => payment.0,
    ///     })
    ///     .interval_join(0..=5, |order, payment| (order.2, payment.2))
    ///     .sink(paid.sink());
    /// env.run("paid")?;
    /// let mut paid = paid.take();
    /// paid.sort();
    /// assert_eq!(paid, [("figs", 250), ("pears", 120)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn interval_join<U, G>(
        self,
        between: RangeInclusive<Timestamp>,
        join: G,
    ) -> Stream<'env, Then<P, IntervalJoin<S, G>>>
    where
        U: 'static,
        G: FnMut(&A, &B) -> U + Clone + Send + 'static,
    {
        let (selector, assigner) = (self.selector.clone(), self.assigner);
        let refused = between.is_empty().then(|| {
            let (from, to) = (between.start(), between.end());
            Error::user(format!(
                "between {from} and {to} ms there is no time: the first bound must not be the larger"
            ))
        });
        let late = Dropped::new(&LATE);
        let stream = self.then("interval_join", IntervalJoin { selector, assigner, between, join, late });
        refused.into_iter().for_each(|error| stream.env.graph(|graph| graph.mistake(stream.last, error)));
        stream
    }
}

impl<'env, A, B, P, S, G> Stream<'env, Then<P, IntervalJoin<S, G>>>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>, Time = EventTime>,
    S: KeySelector<Either<A, B>>,
{
    /// Gives what is too late for the join as a second stream, in place of dropping it: Flink's
    /// `sideOutputLeftLateData` and `sideOutputRightLateData` in one. It keeps its event time. Both streams must end in
    /// a sink.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # let env = Environment::with(Config::default());
    /// # let side = || env.source(from_iterator([1, 5])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let keyed = side().connect(side()).key_by(|_| 'k');
    /// let (pairs, late) = keyed.interval_join(0..=5, |a, b| (*a, *b)).with_late();
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # pairs.sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("pairs")?;
    /// # assert_eq!((seen.take().len(), rest.take().len()), (3, 0), "neither side goes back in time");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_late<U>(self) -> Split<'env, U, Either<A, B>, EventTime>
    where
        U: Send + 'static,
        G: FnMut(&A, &B) -> U + Clone + Send + 'static,
    {
        let aside = self.described(|IntervalJoin { selector, assigner, between, join, .. }| IntervalJoin {
            selector,
            assigner,
            between,
            join,
            late: Aside,
        });
        aside.fork_routed(["main", "late"])
    }
}

/// Describes [`KeyedStream::interval_join`].
#[derive(Clone)]
pub struct IntervalJoin<S, G, L = Dropped> {
    selector: S,
    assigner: Assigner,
    between: RangeInclusive<Timestamp>,
    join: G,
    late: L,
}

impl<A, B, U, S, G, L> Build<Owned<Either<A, B>>> for IntervalJoin<S, G, L>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>>,
    G: FnMut(&A, &B) -> U + Clone + Send + 'static,
    L: Late<U, Either<A, B>>,
{
    type Out = Owned<L::Out>;
    type Operator = IntervalJoined<A, B, S, G, L>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let kept = Kept::new(self.assigner.hashes_of(subtask));
        let (lower, upper) = self.between.into_inner();
        Ok(IntervalJoined {
            selector: self.selector,
            lower: lower.clamp(-FARTHEST, FARTHEST),
            upper: upper.clamp(-FARTHEST, FARTHEST),
            join: self.join,
            state: Box::new(State { kept, late: self.late }),
        })
    }
}

/// The operator of [`IntervalJoin`].
pub struct IntervalJoined<A, B, S: KeySelector<Either<A, B>>, G, L> {
    selector: S,
    lower: Timestamp,
    upper: Timestamp,
    join: G,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<State<S::Stored, A, B, L>>,
}

struct State<K, A, B, L> {
    kept: Kept<K, Sides<A, B>>,
    late: L,
}

/// What is kept of a key.
struct Sides<A, B> {
    firsts: Side<A>,
    seconds: Side<B>,
}

impl<A, B> Default for Sides<A, B> {
    fn default() -> Self {
        Sides { firsts: Side::new(), seconds: Side::new() }
    }
}

impl<A, B> Keeps for Sides<A, B> {
    fn heap_bytes(&self) -> usize {
        bytes(&self.firsts) + bytes(&self.seconds)
    }

    fn is_empty(&self) -> bool {
        self.firsts.is_empty() && self.seconds.is_empty()
    }
}

impl<A, B> Sides<A, B> {
    /// When the next record is to be forgotten; `None` if there is none.
    fn due(&self, lower: Timestamp, upper: Timestamp) -> Option<Timestamp> {
        let first = self.firsts.front().map(|(time, _)| time + upper);
        let second = self.seconds.front().map(|(time, _)| time - lower);
        first.into_iter().chain(second).min()
    }

    /// Forgets what none can meet that comes behind the watermark, as far as the budget goes. Gives when there is more.
    fn forget(
        &mut self,
        watermark: Timestamp,
        (lower, upper): (Timestamp, Timestamp),
        budget: &mut usize,
    ) -> Option<Timestamp> {
        while *budget > 0
            && (self.firsts.pop_front_if(|(time, _)| *time + upper <= watermark).is_some()
                || self.seconds.pop_front_if(|(time, _)| *time - lower <= watermark).is_some())
        {
            *budget -= 1;
        }
        self.due(lower, upper)
    }
}

/// The records of a stretch of time.
fn within<T>(side: &Side<T>, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &(Timestamp, T)> {
    let first = side.partition_point(|(time, _)| *time < from);
    side.range(first..).take_while(move |(time, _)| *time <= to)
}

impl<A, B, U, S, G, L> Operator<Owned<Either<A, B>>> for IntervalJoined<A, B, S, G, L>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>>,
    G: FnMut(&A, &B) -> U + 'static,
    L: Late<U, Either<A, B>>,
{
    type Out = Owned<L::Out>;

    fn process<'s>(
        &mut self,
        record: Either<A, B>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let IntervalJoined { selector, lower, upper, join, state } = self;
        if ctx.timestamp() <= state.kept.watermark {
            return state.late.late(record, ctx).into_iter().for_each(|late| out.push(late, ctx));
        }
        let time = ctx.timestamp().clamp(-FARTHEST, FARTHEST);
        let mut entered = state.kept.enter(selector.key(&record), S::same, S::store);
        let sides = entered.value();
        match record {
            Either::First(first) => {
                for (other, second) in within(&sides.seconds, time + *lower, time + *upper) {
                    ctx.set_timestamp(time.max(*other));
                    out.push(L::result(join(&first, second)), ctx);
                }
                keep(&mut sides.firsts, time, first);
            }
            Either::Second(second) => {
                for (other, first) in within(&sides.firsts, time - *upper, time - *lower) {
                    ctx.set_timestamp(time.max(*other));
                    out.push(L::result(join(first, &second)), ctx);
                }
                keep(&mut sides.seconds, time, second);
            }
        }
        let due = sides.due(*lower, *upper);
        entered.due(due);
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        _: &mut Context<'s>,
        _: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        let bounds = (self.lower, self.upper);
        self.state.kept.reach(watermark, |sides, budget| sides.forget(watermark, bounds, budget))
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<L::Out>>) -> Flow {
        self.state.late.ended(ctx);
        Flow::Done
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.state.kept.size().tell(measures);
        self.state.late.measure(measures);
    }
}

#[cfg(test)]
mod tests;
