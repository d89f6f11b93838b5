//! Windows: what the records of a key come to between two points in event time.

mod aligned;
mod late;
mod merge;
mod panes;
mod retained;
mod shape;
mod stacks;

use std::time::Duration;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Build, Cloned, EventTime, Owned, Timestamp};

pub use aligned::{Aligned, AlignedWindows};
pub use late::{Aside, Dropped, Late};
pub use merge::{All, Joining, Merge};
pub use shape::{Sliding, Tumbling};

use crate::keyed::{KeySelector, KeyedStream};
use crate::{Aggregate, Map, Split, Stream};

/// What a window has come to for a key. Its event time is the window's last, `end - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowResult<K, V> {
    /// The key.
    pub key: K,
    /// The window's first time, in milliseconds.
    pub start: Timestamp,
    /// The first time that is not the window's any more.
    pub end: Timestamp,
    /// What its records have come to.
    pub value: V,
}

impl<'env, T, P, S> KeyedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>, Time = EventTime>,
    S: KeySelector<T>,
{
    /// Groups the records of each key by windows in event time: [`Tumbling`] or [`Sliding`]. A window fires once
    /// a watermark has passed its last time, and only then: what is still open when a job is drained is not
    /// emitted, for its end has not come.
    pub fn window(self, windows: impl Into<Sliding>) -> WindowedStream<'env, P, S> {
        WindowedStream { keyed: self, windows: windows.into(), lateness_ms: 0 }
    }
}

/// A keyed stream whose records are grouped by windows; see [`KeyedStream::window`].
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct WindowedStream<'env, P, S> {
    keyed: KeyedStream<'env, P, S>,
    windows: Sliding,
    lateness_ms: Timestamp,
}

/// What windows give behind a pipeline.
type Windowed<'env, P, S, A> = Stream<'env, Then<P, Aligned<S, A, Dropped>>>;

/// A key and a value of its windows.
type ResultOf<T, S, A> = WindowResult<<S as KeySelector<T>>::Stored, <A as Aggregate<T>>::Out>;

impl<'env, T, P, S> WindowedStream<'env, P, S>
where
    T: Send + 'static,
    P: Pipe<Out = Owned<T>, Time = EventTime>,
    S: KeySelector<T, Stored: Clone + Eq>,
{
    /// How long, in event time, a window that has fired is kept for records that come late; by default it is not.
    /// Each of them makes its windows fire again at once, with all their records so far. What comes after that
    /// is late.
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        WindowedStream { lateness_ms: shape::milliseconds(lateness), ..self }
    }

    /// Aggregates the records of each window, and emits the result once it is over. A record changes one
    /// accumulator, however many windows it is in.
    ///
    /// A record that comes later than [allowed](WindowedStream::allowed_lateness) is dropped and counted, with
    /// warnings; [`aggregate_split`](WindowedStream::aggregate_split) keeps it.
    pub fn aggregate<A>(self, aggregate: A) -> Windowed<'env, P, S, A>
    where
        A: Merge<T> + Clone + Send,
    {
        self.aligned("window", aggregate, Dropped::default())
    }

    /// As [`aggregate`](WindowedStream::aggregate), with the late records as a second stream: Flink's
    /// `sideOutputLateData`. They keep their event time. Both streams must end in a sink.
    pub fn aggregate_split<A>(self, aggregate: A) -> Split<'env, ResultOf<T, S, A>, T, EventTime>
    where
        A: Merge<T, Out: Send> + Clone + Send,
        S: KeySelector<T, Stored: Send>,
    {
        self.aligned("window", aggregate, Aside).fork_routed(["main", "late"])
    }

    /// Joins the records of each window two by two; `join` must be associative and commutative.
    pub fn reduce<G>(self, join: G) -> Windowed<'env, P, S, Joining<G>>
    where
        T: Clone,
        G: Fn(T, T) -> T + Clone + Send + 'static,
    {
        self.aggregate(Joining::new(join))
    }

    /// Gives each window's key, edges and records, in no particular order, to a closure. Keeps all records until
    /// then, and as many copies of each as it is in windows: where an aggregate will do, use
    /// [`aggregate`](WindowedStream::aggregate), and a [`map`](Stream::map) behind it for what the aggregate
    /// does not know: key and edges are in its [`WindowResult`].
    pub fn process<U, G>(
        self,
        process: G,
    ) -> Stream<'env, Then<Then<P, Aligned<S, All<T>, Dropped>>, Cloned<Map<G>>>>
    where
        T: Clone,
        U: 'static,
        G: FnMut(WindowResult<S::Stored, Vec<T>>) -> U + Clone + Send + 'static,
    {
        self.aggregate(All::new()).map(process).name("process")
    }

    fn aligned<A, L>(self, name: &str, aggregate: A, late: L) -> Stream<'env, Then<P, Aligned<S, A, L>>>
    where
        Aligned<S, A, L>: Build<Owned<T>>,
    {
        let WindowedStream { keyed, windows, lateness_ms } = self;
        let (selector, assigner) = (keyed.selector.clone(), keyed.assigner);
        let stream = keyed.then(name, Aligned { selector, assigner, windows, lateness_ms, aggregate, late });
        if let Err(error) = shape::Shape::new(windows) {
            stream.env.graph(|graph| graph.refuse(stream.last, error));
        }
        stream
    }
}

#[cfg(test)]
mod tests;
