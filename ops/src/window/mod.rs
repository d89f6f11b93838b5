//! Windows: what the records of a key come to between two points in time.

mod aligned;
mod becoming;
mod by_hand;
mod co_group;
mod column_stacks;
mod columns;
mod count;
mod count_sliding;
mod dynamic_session;
mod evictor;
mod firing;
mod global;
mod late;
mod merge;
mod panes;
mod panes_by_key;
mod processing_time;
mod retained;
mod session;
mod shape;
mod spans;
mod spare;
mod split;
mod stacks;
mod tables;
mod trigger;
mod triggered;
mod two_phase;
mod unfull;
mod window_all;

use std::time::Duration;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Build, Cloned, Context, Output, Owned, Result, Routed, Timestamp};

pub use aligned::AlignedWindows;
pub use by_hand::aggregate_windows;
pub use co_group::{Pairs, Sides};
pub use count::{CountPlan, CountWindowed, CountWindows};
pub use count_sliding::{SlidingCountPlan, SlidingCountWindowed, SlidingCountWindows};
pub use dynamic_session::{DynamicGap, DynamicSession};
pub use evictor::{CountEvictor, DeltaEvictor, Evictor, EvictorContext, TimeEvictor, WindowRecord};
pub use firing::{Timing, WindowFiring};
pub use global::Global;
pub(crate) use late::Wording;
pub use late::{Aside, Dropped, Late};
pub use merge::{All, Joining, Merge};
pub use processing_time::{ByClock, InProcessingTime};
pub use session::{FixedGap, Gap, Session, SessionWindows};
pub use shape::{Sliding, Tumbling};
pub use spans::{OnMerge, Span, WindowAssigner};
pub use trigger::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, DefaultTrigger, DeltaTrigger,
    EarlyTrigger, EventTimeTrigger, MergingTrigger, ProcessingTimeTrigger, ProcessingTimeoutTrigger,
    PurgingTrigger, Trigger, TriggerContext, TriggerResult,
};
pub use triggered::{
    Aggregating, Contents, EarlyStream, Evicted, Keep, Listing, TriggeredPlan, TriggeredStream,
    TriggeredWindows, Unevicted,
};
pub use two_phase::{
    ByPartial, Gather, Joined, Local, LocalPlan, OfPartials, Others, Partial, PartialOf, Partials,
    PartialsDropped, Phased, Phases, Reduced,
};
pub use window_all::{AllWindowed, Whole};

use split::OUTPUTS;

use crate::keyed::{Assigner, KeySelector, KeyedStream, keeps_state};
use crate::{Aggregate, Map, Split, Stream};

/// What a window has come to for a key. Its event time is the window's last, `end - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowResult<K, V> {
    /// The key: a clone of the one that is kept, as a table is emptied as a whole. Of a `String` that is an
    /// allocation for each result; a key that is an `Arc<str>` is shared.
    pub key: K,
    /// The window's first time, in milliseconds.
    pub start: Timestamp,
    /// The first time that is not the window's any more.
    pub end: Timestamp,
    /// What its records have come to.
    pub value: V,
}

/// A kind of windows, for streams with this [`Time`](slotflow_runtime::Time): those in event time need records that
/// have one.
#[diagnostic::on_unimplemented(
    message = "these windows are in event time, and the stream has none",
    note = "give the records event time by `with_timestamps`, or take windows `.in_processing_time()`"
)]
pub trait Windows<M>: Clone + Send + 'static {
    /// Whether there are such windows; asked while the job is described.
    ///
    /// # Errors
    /// Those of the start, which name the remedy.
    fn check(&self) -> Result<()>;
}

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T>,
{
    /// Groups the records of each key by windows in event time, [`Tumbling`], [`Sliding`] or [`Session`], or by the
    /// same [in processing time](Sliding::in_processing_time). A window in event time fires once a watermark has
    /// passed its last time, and only then: what is still open when a job is drained is not emitted, for its end has
    /// not come.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// use std::time::Duration;
    ///
    /// let readings = [("a", 1, 20), ("b", 3, 5), ("a", 12, 7), ("a", 9, 30)];
    /// let mut sums = collect(readings, |readings| {
    ///     let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(5));
    ///     let timed = readings.with_timestamps(|reading| reading.1, lag);
    ///     let windows = timed.key_by(|reading| reading.0).window(Tumbling::of(Duration::from_millis(10)));
    ///     windows.reduce(|a, b| (a.0, a.1.max(b.1), a.2 + b.2)).map(|window| (window.start, window.value))
    /// })?;
    /// sums.sort();
    /// assert_eq!(sums, [(0, ("a", 9, 50)), (0, ("b", 3, 5)), (10, ("a", 12, 7))]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// Records without event time have no windows in it:
    ///
    /// ```compile_fail
    /// # use slotflow::prelude::*;
    /// # let (env, counts) = (Environment::with(Config::default()), Collected::new());
    /// let words = env.source(from_iterator(["a", "bc"])).key_by(|word| word.len() as u64);
    /// words.window(Tumbling::of(std::time::Duration::from_secs(1))).reduce(|a, _| a).sink(counts.sink());
    /// ```
    pub fn window<W: Windows<P::Time>>(self, windows: W) -> WindowedStream<'env, P, S, W> {
        WindowedStream { keyed: self, windows, lateness_ms: 0, parallelism: None }
    }
}

