//! Fires when event time has passed the window's end.

use slotflow_runtime::Timestamp;

use super::{MergingTrigger, Trigger, TriggerContext, TriggerResult};

/// Fires once the watermark has passed the window's end, and again with each record that comes after that: Flink's
/// `EventTimeTrigger`. The default one of windows in event time; a [`Global`](crate::Global) window fires by it at
/// the true end of the input.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// let all = collect([1, 2, 3], |numbers| {
///     numbers.key_by(|_| 0).window(Global).trigger(EventTimeTrigger).reduce(|a, b| a + b).map(|it| it.value)
/// })?;
/// assert_eq!(all, [6]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EventTimeTrigger;

impl<T> Trigger<T> for EventTimeTrigger {
    type State = ();

    fn on_record(&mut self, _: &T, (): &mut (), ctx: &mut TriggerContext<'_>) -> TriggerResult {
        if ctx.max_timestamp() <= ctx.watermark() {
            return TriggerResult::Fire;
        }
        ctx.register_event_time_timer(ctx.max_timestamp());
        TriggerResult::Continue
    }

    fn on_event_time(&mut self, time: Timestamp, (): &mut (), ctx: &mut TriggerContext<'_>) -> TriggerResult {
        if time == ctx.max_timestamp() { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn on_purge(&mut self, (): &mut (), ctx: &mut TriggerContext<'_>) {
        ctx.delete_event_time_timer(ctx.max_timestamp());
    }
}

impl<T> MergingTrigger<T> for EventTimeTrigger {
    fn on_merge(&mut self, (): &mut (), (): (), ctx: &mut TriggerContext<'_>) {
        if ctx.max_timestamp() > ctx.watermark() {
            ctx.register_event_time_timer(ctx.max_timestamp());
        }
    }
}
