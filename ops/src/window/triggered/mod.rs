//! Windows with a trigger, and with an evictor.

mod co_group;
mod contents;
mod fire;
mod open;
mod operator;
mod place;
mod split;

use std::time::Duration;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Build, Cloned, Owned, Routed, Timestamp};

pub use contents::{Aggregating, Contents, Evicted, Keep, Listing, Unevicted};
use operator::Fired;
pub use operator::TriggeredWindows;

use super::evictor::Evictor;
use super::firing::{Timing, WindowFiring};
use super::late::{Aside, Dropped};
use super::merge::{All, Joining};
use super::spans::WindowAssigner;
use super::split::OUTPUTS;
use super::trigger::{DefaultTrigger, EarlyTrigger, Trigger, TriggerResult};
use super::{WindowedStream, Windows, refuse, shape};
use crate::keyed::{Assigner, KeySelector, KeyedStream};
use crate::{Map, Split, Stream};

impl<'env, T, P, S, W> WindowedStream<'env, P, S, W>
where
    T: Clone + Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: Clone + Eq>,
    W: Windows<P::Time>,
{
    /// Fires the windows when a [`Trigger`] says so, and not by themselves at their end.
    ///
    /// A window then gives any number of [`WindowFiring`]s, each with all its records since it was last
    /// [purged](crate::PurgingTrigger). What such windows cost: a record changes an accumulator in each of its windows,
    /// where those without a trigger share panes.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// let readings = [('a', 1), ('a', 2), ('b', 3), ('a', 14), ('a', 5)];
    /// let counts = collect(readings, |readings| {
    ///     let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(20));
    ///     let timed = readings.with_timestamps(|reading| reading.1, lag);
    ///     let windows = timed.key_by(|reading| reading.0).window(Tumbling::of(Duration::from_millis(10)));
    ///     windows.trigger(CountTrigger::of(2)).process(|it| (it.key, it.start, it.value.len()))
    /// })?;
    /// assert_eq!(counts, [('a', 0, 2)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn trigger<G>(self, trigger: G) -> TriggeredStream<'env, P, S, W, G, Unevicted>
    where
        G: Trigger<T>,
        W: WindowAssigner<T, G>,
    {
        let WindowedStream { keyed, windows, lateness_ms, parallelism } = self;
        TriggeredStream { keyed, windows, lateness_ms, parallelism, trigger, keep: Unevicted }
    }

    /// Gives early results: besides what a window gives at its end, what it has come to `every` so long, in processing
    /// time, while it gets records. [`WindowFiring::timing`] tells them apart. A window that has got nothing new gives
    /// nothing. An interval of less than a millisecond is an error of the start.
    ///
    /// Results accumulate: each has all the window's records so far. For those that are new in each,
    /// `.trigger(PurgingTrigger::of(EarlyTrigger::every(every, EventTimeTrigger)))`.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// let visits = (0..2_000u64).map(|n| ("page", n as i64));
    /// let counts = collect(visits, |visits| {
    ///     let timed = visits.with_timestamps(|visit| visit.1, Watermarks::monotonous());
    ///     let hours = timed.key_by(|visit| visit.0).window(Tumbling::of(Duration::from_secs(3600)));
    ///     hours.early(Duration::from_secs(1)).process(|hour| (hour.timing, hour.value.len()))
    /// })?;
    /// assert_eq!(counts.last(), Some(&(Timing::OnTime, 2_000)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn early(self, every: Duration) -> EarlyStream<'env, P, S, W>
    where
        W: DefaultTrigger + WindowAssigner<T, EarlyTrigger<<W as DefaultTrigger>::Trigger>>,
        EarlyTrigger<W::Trigger>: Trigger<T>,
    {
        self.trigger(EarlyTrigger::every(every, W::Trigger::default()))
    }

    /// Takes records out of a window when it fires, as an [`Evictor`] says. The window keeps all records then, and
    /// aggregates them at each firing: it takes memory and time for each.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// let last = collect([1, 5, 3, 12, 11], |times| {
    ///     let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(10));
    ///     let windows = times.with_timestamps(|time| *time, lag).window_all(Tumbling::of(Duration::from_millis(10)));
    ///     windows.evictor(CountEvictor::of(2)).process(|it| it.value)
    /// })?;
    /// assert_eq!(last, [[5, 3], [12, 11]]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn evictor<E>(self, evictor: E) -> TriggeredStream<'env, P, S, W, W::Trigger, Evicted<T, E>>
    where
        E: Evictor<T>,
        W: DefaultTrigger + WindowAssigner<T, <W as DefaultTrigger>::Trigger>,
        W::Trigger: Trigger<T>,
    {
        self.trigger(W::Trigger::default()).evictor(evictor)
    }
}