/// A keyed stream whose records are grouped by windows; see [`KeyedStream::window`].
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct WindowedStream<'env, P, S, W> {
    keyed: KeyedStream<'env, P, S>,
    windows: W,
    lateness_ms: Timestamp,
    /// `None` for the job's.
    parallelism: Option<usize>,
}

/// Describes an operator of windows.
#[derive(Clone)]
pub struct WindowPlan<W, S, A, L> {
    pub(crate) selector: S,
    pub(crate) assigner: Assigner,
    pub(crate) windows: W,
    pub(crate) lateness_ms: Timestamp,
    pub(crate) aggregate: A,
    pub(crate) late: L,
}

/// What windows give behind a pipeline, in one phase or in two.
type Windowed<'env, P, W, T, S, A> = Stream<'env, <P as Phased<W, T, S, A>>::Windows>;

/// What windows give that are reduced.
type Reducing<'env, P, W, T, S, G> = Stream<'env, <P as Reduced<W, T, S, G>>::Windows>;

/// A key and a value of its windows.
type Fired<T, S, A> = WindowResult<<S as KeySelector<T>>::Stored, <A as Aggregate<T>>::Out>;

impl<'env, T, P, S, W> WindowedStream<'env, P, S, W>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>>,
    S: KeySelector<T, Stored: Clone + Eq>,
    W: Windows<P::Time>,
{
    /// How long, in event time, a window that has fired is kept for records that come late; by default it is not.
    /// Each of them makes its windows fire again at once, with all their records so far. What comes after that
    /// is late. Nothing is late in processing time, so there it does nothing.
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        WindowedStream { lateness_ms: shape::milliseconds(lateness), ..self }
    }

    /// Aggregates the records of each window, and emits the result once it is over. A record changes one
    /// accumulator, however many windows it is in.
    ///
    /// A record that comes later than [allowed](WindowedStream::allowed_lateness) is dropped and counted, with
    /// warnings; [`aggregate_split`](WindowedStream::aggregate_split) keeps it, as `reduce_split` and its like do.
    ///
    /// Where keys are few or some are hot, [two phases](WindowedStream::two_phases) save most of the exchange. They
    /// have to be asked for, as accumulators take room on the way; a [`reduce`](WindowedStream::reduce) has them by
    /// itself.
    pub fn aggregate<A>(self, aggregate: A) -> Windowed<'env, P, W, T, S, A>
    where
        A: Merge<T> + Clone + Send,
        W: DefaultTrigger,
        P: Phased<W, T, S, A>,
    {
        <P as Phased<W, T, S, A>>::windows(self, aggregate)
    }

    /// As [`aggregate`](WindowedStream::aggregate), with the late records as a second stream: Flink's
    /// `sideOutputLateData`. They keep their event time. Both streams must end in a sink.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # #[derive(Clone)]
    /// struct Largest;
    /// impl Aggregate<(char, i64)> for Largest {
    ///     type Acc = i64;
    ///     type Out = i64;
    ///     fn create(&self) -> i64 {
    ///         i64::MIN
    ///     }
    ///     fn add(&self, largest: &mut i64, record: (char, i64)) {
    ///         *largest = record.1.max(*largest);
    ///     }
    ///     fn result(&self, largest: &i64) -> i64 {
    ///         *largest
    ///     }
    /// }
    /// impl Merge<(char, i64)> for Largest {
    ///     fn merge(&self, into: &mut i64, other: &i64) {
    ///         *into = *other.max(into);
    ///     }
    /// }
    ///
    /// let env = Environment::with(Config::default());
    /// let (seen, rest) = (Collected::new(), Collected::new());
    /// let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(5));
    /// let timed = env.source(from_iterator([('a', 3), ('a', 8), ('b', 1)])).with_timestamps(|record| record.1, lag);
    /// let windows = timed.key_by(|record| record.0).window(Tumbling::of(Duration::from_millis(10)));
    /// let (largest, late) = windows.allowed_lateness(Duration::from_millis(20)).aggregate_split(Largest);
    /// largest.map(|window| (window.key, window.value)).sink(seen.sink());
    /// late.sink(rest.sink());
    /// env.run("largest")?;
    /// let mut seen = seen.take();
    /// seen.sort();
    /// assert_eq!((seen, rest.take()), (vec![('a', 8), ('b', 1)], vec![]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn aggregate_split<A>(self, aggregate: A) -> Split<'env, Fired<T, S, A>, T, P::Time>
    where
        A: Merge<T, Out: Send> + Clone + Send,
        S: KeySelector<T, Stored: Send>,
        W: DefaultTrigger,
        WindowPlan<W, S, A, Aside>: Build<Owned<T>, Out = Owned<Routed<Fired<T, S, A>, T>>>,
    {
        self.windowed(aggregate, Aside).fork_routed(OUTPUTS)
    }

    /// Joins the records of each window two by two; `join` must be associative and commutative.
    ///
    /// Tumbling and sliding windows in event time directly behind a [`key_by`](KeyedStream) are reduced in two phases
    /// where that pays: records of one key and pane that meet within a step are joined in front of the exchange, and
    /// what crosses is a record as any other. Where that does not halve what crosses it stops by itself, and looks
    /// again now and then; while it is stopped it costs next to nothing (PERF.md, two phases). It stops for good once
    /// `join` gives a record of another key, or the subtask's sources have been idle, as [two
    /// phases](WindowedStream::two_phases) that are asked for do with allowed lateness. Records that own memory, such
    /// as a `String`, cross one by one. [`one_phase`](WindowedStream::one_phase) rules it out, and `explain` says
    /// which it is.
    pub fn reduce<G>(self, join: G) -> Reducing<'env, P, W, T, S, G>
    where
        T: Clone,
        G: Fn(T, T) -> T + Clone + Send + 'static,
        W: DefaultTrigger,
        P: Reduced<W, T, S, G>,
    {
        <P as Reduced<W, T, S, G>>::windows(self, join)
    }

    /// Gives each window's key, edges and records, in no particular order, to a closure. Keeps all records until
    /// then, and as many copies of each as it is in windows: where an aggregate will do, use
    /// [`aggregate`](WindowedStream::aggregate), and a [`map`](Stream::map) behind it for what the aggregate
    /// does not know: key and edges are in its [`WindowResult`].
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// let middles = collect([1, 9, 2, 30, 34], |times| {
    ///     let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(9));
    ///     let timed = times.with_timestamps(|time| *time, lag);
    ///     timed.key_by(|_| 0).window(Session::with_gap(Duration::from_millis(10))).process(|mut window| {
    ///         window.value.sort();
    ///         (window.start, window.end, window.value[window.value.len() / 2])
    ///     })
    /// })?;
    /// assert_eq!(middles, [(1, 19, 2), (30, 44, 34)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn process<U, G>(self, process: G) -> Processed<'env, P, W, S, T, G>
    where
        T: Clone,
        U: 'static,
        G: FnMut(WindowResult<S::Stored, Vec<T>>) -> U + Clone + Send + 'static,
        W: DefaultTrigger,
        WindowPlan<W, S, All<T>, Dropped>: Build<Owned<T>, Out = Owned<Fired<T, S, All<T>>>>,
    {
        self.windowed(All::new(), Dropped::default()).map(process).name("process")
    }

    fn windowed<A, L>(self, aggregate: A, late: L) -> Stream<'env, Then<P, WindowPlan<W, S, A, L>>>
    where
        WindowPlan<W, S, A, L>: Build<Owned<T>>,
    {
        let WindowedStream { keyed, windows, lateness_ms, parallelism } = self;
        let (selector, assigner, checked) = (keyed.selector.clone(), keyed.assigner, windows.check());
        let plan = WindowPlan { selector, assigner, windows, lateness_ms, aggregate, late };
        described(keyed.then("window", plan), assigner, parallelism, checked)
    }
}

