//! Joins each record with the version of the other side that was valid at its time.
//!
//! 1. A record waits until the watermark has reached its time, as no earlier version comes after that.
//! 2. A version is kept until the watermark, and all that waits, have reached the next one of its key, or its retention
//!    is over. So one stays for each key, unless a retention is set.

use std::time::Duration;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{
    Build, Context, EventTime, Flow, Measures, Operator, Output, Owned, Result, SubtaskContext, Timestamp,
};

use super::kept::{Keeps, Kept};
use super::{Side, bytes, keep};
use crate::keyed::{Assigner, KeySelector, KeyedStream};
use crate::window::{Aside, Dropped, Late, Wording};
use crate::{Either, Split, Stream, tally};

/// How late records are told of.
const LATE: Wording = Wording {
    what: "an as-of join drops late records; `with_late` behind it keeps them",
    reason: tally::LATE,
};

/// How late versions are told of.
const LATE_VERSION: Wording = Wording {
    what: "an as-of join gets late versions: what was joined before has older ones",
    reason: "late version",
};

impl<'env, A, B, P, S> KeyedStream<'env, P, S>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>, Time = EventTime>,
    S: KeySelector<Either<A, B>>,
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
    /// version is forgotten once the watermark has reached the next one of its key; the last one of each key stays for
    /// good, unless [`retain`](Stream::retain) says for how long. A record at or before the watermark is late: it is
    /// dropped and counted, with warnings; [`with_late`](Stream::with_late) keeps it. A late version is counted, too,
    /// and serves what is not joined yet. What still waits when the job is drained is given up, as are
    /// windows.
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
        let (selector, assigner, late) = (self.selector.clone(), self.assigner, Dropped::new(&LATE));
        self.then("as_of_join", AsOfJoin { selector, assigner, join, retention: None, late })
    }
}

impl<'env, P, S, G> Stream<'env, Then<P, AsOfJoin<S, G>>> {
    /// For how long a version is valid, in event time and whole milliseconds: a record that is later than it by more
    /// finds none, and the version is forgotten, a budget of them in a step, once the watermark says that no other
    /// record can find it. By default the last version of each key is valid, and kept, for good: where keys come and
    /// go, say how long they live.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// # let orders = env.source(from_iterator([('a', 15), ('a', 80)]));
    /// # let rates = env.source(from_iterator([('a', 10)]));
    /// # let orders = orders.with_timestamps(|order| order.1, Watermarks::monotonous());
    /// # let rates = rates.with_timestamps(|rate| rate.1, Watermarks::monotonous());
    /// # let rated = Collected::new();
    /// # let keyed = orders.connect(rates).key_by(|either| match either {
    /// #     Either::First(order) => order.0,
    /// #     Either::Second(rate) => rate.0,
    /// # });
    /// let joined = keyed.as_of_join(|order, rate| Some((order.1, rate.is_some()))).retain(Duration::from_millis(60));
    /// joined.sink(rated.sink());
    /// env.run("rated")?;
    /// assert_eq!(rated.take(), [(15, true), (80, false)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn retain(mut self, versions: Duration) -> Self {
        self.pipe.build.retention = Timestamp::try_from(versions.as_millis()).ok();
        self
    }
}

impl<'env, A, B, P, S, G> Stream<'env, Then<P, AsOfJoin<S, G>>>
where
    A: Send + 'static,
    B: Send + 'static,
    P: Pipe<Out = Owned<Either<A, B>>, Time = EventTime>,
    S: KeySelector<Either<A, B>>,
{
    /// Gives the records that are too late for the join as a second stream, in place of dropping them. They keep their
    /// event time. Both streams must end in a sink.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # let env = Environment::with(Config::default());
    /// # let side = || env.source(from_iterator([1, 5])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let keyed = side().connect(side()).key_by(|_| 'k');
    /// let (rated, late) = keyed.as_of_join(|order, rate| Some((order, rate.copied()))).with_late();
    /// # let (seen, rest) = (Collected::new(), Collected::new());
    /// # rated.sink(seen.sink());
    /// # late.sink(rest.sink());
    /// # env.run("rated")?;
    /// # assert_eq!((seen.take().len(), rest.take().len()), (2, 0), "time goes on with the slower side");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_late<U>(self) -> Split<'env, U, A, EventTime>
    where
        U: Send + 'static,
        G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
    {
        let aside = self.described(|AsOfJoin { selector, assigner, join, retention, .. }| AsOfJoin {
            selector,
            assigner,
            join,
            retention,
            late: Aside,
        });
        aside.fork_routed(["main", "late"])
    }
}

/// Describes [`KeyedStream::as_of_join`].
#[derive(Clone)]
pub struct AsOfJoin<S, G, L = Dropped> {
    selector: S,
    assigner: Assigner,
    join: G,
    /// In milliseconds; `None` for good.
    retention: Option<Timestamp>,
    late: L,
}

impl<A, B, U, S, G, L> Build<Owned<Either<A, B>>> for AsOfJoin<S, G, L>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>>,
    G: FnMut(A, Option<&B>) -> Option<U> + Clone + Send + 'static,
    L: Late<U, A>,
{
    type Out = Owned<L::Out>;
    type Operator = AsOfJoined<A, B, S, G, L>;

    fn build(self, subtask: &SubtaskContext) -> Result<Self::Operator> {
        let state = State {
            kept: Kept::new(self.assigner.hashes_of(subtask)),
            late: self.late,
            late_versions: Dropped::new(&LATE_VERSION),
        };
        let (selector, join, retention) = (self.selector, self.join, self.retention);
        Ok(AsOfJoined { selector, join, retention, state: Box::new(state) })
    }
}

