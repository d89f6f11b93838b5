//! Fires again and again, at times that are multiples of an interval.

use std::time::Duration;

use slotflow_runtime::{Error, Result, Timestamp};

use super::super::shape::milliseconds;
use super::{MergingTrigger, Trigger, TriggerContext, TriggerResult};
use crate::state::TimeDomain;

/// Fires whenever the watermark has reached a multiple of an interval, and once it has passed the window's end: Flink's
/// `ContinuousEventTimeTrigger`. A window fires then whether it has got something new or not;
/// [`EarlyTrigger`](super::EarlyTrigger) fires only if it has. A watermark that passes many multiples fires once:
/// nothing has come between them, and one wrong record that moves time by centuries is no flood.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// # use std::time::Duration;
/// let ms = Duration::from_millis;
/// let counts = collect([1, 12, 13, 25], |times| {
///     let windows = times.with_timestamps(|time| *time, Watermarks::monotonous()).window_all(Tumbling::of(ms(20)));
///     windows.trigger(ContinuousEventTimeTrigger::of(ms(10))).process(|it| (it.start, it.value.len()))
/// })?;
/// assert_eq!(counts.last(), Some(&(20, 1)));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ContinuousEventTimeTrigger {
    every_ms: Timestamp,
}

impl ContinuousEventTimeTrigger {
    /// Fires every so often, in whole milliseconds of event time; 0 is an error of the start.
    pub fn of(every: Duration) -> Self {
        ContinuousEventTimeTrigger { every_ms: milliseconds(every) }
    }
}

impl<T> Trigger<T> for ContinuousEventTimeTrigger {
    /// When it fires next.
    type State = Option<Timestamp>;

    fn on_record(&mut self, _: &T, next: &mut Self::State, ctx: &mut TriggerContext<'_>) -> TriggerResult {
        if ctx.max_timestamp() <= ctx.watermark() {
            return TriggerResult::Fire;
        }
        ctx.register_event_time_timer(ctx.max_timestamp());
        if next.is_none() {
            let first = multiple_after(ctx.timestamp(), self.every_ms).min(ctx.max_timestamp());
            ctx.register_event_time_timer(*next.insert(first));
        }
        TriggerResult::Continue
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        next: &mut Self::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if time == ctx.max_timestamp() {
            *next = None;
            return TriggerResult::Fire;
        }
        if *next != Some(time) {
            return TriggerResult::Continue;
        }
        let following = multiple_after(time.max(ctx.watermark()), self.every_ms).min(ctx.max_timestamp());
        ctx.register_event_time_timer(*next.insert(following));
        TriggerResult::Fire
    }

    fn check(&self) -> Result<()> {
        is_an_interval(self.every_ms)
    }
}

impl<T> MergingTrigger<T> for ContinuousEventTimeTrigger {
    fn on_merge(&mut self, next: &mut Self::State, other: Self::State, ctx: &mut TriggerContext<'_>) {
        next.iter().for_each(|known| {
            ctx.delete_event_time_timer(*known);
        });
        *next = earlier(*next, other);
        let ends = Some(ctx.max_timestamp()).filter(|end| *end > ctx.watermark());
        next.iter().chain(&ends).for_each(|time| {
            ctx.register_event_time_timer(*time);
        });
    }
}

/// Fires whenever the host's clock has reached a multiple of an interval, and, in windows in processing time, at their
/// end: Flink's `ContinuousProcessingTimeTrigger`. A window in event time does not fire at its end by this, and what
/// came after the last firing is not given; use [`EarlyTrigger`](super::EarlyTrigger) there.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// # use std::time::Duration;
/// let hourly = PurgingTrigger::of(ContinuousProcessingTimeTrigger::of(Duration::from_secs(3600)));
/// let sums = collect(1..=4, |numbers| {
///     numbers.key_by(|_| 0).window(Global).trigger(hourly).reduce(|a, b| a + b).map(|it| it.value)
/// })?;
/// assert_eq!(sums.iter().sum::<i32>(), 10);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ContinuousProcessingTimeTrigger {
    every_ms: Timestamp,
}

impl ContinuousProcessingTimeTrigger {
    /// Fires every so often, in whole milliseconds of processing time; 0 is an error of the start.
    pub fn of(every: Duration) -> Self {
        ContinuousProcessingTimeTrigger { every_ms: milliseconds(every) }
    }

    /// Waits for the next firing after `time`; the window's end is one, if the clock comes to it before.
    fn wait(&self, time: Timestamp, next: &mut Option<Timestamp>, ctx: &mut TriggerContext<'_>) {
        let mut following = multiple_after(time, self.every_ms);
        if ctx.time_domain() == TimeDomain::ProcessingTime && time < ctx.end() {
            following = following.min(ctx.end());
        }
        ctx.register_processing_time_timer(*next.insert(following));
    }
}

impl<T> Trigger<T> for ContinuousProcessingTimeTrigger {
    /// When it fires next.
    type State = Option<Timestamp>;

    fn on_record(&mut self, _: &T, next: &mut Self::State, ctx: &mut TriggerContext<'_>) -> TriggerResult {
        if next.is_none() {
            self.wait(ctx.processing_time(), next, ctx);
        }
        TriggerResult::Continue
    }

    /// Where the clock is far ahead, as behind backpressure, it does not fire for each interval that was missed.
    fn on_processing_time(
        &mut self,
        time: Timestamp,
        next: &mut Self::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if *next != Some(time) {
            return TriggerResult::Continue;
        }
        self.wait(time.max(ctx.processing_time()), next, ctx);
        TriggerResult::Fire
    }

    fn check(&self) -> Result<()> {
        is_an_interval(self.every_ms)
    }
}

impl<T> MergingTrigger<T> for ContinuousProcessingTimeTrigger {
    fn on_merge(&mut self, next: &mut Self::State, other: Self::State, ctx: &mut TriggerContext<'_>) {
        next.iter().for_each(|known| {
            ctx.delete_processing_time_timer(*known);
        });
        *next = earlier(*next, other);
        next.iter().for_each(|next| {
            ctx.register_processing_time_timer(*next);
        });
    }
}

/// The first multiple of an interval behind a time.
fn multiple_after(time: Timestamp, every_ms: Timestamp) -> Timestamp {
    time.saturating_sub(time.rem_euclid(every_ms)).saturating_add(every_ms)
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}

fn is_an_interval(every_ms: Timestamp) -> Result<()> {
    if every_ms > 0 {
        return Ok(());
    }
    Err(Error::user("a trigger that fires every 0 ms never ends: the interval must be a millisecond or more"))
}