/// What [`WindowedStream::early`] gives.
pub type EarlyStream<'env, P, S, W> =
    TriggeredStream<'env, P, S, W, EarlyTrigger<<W as DefaultTrigger>::Trigger>, Unevicted>;

/// Windows with a trigger; see [`WindowedStream::trigger`].
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct TriggeredStream<'env, P, S, W, G, E> {
    keyed: KeyedStream<'env, P, S>,
    windows: W,
    lateness_ms: Timestamp,
    /// `None` for the job's.
    parallelism: Option<usize>,
    trigger: G,
    keep: E,
}

/// Describes an operator of windows with a trigger.
#[derive(Clone)]
pub struct TriggeredPlan<W, S, G, C, L> {
    selector: S,
    assigner: Assigner,
    windows: W,
    lateness_ms: Timestamp,
    trigger: G,
    contents: C,
    late: L,
}

/// What windows with a trigger give behind a pipeline.
type Triggered<'env, P, W, S, G, C, L = Dropped> = Stream<'env, Then<P, TriggeredPlan<W, S, G, C, L>>>;

/// What those give whose records all go to a closure.
type Processed<'env, P, W, S, T, G, E, F> =
    Stream<'env, Then<Then<P, TriggeredPlan<W, S, G, Listing<All<T>, E>, Dropped>>, Cloned<Map<F>>>>;

impl<'env, T, P, S, W, G> TriggeredStream<'env, P, S, W, G, Unevicted>
where
    T: Clone + Send + 'static,
    P: Pipe<Out = Owned<T>>,
{
    /// As [`WindowedStream::evictor`], with the trigger that these windows have.
    pub fn evictor<E: Evictor<T>>(self, evictor: E) -> TriggeredStream<'env, P, S, W, G, Evicted<T, E>> {
        let TriggeredStream { keyed, windows, lateness_ms, parallelism, trigger, .. } = self;
        TriggeredStream { keyed, windows, lateness_ms, parallelism, trigger, keep: Evicted::by(evictor) }
    }
}

