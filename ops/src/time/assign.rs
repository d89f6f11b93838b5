//! Event time made in the middle of a stream.

use slotflow_runtime::pipe::{Pipe, ThenTimed};
use slotflow_runtime::plan::Role;
use slotflow_runtime::{AssignTime, Context, Family, MIN_TIMESTAMP, TimeSaid, Timestamp};

use super::{By, SplitTimes, TimestampAssigner, WatermarkGenerator, Watermarks};
use crate::Stream;
use crate::stream::lead_to;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Gives each record the event time that `timestamp` reads from it, in milliseconds since the Unix epoch, and
    /// makes watermarks for each subtask. What was known of event time in front is forgotten, but for its end and for
    /// idleness.
    ///
    /// Directly behind a source use [`with_timestamps`](Stream::with_timestamps): a subtask that reads two splits
    /// takes them for one here, and the slower one's records are late.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// use std::time::Duration;
    ///
    /// let env = Environment::with(Config::default());
    /// let lines = env.source(from_iterator(["7 10", "8 12", "9 11"]));
    /// let parsed = lines.filter_map(|line| line.split_once(' ')).map(|(value, at)| (value, at.parse().unwrap_or(0)));
    /// let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(2));
    /// parsed.assign_timestamps_and_watermarks(|(_, at)| *at, lag).sink(callback(|_| ()));
    /// env.run("parsed")?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn assign_timestamps_and_watermarks<C, G>(
        self,
        timestamp: C,
        watermarks: Watermarks<G>,
    ) -> Stream<'env, ThenTimed<P, Assigner<By<C>, G>>>
    where
        C: for<'r, 's> FnMut(&'r <P::Out as Family>::Of<'s>) -> Timestamp + Clone + Send + 'static,
        G: WatermarkGenerator<P::Out>,
    {
        let Stream { env, last, open_edge, pipe } = self;
        let (operator, edge) = lead_to(env, last, open_edge, "timestamps", Role::Operator);
        let assigner = Assigner::new(By(timestamp), SplitTimes::new::<P::Out>(&watermarks, 1));
        Stream::new(env, operator, ThenTimed { pipe, operator, edge, assigner })
    }
}

/// See [`Stream::assign_timestamps_and_watermarks`].
#[derive(Clone)]
pub struct Assigner<A, G> {
    timestamps: A,
    times: SplitTimes<G>,
    /// Records have come that nobody has been told of.
    fresh: bool,
    /// The input in front has become idle.
    silent: bool,
    /// What was said last.
    said: Timestamp,
    said_idle: bool,
    due_ns: u64,
}

impl<A, G> Assigner<A, G> {
    fn new(timestamps: A, times: SplitTimes<G>) -> Self {
        let (fresh, silent, said_idle) = (false, false, false);
        Assigner { timestamps, times, fresh, silent, said: MIN_TIMESTAMP, said_idle, due_ns: 0 }
    }

    /// What those behind do not know yet.
    fn news(&mut self) -> Option<TimeSaid> {
        let (reached, idle) = (self.times.reached(), self.times.is_idle());
        if reached > self.said {
            (self.said, self.said_idle) = (reached, false);
            return Some(TimeSaid::Watermark(reached));
        }
        if idle == self.said_idle {
            return None;
        }
        self.said_idle = idle;
        Some(if idle { TimeSaid::Idle } else { TimeSaid::Watermark(self.said) })
    }
}

impl<F, A, G> AssignTime<F> for Assigner<A, G>
where
    F: Family,
    A: TimestampAssigner<F>,
    G: WatermarkGenerator<F>,
{
    #[inline(always)]
    fn assign<'s>(&mut self, record: &F::Of<'s>, ctx: &Context<'s>) -> Timestamp {
        let timestamp = self.timestamps.timestamp(record, ctx);
        self.times.on_record::<F>(0, record, timestamp);
        self.fresh = true;
        timestamp
    }

    fn input_is_idle(&mut self) {
        self.silent = true;
    }

    fn said(&mut self, ctx: &Context<'_>) -> Option<TimeSaid> {
        if std::mem::take(&mut self.fresh) {
            self.times.settle::<F>(0, ctx);
        }
        if std::mem::take(&mut self.silent) {
            self.times.all_idle();
        }
        // Nobody knows of records that are still on their way to here.
        self.times.look::<F>(ctx, |_| false);
        let news = self.news();
        self.due_ns = if news.is_some() { 0 } else { self.times.due_ns(ctx) };
        news
    }

    #[inline]
    fn due_ns(&self) -> u64 {
        if self.fresh || self.silent { 0 } else { self.due_ns }
    }
}
