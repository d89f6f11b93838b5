//! Joins each record with the version of the other side that was valid at its time.
//!
//! 1. A record waits until the watermark has reached its time, as no earlier version comes after that.
//! 2. A version is kept until the watermark, and all that waits, have reached the next one of its key. So one stays for
//!    each key.
//! 3. A key has one alarm, for the first of its records to be joined or versions to be forgotten. So a watermark costs
//!    as much as there is to do.

use std::collections::{BinaryHeap, VecDeque};

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{
    Build, Context, EventTime, FIRING_BUDGET, Flow, MIN_TIMESTAMP, Operator, Output, Owned, Result,
    SubtaskContext, Timestamp,
};

use super::keep;
use super::late::Late;
use crate::alarm::Alarm;
use crate::keyed::{Assigner, KeySelector, KeyedStream, Segments};
use crate::{Either, Stream};

/// What late records are warned of with.
const LATE: &str = "an as-of join drops late records; `split_late` before `connect` keeps them";

/// What late versions are warned of with.
const LATE_VERSION: &str = "an as-of join gets late versions: what was joined before has older ones";

impl<'env, A, B, P, S> KeyedStream<'env, P, S>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>, Time = EventTime>,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
{
    /// Joins each record of the first of two [connected](Stream::connect) streams with the version of its key in the
    /// second that was valid at its event time: the last that is not later. Flink's event-time temporal join, also
    /// called as-of join. Of several versions of one millisecond, the last to come is valid.
    ///
    /// `join` gets `None` if there was no version yet, and says what comes of it: `version.map(..)` is an inner join,
    /// in which such a record gives nothing; `Some((record, version.cloned()))` is a left one. What it gives has the
    /// record's time.
    ///
    /// A record waits until the watermark of both streams has reached its time, so both need watermarks that move. A
    /// version is forgotten once the watermark has reached the next one of its key; the last one of each key stays. A
    /// record at or before the watermark is late: it is dropped and counted, with warnings;
    /// [`split_late`](Stream::split_late) before `connect` keeps it. A late version is counted, too, and serves what
    /// is not joined yet. What still waits when the job is drained is given up, as are windows.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let orders = env.source(from_iterator([("EUR", 15, 20), ("EUR", 25, 20)]));
    /// let rates = env.source(from_iterator([("EUR", 10, 3), ("EUR", 20, 4)]));
    /// let orders = orders.with_timestamps(|order| order.1, Watermarks::monotonous());
    /// let rates = rates.with_timestamps(|rate| rate.1, Watermarks::monotonous());
    /// let paid = Collected::new();
    /// orders
    ///     .connect(rates)
    ///     .key_by(|either| match either {
    ///         Either::First(order) => order.0,
    ///         Either::Second(rate) => rate.0,
    ///     })
    ///     .as_of_join(|order, rate| rate.map(|rate| (order.1, order.2 * rate.2)))
    ///     .sink(paid.sink());
    /// env.run("paid")?;
    /// assert_eq!(paid.take(), [(15, 60), (25, 80)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn as_of_join<U, G>(self, join: G) -> Stream<'env, Then<P, AsOfJoin<S, G>>>
    where
        U: 'static,
        G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
    {
        let (selector, assigner) = (self.selector.clone(), self.assigner);
        self.then("as_of_join", AsOfJoin { selector, assigner, join })
    }
}

/// Describes [`KeyedStream::as_of_join`].
#[derive(Clone)]
pub struct AsOfJoin<S, G> {
    selector: S,
    assigner: Assigner,
    join: G,
}

impl<A, B, U, S, G> Build<Owned<Either<A, B>>> for AsOfJoin<S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
{
    type Out = Owned<U>;
    type Operator = AsOfJoined<A, B, S, G>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let state = State {
            keys: Segments::new(self.assigner.hashes_of(subtask)),
            alarms: BinaryHeap::new(),
            watermark: MIN_TIMESTAMP,
            late: Late::new(LATE),
            late_versions: Late::new(LATE_VERSION),
        };
        Ok(AsOfJoined { selector: self.selector, join: self.join, state: Box::new(state) })
    }
}

/// The operator of [`AsOfJoin`].
pub struct AsOfJoined<A, B, S: KeySelector<Either<A, B>>, G> {
    selector: S,
    join: G,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<State<S::Stored, A, B>>,
}

struct State<K, A, B> {
    keys: Segments<K, History<A, B>>,
    alarms: BinaryHeap<Alarm<K>>,
    watermark: Timestamp,
    late: Late,
    late_versions: Late,
}