impl<'env, T, P, S, W, G, E> TriggeredStream<'env, P, S, W, G, E>
where
    T: Clone + Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: Clone + Eq>,
    W: Windows<P::Time> + WindowAssigner<T, G>,
    G: Trigger<T>,
{
    /// How long, in event time, a window is kept behind its end, with its trigger, for records that come late; by
    /// default it is not. Whether it fires with them is the trigger's to say;
    /// [`EventTimeTrigger`](crate::EventTimeTrigger) does with each. What comes after that is late. Nothing is late in
    /// processing time, and a global window has no end.
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        TriggeredStream { lateness_ms: shape::milliseconds(lateness), ..self }
    }

    /// Aggregates the records of each window, and emits the result so far whenever it fires.
    ///
    /// A record that comes later than [allowed](TriggeredStream::allowed_lateness) is dropped and counted, with
    /// warnings; [`aggregate_split`](TriggeredStream::aggregate_split) keeps it.
    pub fn aggregate<A>(self, aggregate: A) -> Triggered<'env, P, W, S, G, E::Contents>
    where
        E: Keep<T, A>,
    {
        self.triggered(|keep| keep.contents(aggregate), Dropped::default())
    }

    /// As [`aggregate`](TriggeredStream::aggregate), with the late records as a second stream: Flink's
    /// `sideOutputLateData`. They keep their event time. Both streams must end in a sink.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # #[derive(Clone)]
    /// # struct Largest;
    /// # impl Aggregate<i64> for Largest {
    /// #     type Acc = i64;
    /// #     type Out = i64;
    /// #     fn create(&self) -> i64 {
    /// #         i64::MIN
    /// #     }
    /// #     fn add(&self, largest: &mut i64, record: i64) {
    /// #         *largest = record.max(*largest);
    /// #     }
    /// #     fn result(&self, largest: &i64) -> i64 {
    /// #         *largest
    /// #     }
    /// # }
    /// # impl Merge<i64> for Largest {
    /// #     fn merge(&self, into: &mut i64, other: &i64) {
    /// #         *into = *other.max(into);
    /// #     }
    /// # }
    /// let env = Environment::with(Config::default());
    /// let (seen, rest) = (Collected::new(), Collected::new());
    /// let timed = env.source(from_iterator([3, 8, 1])).with_timestamps(|it| *it, Watermarks::monotonous());
    /// let windows = timed.key_by(|_| 'k').window(Tumbling::of(Duration::from_millis(10)));
    /// let (largest, late) = windows.early(Duration::from_secs(60)).aggregate_split(Largest);
    /// largest.map(|window| (window.timing, window.value)).sink(seen.sink());
    /// late.sink(rest.sink());
    /// env.run("largest")?;
    /// assert_eq!((seen.take(), rest.take()), (vec![(Timing::OnTime, 8)], vec![]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn aggregate_split<A>(self, aggregate: A) -> Split<'env, Fired<T, S, E::Contents>, T, P::Time>
    where
        E: Keep<T, A, Contents: Contents<T, Out: Send>>,
        S: KeySelector<T, Stored: Send>,
        TriggeredPlan<W, S, G, E::Contents, Aside>:
            Build<Owned<T>, Out = Owned<Routed<Fired<T, S, E::Contents>, T>>>,
    {
        self.triggered(|keep| keep.contents(aggregate), Aside).fork_routed(OUTPUTS)
    }

    /// Joins the records of each window two by two; `join` must be associative and commutative.
    pub fn reduce<F>(self, join: F) -> Triggered<'env, P, W, S, G, E::Contents>
    where
        F: Fn(T, T) -> T + Clone + Send + 'static,
        E: Keep<T, Joining<F>>,
    {
        self.aggregate(Joining::new(join))
    }

    /// Gives each firing's key, edges, timing and records, in the order in which they came, to a closure; where
    /// sessions have become one, those of the later one come last. Keeps all records until then: where an aggregate
    /// will do, use [`aggregate`](TriggeredStream::aggregate), and a [`map`](Stream::map) behind it for what the
    /// aggregate does not know.
    pub fn process<U, F>(self, process: F) -> Processed<'env, P, W, S, T, G, E::Evictor, F>
    where
        U: 'static,
        F: FnMut(WindowFiring<S::Stored, Vec<T>>) -> U + Clone + Send + 'static,
        E: Keep<T, All<T>>,
    {
        let all = |keep: E| Listing { aggregate: All::new(), evictor: keep.evictor() };
        self.triggered(all, Dropped::default()).map(process).name("process")
    }

    fn triggered<C, L, A>(self, contents: impl FnOnce(E) -> C, late: L) -> Triggered<'env, P, W, S, G, C, L>
    where
        E: Keep<T, A>,
        TriggeredPlan<W, S, G, C, L>: Build<Owned<T>>,
    {
        let TriggeredStream { keyed, windows, lateness_ms, parallelism, trigger, keep } = self;
        let checked = [windows.check(), trigger.check(), keep.check()];
        let (selector, assigner) = (keyed.selector.clone(), keyed.assigner);
        let contents = contents(keep);
        let plan = TriggeredPlan { selector, assigner, windows, lateness_ms, trigger, contents, late };
        let stream = keyed.then("window", plan);
        stream.env.graph(|graph| graph.operator_mut(stream.last).parallelism = parallelism);
        checked.into_iter().for_each(|checked| refuse(&stream, checked));
        stream
    }
}

#[cfg(test)]
pub(super) mod tests;
