//! A pipeline behind which windows are aggregated in one phase.

use slotflow_runtime::install::Installer;
use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::plan::Graph;
use slotflow_runtime::{Downstream, Owned, Result};

use crate::Stream;
use crate::keyed::KeyedStream;
use crate::window::WindowedStream;

/// A pipeline behind which windows are aggregated in one phase; see [`WindowedStream::one_phase`].
pub struct OnePhase<P>(P);

impl<P: Pipe> Pipe for OnePhase<P> {
    type Out = P::Out;
    type Time = P::Time;

    fn discover(&mut self, graph: &mut Graph) {
        self.0.discover(graph);
    }

    fn install<D: Downstream<P::Out>>(self, installer: &mut Installer<'_>, rest: D) -> Result<()> {
        self.0.install(installer, rest)
    }
}

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>, S, W> WindowedStream<'env, P, S, W> {
    /// Sends each record to its window as it is.
    ///
    /// Otherwise tumbling and sliding windows in event time behind a [`key_by`](Stream::key_by) are aggregated in two
    /// phases, Flink's local-global aggregation: records of one key and pane that meet within a step are combined
    /// where they come from, and cross the exchange as one accumulator. It costs no latency, changes no result, and
    /// stops by itself where it does not halve what crosses; where keys are few or some are hot it saves the better
    /// part of the exchange. Say `one_phase` where the accumulator is not `Send`; where merging costs
    /// more than adding; and where adding must happen in the order of the records, which no
    /// [`Merge`](crate::Merge) may ask for.
    ///
    /// [`aggregate_split`](WindowedStream::aggregate_split), which keeps late records, `process`, triggers and
    /// windows of other kinds have one phase always.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// use std::rc::Rc;
    ///
    /// #[derive(Clone)]
    /// struct Longest;
    /// impl Aggregate<String> for Longest {
    ///     type Acc = Rc<str>;
    ///     type Out = usize;
    ///     fn create(&self) -> Rc<str> {
    ///         Rc::from("")
    ///     }
    ///     fn add(&self, longest: &mut Rc<str>, word: String) {
    ///         self.merge(longest, &Rc::from(word));
    ///     }
    ///     fn result(&self, longest: &Rc<str>) -> usize {
    ///         longest.len()
    ///     }
    /// }
    /// impl Merge<String> for Longest {
    ///     fn merge(&self, longest: &mut Rc<str>, other: &Rc<str>) {
    ///         if other.len() > longest.len() {
    ///             *longest = other.clone();
    ///         }
    ///     }
    /// }
    ///
    /// let words = ["a", "abc", "b", "be"].map(String::from);
    /// let mut longest = collect(words, |words| {
    ///     let timed = words.with_timestamps(|_| 0, Watermarks::bounded_out_of_orderness(Duration::ZERO));
    ///     let windows = timed.key_by(|word| word.as_bytes()[0]).window(Tumbling::of(Duration::from_secs(1)));
    ///     windows.one_phase().aggregate(Longest).map(|window| window.value)
    /// })?;
    /// longest.sort();
    /// assert_eq!(longest, [2, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn one_phase(self) -> WindowedStream<'env, OnePhase<P>, S, W> {
        let WindowedStream { keyed, windows, lateness_ms, parallelism } = self;
        let KeyedStream { stream, selector, assigner } = keyed;
        let Stream { env, last, open_edge, pipe } = stream;
        let stream = Stream { env, last, open_edge, pipe: OnePhase(pipe) };
        let keyed = KeyedStream { stream, selector, assigner };
        WindowedStream { keyed, windows, lateness_ms, parallelism }
    }
}