/// What is kept of a key, records and versions each in order of time.
struct History<A, B> {
    waiting: VecDeque<(Timestamp, A)>,
    versions: VecDeque<(Timestamp, B)>,
    /// When there is something to do, or a time before that: the key's alarm.
    due: Timestamp,
}

impl<A, B> History<A, B> {
    fn new() -> Self {
        History { waiting: VecDeque::new(), versions: VecDeque::new(), due: Timestamp::MAX }
    }

    /// When the first record is to be joined, or the first version to be forgotten.
    fn next(&self) -> Option<Timestamp> {
        let record = self.waiting.front().map(|(time, _)| *time);
        let version = self.versions.get(1).map(|(since, _)| *since);
        record.into_iter().chain(version).min()
    }

    /// Forgets the first version if the next one was valid already before all that waits. `false` if it was not.
    fn forget(&mut self, watermark: Timestamp) -> bool {
        let until = self.waiting.front().map_or(watermark, |(time, _)| watermark.min(*time));
        let superseded = self.versions.get(1).is_some_and(|(since, _)| *since <= until);
        if superseded {
            self.versions.pop_front();
        }
        superseded
    }

    /// The version that was valid at `time`, once those before it are forgotten.
    fn valid_at(&self, time: Timestamp) -> Option<&B> {
        self.versions.front().filter(|(since, _)| *since <= time).map(|(_, version)| version)
    }
}

impl<A, B, U, S, G> AsOfJoined<A, B, S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    G: FnMut(A, Option<&B>) -> Option<U> + 'static,
{
    /// Joins and forgets what an alarm is about, within the budget; what is left has an alarm again.
    fn look(
        &mut self,
        alarm: Alarm<S::Stored>,
        budget: &mut usize,
        ctx: &mut Context<'_>,
        out: &mut impl Output<Owned<U>>,
    ) {
        let State { keys, alarms, watermark, .. } = &mut *self.state;
        let Some(known) = keys.find_mut(&alarm.key).filter(|known| known.due == alarm.due) else {
            return;
        };
        while *budget > 0 && known.next().is_some_and(|due| due <= *watermark) {
            *budget -= 1;
            if known.forget(*watermark) {
                continue;
            }
            let Some((time, record)) = known.waiting.pop_front() else { break };
            if let Some(joined) = (self.join)(record, known.valid_at(time)) {
                ctx.set_timestamp(time);
                out.push(joined, ctx);
            }
        }
        known.due = known.next().unwrap_or(Timestamp::MAX);
        if known.next().is_some() {
            alarms.push(Alarm { due: known.due, key: alarm.key });
        } else if known.versions.is_empty() {
            keys.remove(&alarm.key);
        }
    }
}

impl<A, B, U, S, G> Operator<Owned<Either<A, B>>> for AsOfJoined<A, B, S, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>, Stored: Clone + Eq>,
    G: FnMut(A, Option<&B>) -> Option<U> + 'static,
{
    type Out = Owned<U>;

    fn process<'s>(&mut self, record: Either<A, B>, ctx: &mut Context<'s>, _: &mut impl Output<Owned<U>>) {
        let (time, key) = (ctx.timestamp(), S::store(self.selector.key(&record)));
        let State { keys, alarms, watermark, late, late_versions } = &mut *self.state;
        if time <= *watermark {
            match record {
                Either::First(_) => return late.count(ctx),
                Either::Second(_) => late_versions.count(ctx),
            }
        }
        let make = |key: &S::Stored| (key.clone(), History::new());
        let known = keys.value(&key, |known, key| known == *key, make);
        match record {
            Either::First(record) => keep(&mut known.waiting, time, record),
            Either::Second(version) => keep(&mut known.versions, time, version),
        }
        if let Some(due) = known.next().filter(|due| *due < known.due) {
            known.due = due;
            alarms.push(Alarm { due, key });
        }
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<U>>,
    ) -> Flow {
        self.state.watermark = watermark;
        let mut budget = FIRING_BUDGET;
        while self.state.alarms.peek().is_some_and(|alarm| alarm.due <= watermark) {
            if budget == 0 {
                return Flow::More;
            }
            // An alarm that another has replaced costs a look, too.
            budget -= 1;
            self.state.alarms.pop().into_iter().for_each(|alarm| self.look(alarm, &mut budget, ctx, out));
        }
        Flow::Done
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<U>>) -> Flow {
        self.state.late.ended(ctx);
        self.state.late_versions.ended(ctx);
        Flow::Done
    }
}

#[cfg(test)]
mod tests;
