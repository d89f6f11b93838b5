//! Windows of a whole stream, without a key.

use slotflow_runtime::Owned;
use slotflow_runtime::edge::partition::AsPlanned;
use slotflow_runtime::pipe::{Cut, Pipe};

use super::{CountWindowed, WindowedStream, Windows};
use crate::Stream;
use crate::keyed::{Assigner, KeySelector, KeyedStream};

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// Groups all records by windows, of whatever key: Flink's `windowAll`. They meet at one subtask, so this is
    /// for streams that one core can take, such as the results of windows by key. The key of each
    /// [`WindowResult`](super::WindowResult) is `()`.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// # use std::time::Duration;
    /// let readings = [("a", 1), ("b", 3), ("a", 12), ("c", 4)];
    /// let counts = collect(readings, |readings| {
    ///     let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(10));
    ///     let timed = readings.with_timestamps(|reading| reading.1, lag);
    ///     let windows = timed.window_all(Tumbling::of(Duration::from_millis(10)));
    ///     windows.process(|window| (window.start, window.value.len()))
    /// })?;
    /// assert_eq!(counts, [(0, 3), (10, 1)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn window_all<W: Windows<P::Time>>(self, windows: W) -> AllWindowed<'env, P, W> {
        WindowedStream { keyed: self.whole(), windows, lateness_ms: 0, parallelism: Some(1) }
    }

    /// Groups all records by so many in a row, of whatever key: Flink's `countWindowAll`. As
    /// [`window_all`](Stream::window_all) at one subtask, and as [`count_window`](KeyedStream::count_window)
    /// otherwise; the key of each result is `()`.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let sums = collect(1..=7, |numbers| numbers.count_window_all(3).reduce(|a, b| a + b))?;
    /// assert_eq!(sums, [((), 6), ((), 15)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn count_window_all(self, size: u64) -> CountWindowed<'env, Cut<P, AsPlanned>, Whole> {
        CountWindowed { keyed: self.whole(), size, parallelism: Some(1) }
    }

    /// All records under one key, at one subtask.
    fn whole(self) -> KeyedStream<'env, Cut<P, AsPlanned>, Whole> {
        KeyedStream { stream: self.global(), selector: Whole, assigner: Assigner::Hash }
    }
}

/// What [`Stream::window_all`] gives.
pub type AllWindowed<'env, P, W> = WindowedStream<'env, Cut<P, AsPlanned>, Whole, W>;

/// One key for all records.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

impl<T> KeySelector<T> for Whole {
    type Key<'r> = ();
    type Stored = ();
    type Assigned = crate::keyed::ByHash;

    #[inline(always)]
    fn key(&mut self, _: &T) {}
    #[inline(always)]
    fn same(_: &(), (): &()) -> bool {
        true
    }
    #[inline(always)]
    fn store((): ()) {}
}
