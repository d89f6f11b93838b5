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
/// # use slotflow::prelude::*;
/// # use std::time::Duration;
/// let ms = Duration::from_millis;
/// let (env, seen) = (Environment::with(Config::default()), Collected::new());
/// // One by one, with a watermark behind each.
/// let times = env.source(generate(4, |n| [1, 12, 13, 25][n as usize]).rate(100));
/// let timed = times.with_timestamps(|time| *time, Watermarks::monotonous());
/// let windows = timed.key_by(|_| 0).window(Tumbling::of(ms(20))).trigger(ContinuousEventTimeTrigger::of(ms(10)));
/// windows.process(|it| (it.timing, it.value)).sink(seen.sink());
/// env.simulate("each 10 ms", 1)?;
/// let first = [(Timing::Early, vec![1, 12]), (Timing::OnTime, vec![1, 12, 13])];
/// assert_eq!(seen.take()[..2], first);
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

    fn on_purge(&mut self, next: &mut Self::State, ctx: &mut TriggerContext<'_>) {
        for time in next.take().into_iter().chain([ctx.max_timestamp()]) {
            ctx.delete_event_time_timer(time);
        }
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
/// # use slotflow::prelude::*;
/// # use std::time::Duration;
/// let (env, seen) = (Environment::with(Config::default()), Collected::new());
/// let news = PurgingTrigger::of(ContinuousProcessingTimeTrigger::of(Duration::from_millis(25)));
/// // A record each 10 ms, of the clock of a simulation.
/// let numbers = env.source(generate(5, |n| n).rate(100)).key_by(|_| 0);
/// numbers.window(Global).trigger(news).process(|it| it.value).sink(seen.sink());
/// env.simulate("each 25 ms", 1)?;
/// assert_eq!(seen.take(), [vec![0, 1, 2], vec![3, 4]]);
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

    fn on_purge(&mut self, next: &mut Self::State, ctx: &mut TriggerContext<'_>) {
        next.take().into_iter().for_each(|time| {
            ctx.delete_processing_time_timer(time);
        });
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
