//! A pipeline behind which windows are computed in as many phases as was said.

use slotflow_runtime::install::Installer;
use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::plan::Graph;
use slotflow_runtime::{Downstream, Owned, Result};

use crate::Stream;
use crate::keyed::KeyedStream;
use crate::window::WindowedStream;

/// A pipeline behind which windows are computed in one phase or in two; see [`WindowedStream::one_phase`] and
/// [`WindowedStream::two_phases`].
pub struct Phases<P, const PHASES: u8>(pub(super) P);

impl<P: Pipe, const PHASES: u8> Pipe for Phases<P, PHASES> {
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
    /// Computes windows where their records come together, and nothing in front of the exchange: for a
    /// [`reduce`](WindowedStream::reduce), which has [two phases](WindowedStream::two_phases) by itself where they pay.
    /// So its closure is called behind the exchange only, and for one record after the other: sums of fractions, say,
    /// which depend on what is added to what, do not depend on how many records came in one step.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// let sums = collect([("a", 1, 0.5), ("a", 5, 0.25)], |readings| {
    ///     let timed = readings.with_timestamps(|it| it.1, Watermarks::bounded_out_of_orderness(Duration::ZERO));
    ///     let windows = timed.key_by(|it| it.0).window(Tumbling::of(Duration::from_secs(1))).one_phase();
    ///     windows.reduce(|a, b| (a.0, a.1, a.2 + b.2)).map(|window| window.value.2)
    /// })?;
    /// assert_eq!(sums, [0.75]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn one_phase(self) -> WindowedStream<'env, Phases<P, 1>, S, W> {
        self.in_phases()
    }

    /// Aggregates in two phases: Flink's local-global aggregation, for tumbling and sliding windows in event time
    /// directly behind a [`key_by`](Stream::key_by).
    ///
    /// Records of one key and pane that meet within a step are combined where they come from, and cross the exchange
    /// as the first of them and one accumulator, which must be `Send`. That adds no latency and changes no result:
    /// what is combined goes out with its step, in front of the next watermark. It pays where keys are few or some
    /// are hot: one subtask is no longer asked for each record of a hot key. Where it does not halve what crosses it
    /// stops by itself, and looks again now and then; but records take more room on their way, so where keys are many
    /// it costs more than it is worth (PERF.md, two phases), and is for the user to say.
    ///
    /// With [`allowed_lateness`](WindowedStream::allowed_lateness), a subtask whose sources have been idle once
    /// combines nothing any more; by default a second of silence is enough. While it was idle time may have gone on
    /// behind the exchange, nobody tells it how far, and each late record has to arrive by itself, as its window
    /// fires again for it. Where that matters, say [`never_idle`](crate::Watermarks::never_idle), or with
    /// [`idle_after`](crate::Watermarks::idle_after) a silence that is rare.
    ///
    /// A [`reduce`](WindowedStream::reduce) has two phases by itself, in a form that costs next to nothing where it
    /// does not pay; asked for, it has this one, which goes on behind idle sources and is for records that own
    /// memory, too.
    ///
    /// [`aggregate_split`](WindowedStream::aggregate_split), which keeps late records, `process`, triggers and
    /// windows of other kinds have one phase always.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// let clicks = [("home", 1), ("home", 5), ("about", 6), ("home", 7)];
    /// let mut counts = collect(clicks, |clicks| {
    ///     let timed = clicks.with_timestamps(|click| click.1, Watermarks::bounded_out_of_orderness(Duration::ZERO));
    ///     let ones = timed.map(|(page, _)| (page, 1));
    ///     let windows = ones.key_by(|one| one.0).window(Tumbling::of(Duration::from_secs(1)));
    ///     windows.two_phases().reduce(|a, b| (a.0, a.1 + b.1)).map(|window| window.value)
    /// })?;
    /// counts.sort();
    /// assert_eq!(counts, [("about", 1), ("home", 3)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn two_phases(self) -> WindowedStream<'env, Phases<P, 2>, S, W> {
        self.in_phases()
    }

    fn in_phases<const PHASES: u8>(self) -> WindowedStream<'env, Phases<P, PHASES>, S, W> {
        let WindowedStream { keyed, windows, lateness_ms, parallelism } = self;
        let KeyedStream { stream, selector, assigner } = keyed;
        let Stream { env, last, open_edge, pipe } = stream;
        let stream = Stream { env, last, open_edge, pipe: Phases(pipe) };
        let keyed = KeyedStream { stream, selector, assigner };
        WindowedStream { keyed, windows, lateness_ms, parallelism }
    }
}
