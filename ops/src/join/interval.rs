//! Joins records of two streams whose times are near each other.
//!
//! 1. A record meets those of the other side that are kept, and is kept itself.
//! 2. It is forgotten once event time has passed the last time that one of the other side may have for it.
//! 3. A key has one alarm, for the first of its records to be forgotten. So a watermark costs as much as there is to
//!    forget, and a key without records is forgotten, too.

use std::collections::{BinaryHeap, VecDeque};
use std::ops::RangeInclusive;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{
    Build, Context, Error, EventTime, FIRING_BUDGET, Flow, MIN_TIMESTAMP, Operator, Output, Owned, Result,
    SubtaskContext, Timestamp,
};

use super::keep;
use super::late::Late;
use crate::alarm::Alarm;
use crate::keyed::{Assigner, KeySelector, KeyedStream, Segments};
use crate::{Either, Stream};

/// Bounds and event times further from 0 than this are taken for this far, so that their sums are times, too.
const FARTHEST: Timestamp = 1 << 60;

/// What a late record is warned of with.
const LATE: &str = "an interval join drops late records; `split_late` before `connect` keeps them";

impl<'env, A, B, P, S> KeyedStream<'env, P, S>
where
    A: Clone + Send + 'static,
    B: Clone + Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>, Time = EventTime>,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
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
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    G: FnMut(&A, &B) -> U + Clone + Send + 'static,
{
    type Out = Owned<U>;
    type Operator = IntervalJoined<A, B, S, G>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let sides = Segments::new(self.assigner.hashes_of(subtask));
        let (lower, upper) = self.between.into_inner();
        Ok(IntervalJoined {
            selector: self.selector,
            lower: lower.clamp(-FARTHEST, FARTHEST),
            upper: upper.clamp(-FARTHEST, FARTHEST),
            join: self.join,
            state: Box::new(State {
                sides,
                alarms: BinaryHeap::new(),
                watermark: MIN_TIMESTAMP,
                late: Late::new(LATE),
            }),
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
    sides: Segments<K, Sides<A, B>>,
    alarms: BinaryHeap<Alarm<K>>,
    watermark: Timestamp,
    late: Late,
}

/// What is kept of a key, each side in order of time.
struct Sides<A, B> {
    firsts: VecDeque<(Timestamp, A)>,
    seconds: VecDeque<(Timestamp, B)>,
    /// When the next of them is to be forgotten, or a time before that: the key's alarm.
    due: Timestamp,
}

impl<A, B> Sides<A, B> {
    fn new() -> Self {
        Sides { firsts: VecDeque::new(), seconds: VecDeque::new(), due: Timestamp::MAX }
    }

    /// Forgets what none can meet that comes behind the watermark. Gives when the next is to be forgotten; `None` if
    /// nothing is left.
    fn forget(&mut self, watermark: Timestamp, lower: Timestamp, upper: Timestamp) -> Option<Timestamp> {
        while self.firsts.pop_front_if(|(time, _)| *time + upper <= watermark).is_some() {}
        while self.seconds.pop_front_if(|(time, _)| *time - lower <= watermark).is_some() {}
        let first = self.firsts.front().map(|(time, _)| time + upper);
        let second = self.seconds.front().map(|(time, _)| time - lower);
        first.into_iter().chain(second).min()
    }
}

/// The records of a stretch of time.
fn within<T>(
    side: &VecDeque<(Timestamp, T)>,
    from: Timestamp,
    to: Timestamp,
) -> impl Iterator<Item = &(Timestamp, T)> {
    let first = side.partition_point(|(time, _)| *time < from);
    side.range(first..).take_while(move |(time, _)| *time <= to)
}

impl<A, B, U, S, G> IntervalJoined<A, B, S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    G: FnMut(&A, &B) -> U + 'static,
{
    /// Sets a key's alarm, if what comes is to be forgotten before all that is there.
    fn set_alarm(&mut self, key: S::Stored, due: Timestamp) {
        let State { sides, alarms, .. } = &mut *self.state;
        if let Some(known) = sides.find_mut(&key).filter(|known| due < known.due) {
            known.due = due;
            alarms.push(Alarm { due, key });
        }
    }

    /// Forgets what an alarm is about.
    fn look(&mut self, alarm: Alarm<S::Stored>) {
        let (lower, upper, state) = (self.lower, self.upper, &mut *self.state);
        let Some(known) = state.sides.find_mut(&alarm.key).filter(|known| known.due == alarm.due) else {
            return;
        };
        match known.forget(state.watermark, lower, upper) {
            Some(due) => {
                known.due = due;
                state.alarms.push(Alarm { due, ..alarm });
            }
            None => state.sides.remove(&alarm.key),
        }
    }
}

impl<A, B, U, S, G> Operator<Owned<Either<A, B>>> for IntervalJoined<A, B, S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    G: FnMut(&A, &B) -> U + 'static,
{
    type Out = Owned<U>;

    fn process<'s>(&mut self, record: Either<A, B>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        if ctx.timestamp() <= self.state.watermark {
            return self.state.late.count(ctx);
        }
        let time = ctx.timestamp().clamp(-FARTHEST, FARTHEST);
        let (lower, upper, key) = (self.lower, self.upper, S::store(self.selector.key(&record)));
        let state = &mut *self.state;
        let make = |key: &S::Stored| (key.clone(), Sides::new());
        let sides = state.sides.value(&key, |known, key| known == *key, make);
        let due = match record {
            Either::First(first) => {
                for (other, second) in within(&sides.seconds, time + lower, time + upper) {
                    ctx.set_timestamp(time.max(*other));
                    out.push((self.join)(&first, second), ctx);
                }
                keep(&mut sides.firsts, time, first);
                time + upper
            }
            Either::Second(second) => {
                for (other, first) in within(&sides.firsts, time - upper, time - lower) {
                    ctx.set_timestamp(time.max(*other));
                    out.push((self.join)(first, &second), ctx);
                }
                keep(&mut sides.seconds, time, second);
                time - lower
            }
        };
        self.set_alarm(key, due);
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        _: &mut Context<'s>,
        _: &mut impl Output<Owned<U>>,
    ) -> Flow {
        self.state.watermark = watermark;
        for _ in 0..FIRING_BUDGET {
            match self.state.alarms.peek() {
                Some(alarm) if alarm.due <= watermark => {}
                _ => return Flow::Done,
            }
            self.state.alarms.pop().into_iter().for_each(|alarm| self.look(alarm));
        }
        Flow::More
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<U>>) -> Flow {
        self.state.late.ended(ctx);
        Flow::Done
    }
}

#[cfg(test)]
mod tests;
