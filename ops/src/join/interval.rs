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
use super::late::Late;
use super::{Side, bytes, keep};
use crate::keyed::{Assigner, KeySelector, KeyedStream};
use crate::{Either, Stream, tally};

/// Bounds and event times further from 0 than this are taken for this far, so that their sums are times, too.
const FARTHEST: Timestamp = 1 << 60;

/// What a late record is warned of with.
const LATE: &str = "an interval join drops late records; `split_late` before `connect` keeps them";

impl<'env, A, B, P, S> KeyedStream<'env, P, S>
where
    A: Clone + Send + 'static,
    B: Clone + Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>, Time = EventTime>,
    S: KeySelector<Either<A, B>>,
{
    /// Joins each record of the first of two [connected](Stream::connect) streams with each of the second that has
    /// its key, and a time that is later by one of `between`, in milliseconds, both bounds among them: Flink's
    /// interval join. `-5..=0` are those of the five milliseconds before, and of the same time. A pair has the later
    /// one's time.
    ///
    /// Records are kept until event time says that none they could meet comes any more. One at or before the watermark
    /// is late: it is dropped and counted, with warnings; [`split_late`](Stream::split_late) before `connect` keeps it,
    /// and what that lets through is in time here. A range without a value is an error of the start.
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
        let stream = self.then("interval_join", IntervalJoin { selector, assigner, between, join });
        refused.into_iter().for_each(|error| stream.env.graph(|graph| graph.mistake(stream.last, error)));
        stream
    }
}

/// Describes [`KeyedStream::interval_join`].
#[derive(Clone)]
pub struct IntervalJoin<S, G> {
    selector: S,
    assigner: Assigner,
    between: RangeInclusive<Timestamp>,
    join: G,
}

impl<A, B, U, S, G> Build<Owned<Either<A, B>>> for IntervalJoin<S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>>,
    G: FnMut(&A, &B) -> U + Clone + Send + 'static,
{
    type Out = Owned<U>;
    type Operator = IntervalJoined<A, B, S, G>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let kept = Kept::new(self.assigner.hashes_of(subtask));
        let (lower, upper) = self.between.into_inner();
        Ok(IntervalJoined {
            selector: self.selector,
            lower: lower.clamp(-FARTHEST, FARTHEST),
            upper: upper.clamp(-FARTHEST, FARTHEST),
            join: self.join,
            state: Box::new(State { kept, late: Late::new(LATE, tally::LATE) }),
        })
    }
}

/// The operator of [`IntervalJoin`].
pub struct IntervalJoined<A, B, S: KeySelector<Either<A, B>>, G> {
    selector: S,
    lower: Timestamp,
    upper: Timestamp,
    join: G,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<State<S::Stored, A, B>>,
}

struct State<K, A, B> {
    kept: Kept<K, Sides<A, B>>,
    late: Late,
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

impl<A, B, U, S, G> Operator<Owned<Either<A, B>>> for IntervalJoined<A, B, S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>>,
    G: FnMut(&A, &B) -> U + 'static,
{
    type Out = Owned<U>;

    fn process<'s>(&mut self, record: Either<A, B>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        let IntervalJoined { selector, lower, upper, join, state } = self;
        if ctx.timestamp() <= state.kept.watermark {
            return state.late.count(ctx);
        }
        let time = ctx.timestamp().clamp(-FARTHEST, FARTHEST);
        let mut entered = state.kept.enter(selector.key(&record), S::same, S::store);
        let sides = entered.value();
        match record {
            Either::First(first) => {
                for (other, second) in within(&sides.seconds, time + *lower, time + *upper) {
                    ctx.set_timestamp(time.max(*other));
                    out.push(join(&first, second), ctx);
                }
                keep(&mut sides.firsts, time, first);
            }
            Either::Second(second) => {
                for (other, first) in within(&sides.firsts, time - *upper, time - *lower) {
                    ctx.set_timestamp(time.max(*other));
                    out.push(join(first, &second), ctx);
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
        _: &mut impl Output<Owned<U>>,
    ) -> Flow {
        let bounds = (self.lower, self.upper);
        self.state.kept.reach(watermark, |sides, budget| sides.forget(watermark, bounds, budget))
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<U>>) -> Flow {
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
