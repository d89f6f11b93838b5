//! A pipeline behind which windows are computed in one phase, whatever they are.

use slotflow_runtime::install::Installer;
use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::plan::Graph;
use slotflow_runtime::{Downstream, Owned, Result};

use crate::window::WindowedStream;

/// A pipeline behind which windows are computed in one phase; see [`WindowedStream::one_phase`].
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
    pub fn one_phase(self) -> WindowedStream<'env, OnePhase<P>, S, W> {
        self.behind(OnePhase)
    }
}