/// The operator of [`AsOfJoin`].
pub struct AsOfJoined<A, B, S: KeySelector<Either<A, B>>, G, L> {
    selector: S,
    join: G,
    retention: Option<Timestamp>,
    /// Apart, because an operator is moved at each step, and best small.
    state: Box<State<S::Stored, A, B, L>>,
}

struct State<K, A, B, L> {
    kept: Kept<K, History<A, B>>,
    late: L,
    late_versions: Dropped,
}

/// What is kept of a key.
struct History<A, B> {
    waiting: Side<A>,
    versions: Side<B>,
}

impl<A, B> Default for History<A, B> {
    fn default() -> Self {
        History { waiting: Side::new(), versions: Side::new() }
    }
}

impl<A, B> Keeps for History<A, B> {
    fn heap_bytes(&self) -> usize {
        bytes(&self.waiting) + bytes(&self.versions)
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.versions.is_empty()
    }
}

impl<A, B> History<A, B> {
    /// When the first record is to be joined, or the first version to be forgotten; `None` if neither will be.
    fn due(&self, retention: Option<Timestamp>) -> Option<Timestamp> {
        let record = self.waiting.front().map(|(time, _)| *time);
        let superseded = self.versions.get(1).map(|(since, _)| *since);
        record.into_iter().chain(superseded).chain(self.over(retention)).min()
    }

    /// The last time that the first version is valid for; `None` if it is for good.
    fn over(&self, retention: Option<Timestamp>) -> Option<Timestamp> {
        self.versions.front().and_then(|(since, _)| since.checked_add(retention?))
    }

    /// Forgets the first version if nothing that waits or is to come can need it: the next one was valid already, or
    /// its retention is over. `false` if something can.
    fn forget(&mut self, watermark: Timestamp, retention: Option<Timestamp>) -> bool {
        let waiting = self.waiting.front().map(|(time, _)| *time);
        let until = waiting.map_or(watermark, |time| watermark.min(time));
        let superseded = self.versions.get(1).is_some_and(|(since, _)| *since <= until);
        let is_over = |last: Timestamp| last <= watermark && waiting.is_none_or(|time| last < time);
        let over = self.over(retention).is_some_and(is_over);
        if superseded || over {
            self.versions.pop_front();
        }
        superseded || over
    }

    /// The version that was valid at `time`, once what was not any more is forgotten.
    fn valid_at(&self, time: Timestamp) -> Option<&B> {
        self.versions.front().filter(|(since, _)| *since <= time).map(|(_, version)| version)
    }

    /// Joins and forgets what the watermark has reached, within the budget. Gives when there is more to do.
    fn look(
        &mut self,
        (watermark, retention): (Timestamp, Option<Timestamp>),
        budget: &mut usize,
        mut join: impl FnMut(Timestamp, A, Option<&B>),
    ) -> Option<Timestamp> {
        while *budget > 0 && self.due(retention).is_some_and(|due| due <= watermark) {
            *budget -= 1;
            if self.forget(watermark, retention) {
                continue;
            }
            let Some((time, record)) = self.waiting.pop_front() else { break };
            join(time, record, self.valid_at(time));
        }
        self.due(retention)
    }
}

impl<A, B, U, S, G, L> Operator<Owned<Either<A, B>>> for AsOfJoined<A, B, S, G, L>
where
    A: 'static,
    B: 'static,
    U: 'static,
    S: KeySelector<Either<A, B>>,
    G: FnMut(A, Option<&B>) -> Option<U> + 'static,
    L: Late<U, A>,
{
    type Out = Owned<L::Out>;

    fn process<'s>(
        &mut self,
        record: Either<A, B>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) {
        let (time, State { kept, late, late_versions }) = (ctx.timestamp(), &mut *self.state);
        let is_late = time <= kept.watermark;
        let record = match record {
            Either::First(record) if is_late => {
                return late.late(record, ctx).into_iter().for_each(|late| out.push(late, ctx));
            }
            record => record,
        };
        let mut entered = kept.enter(self.selector.key(&record), S::same, S::store);
        let history = entered.value();
        match record {
            Either::First(record) => keep(&mut history.waiting, time, record),
            Either::Second(version) => keep(&mut history.versions, time, version),
        }
        if is_late {
            late_versions.count(1, ctx);
        }
        let due = history.due(self.retention);
        entered.due(due);
    }

    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<L::Out>>,
    ) -> Flow {
        let AsOfJoined { join, retention, state, .. } = self;
        state.kept.reach(watermark, |history, budget| {
            history.look((watermark, *retention), budget, |time, record, version| {
                if let Some(joined) = join(record, version) {
                    ctx.set_timestamp(time);
                    out.push(L::result(joined), ctx);
                }
            })
        })
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<L::Out>>) -> Flow {
        self.state.late.ended(ctx);
        self.state.late_versions.said_at_the_end(ctx);
        Flow::Done
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.state.kept.size().tell(measures);
        self.state.late.measure(measures);
        self.state.late_versions.tell(measures);
    }
}

#[cfg(test)]
mod tests;
