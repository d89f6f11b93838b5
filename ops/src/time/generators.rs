//! What watermarks are made of.

use std::marker::PhantomData;
use std::time::Duration;

use slotflow_runtime::{Family, MIN_TIMESTAMP, Owned, Timestamp};

/// Makes the watermarks of one split, or of one subtask in the middle of a stream: Flink's `WatermarkGenerator`.
///
/// Each split has a clone of its own, called by one subtask on its slot's thread. A watermark that goes back is
/// ignored, and the greatest there is, which is for the true end of the input alone, counts as the one before it.
///
/// ```
/// # use slotflow::prelude::*;
/// /// The third record from now is the first that may be late.
/// #[derive(Clone, Default)]
/// struct TwoBehind { last: [i64; 3] }
///
/// impl<F: Family> WatermarkGenerator<F> for TwoBehind {
///     fn on_record<'s>(&mut self, _: &F::Of<'s>, timestamp: i64) {
///         self.last = [self.last[1], self.last[2], timestamp];
///     }
///     fn periodic(&mut self, _processing_time: i64) -> i64 {
///         self.last[0]
///     }
/// }
///
/// let env = Environment::with(Config::default());
/// let numbers = env.source(from_iterator([10, 12, 11, 14]));
/// numbers.with_timestamps(|n| *n, Watermarks::custom(TwoBehind::default())).sink(callback(|_| ()));
/// env.run("custom")?;
/// # Ok::<(), Error>(())
/// ```
pub trait WatermarkGenerator<F: Family>: Clone + Send + 'static {
    /// Notes a record and its event time. Called for each.
    fn on_record<'s>(&mut self, record: &F::Of<'s>, timestamp: Timestamp);

    /// How far event time has come: no record to come is at or before this, or else it is late. Asked once a step
    /// behind new records, and as often as [`interval`](WatermarkGenerator::interval) says; `processing_time` is in
    /// milliseconds since the Unix epoch.
    fn periodic(&mut self, processing_time: Timestamp) -> Timestamp;

    /// How often it wants to be asked although nothing comes; never by default.
    fn interval(&self) -> Option<Duration> {
        None
    }
}

/// Records are late by no more than a bound. See [`Watermarks::bounded_out_of_orderness`](super::Watermarks).
#[derive(Clone, Debug)]
pub struct BoundedOutOfOrderness {
    bound_ms: i64,
    greatest: Timestamp,
}

impl BoundedOutOfOrderness {
    pub(super) fn new(bound: Duration) -> Self {
        let bound_ms = i64::try_from(bound.as_millis()).unwrap_or(i64::MAX);
        BoundedOutOfOrderness { bound_ms, greatest: MIN_TIMESTAMP }
    }
}

impl<F: Family> WatermarkGenerator<F> for BoundedOutOfOrderness {
    #[inline(always)]
    fn on_record<'s>(&mut self, _: &F::Of<'s>, timestamp: Timestamp) {
        self.greatest = self.greatest.max(timestamp);
    }

    fn periodic(&mut self, _: Timestamp) -> Timestamp {
        // Another record of the greatest time may come.
        self.greatest.saturating_sub(self.bound_ms).saturating_sub(1)
    }
}

/// Some records say how far time has come. See [`Watermarks::punctuated`](super::Watermarks).
pub struct Punctuated<T, C> {
    says: C,
    said: Timestamp,
    records: PhantomData<fn(T)>,
}

impl<T, C: Clone> Clone for Punctuated<T, C> {
    fn clone(&self) -> Self {
        Punctuated { says: self.says.clone(), said: self.said, records: PhantomData }
    }
}

impl<T, C> Punctuated<T, C> {
    pub(super) fn new(says: C) -> Self {
        Punctuated { says, said: MIN_TIMESTAMP, records: PhantomData }
    }
}

impl<T, C> WatermarkGenerator<Owned<T>> for Punctuated<T, C>
where
    T: 'static,
    C: FnMut(&T, Timestamp) -> Option<Timestamp> + Clone + Send + 'static,
{
    #[inline(always)]
    fn on_record(&mut self, record: &T, timestamp: Timestamp) {
        if let Some(watermark) = (self.says)(record, timestamp) {
            self.said = self.said.max(watermark);
        }
    }

    fn periodic(&mut self, _: Timestamp) -> Timestamp {
        self.said
    }
}

/// Time goes on by itself. See [`Stream::with_ingestion_time`](crate::Stream::with_ingestion_time).
#[derive(Clone, Debug)]
pub struct IngestionTime;

/// A window of ingestion time closes at most this late when nothing comes (a guess: ten times a second costs next to
/// nothing, and whoever needs it sooner has records that come more often).
const INGESTION_INTERVAL: Duration = Duration::from_millis(100);

impl<F: Family> WatermarkGenerator<F> for IngestionTime {
    #[inline(always)]
    fn on_record<'s>(&mut self, _: &F::Of<'s>, _: Timestamp) {}

    fn periodic(&mut self, processing_time: Timestamp) -> Timestamp {
        processing_time - 1
    }

    fn interval(&self) -> Option<Duration> {
        Some(INGESTION_INTERVAL)
    }
}