/// What [`WindowedStream::process`] gives.
pub type Processed<'env, P, W, S, T, G> =
    Stream<'env, Then<Then<P, WindowPlan<W, S, All<T>, Dropped>>, Cloned<Map<G>>>>;

/// Windows, with what the plan has to know of them.
fn described<'env, P>(
    stream: Stream<'env, P>,
    assigner: Assigner,
    parallelism: Option<usize>,
    checked: Result<()>,
) -> Stream<'env, P> {
    keeps_state(&stream, assigner);
    stream.env.graph(|graph| graph.operator_mut(stream.last).parallelism = parallelism);
    refuse(&stream, checked);
    stream
}

/// Notes what speaks against a start.
fn refuse<P>(stream: &Stream<'_, P>, checked: Result<()>) {
    if let Err(error) = checked {
        stream.env.graph(|graph| graph.mistake(stream.last, error));
    }
}

/// Pushes a window's result, whose time is the window's last. The operators in front may go on with the time there
/// was.
#[inline(always)]
fn emit<L, K, V, T>(
    key: K,
    (start, end): (Timestamp, Timestamp),
    value: V,
    ctx: &mut Context<'_>,
    out: &mut impl Output<Owned<L::Out>>,
) where
    L: Late<WindowResult<K, V>, T>,
{
    let own = ctx.timestamp();
    ctx.set_timestamp(end - 1);
    out.push(L::result(WindowResult { key, start, end, value }), ctx);
    ctx.set_timestamp(own);
}

#[cfg(test)]
mod tests;
