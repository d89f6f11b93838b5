//! The strategy by which watermarks are made, in Flink's words.

use std::time::Duration;

use slotflow_runtime::Timestamp;

use super::generators::{BoundedOutOfOrderness, IngestionTime, Punctuated};

/// A split that gave nothing for so long holds nobody up, unless it is said otherwise (a guess: longer than a source
/// in the process or a broker nearby pauses, short enough not to be taken for a standstill).
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// How watermarks are made: Flink's `WatermarkStrategy`.
///
/// Given to [`Stream::with_timestamps`](crate::Stream::with_timestamps), where each split of the source has
/// watermarks of its own, or to
/// [`Stream::assign_timestamps_and_watermarks`](crate::Stream::assign_timestamps_and_watermarks). A watermark `t`
/// says that no record at or before `t` will come any more; one that does is late. It goes out once a step, behind
/// the records it was made of.
///
/// Idleness is on: what gave nothing for a second holds up nobody's event time, until it gives something again; see
/// [`idle_after`](Watermarks::idle_after).
#[derive(Clone, Debug)]
pub struct Watermarks<G> {
    pub(super) generator: G,
    pub(super) idle_after: Option<Duration>,
}

impl Watermarks<()> {
    /// Event time never goes back within a split: a record is late if it is before another one of its split.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let times = env.source(from_iterator([1, 2, 2, 5]));
    /// times.with_timestamps(|time| *time, Watermarks::monotonous()).sink(callback(|_| ()));
    /// env.run("monotonous")?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn monotonous() -> Watermarks<BoundedOutOfOrderness> {
        Watermarks::bounded_out_of_orderness(Duration::ZERO)
    }

    /// A record may be up to `bound` before the latest one of its split, in whole milliseconds: the watermark is
    /// the greatest event time so far, less the bound and one millisecond.
    pub fn bounded_out_of_orderness(bound: Duration) -> Watermarks<BoundedOutOfOrderness> {
        Watermarks::custom(BoundedOutOfOrderness::new(bound))
    }

    /// Watermarks as records say them: for each record `says` may give one, from the record and its event time.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// // A record of 0 closes everything up to its time.
    /// let watermarks = Watermarks::punctuated(|(value, _): &(u32, i64), at| (*value == 0).then_some(at));
    /// let env = Environment::with(Config::default());
    /// let readings = env.source(from_iterator([(7, 12), (8, 11), (0, 12), (9, 15)]));
    /// readings.with_timestamps(|(_, at)| *at, watermarks).sink(callback(|_| ()));
    /// env.run("punctuated")?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn punctuated<T, C>(says: C) -> Watermarks<Punctuated<T, C>>
    where
        T: 'static,
        C: FnMut(&T, Timestamp) -> Option<Timestamp> + Clone + Send + 'static,
    {
        Watermarks::custom(Punctuated::new(says))
    }

    /// Watermarks of a [`WatermarkGenerator`](super::WatermarkGenerator) of your own.
    pub fn custom<G>(generator: G) -> Watermarks<G> {
        Watermarks { generator, idle_after: Some(IDLE_AFTER) }
    }

    /// Event time is the clock of this host, so it goes on by itself and nothing is idle.
    pub(super) fn ingestion_time() -> Watermarks<IngestionTime> {
        Watermarks::custom(IngestionTime).never_idle()
    }
}

impl<G> Watermarks<G> {
    /// How long a split must have given nothing until it counts as idle (default 1 s). The time in which its subtask
    /// had no room and could not ask does not count; nor does a split that is behind, as far as the source knows
    /// ([`SourceReader::is_behind`](slotflow_runtime::SourceReader::is_behind)): an outage is not idleness. What an
    /// idle split gives later than that is late if others have gone on.
    #[must_use]
    pub fn idle_after(self, silence: Duration) -> Watermarks<G> {
        Watermarks { idle_after: Some(silence), ..self }
    }

    /// A split that gives nothing holds event time up for as long as it takes.
    #[must_use]
    pub fn never_idle(self) -> Watermarks<G> {
        Watermarks { idle_after: None, ..self }
    }

    pub(super) fn idle_after_ns(&self) -> u64 {
        self.idle_after.map_or(u64::MAX, |silence| u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX))
    }
}
