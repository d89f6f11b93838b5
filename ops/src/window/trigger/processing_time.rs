//! Fires when the host's clock has reached the window's end.

use slotflow_runtime::Timestamp;

use super::{MergingTrigger, Trigger, TriggerContext, TriggerResult};

/// Fires once the host's clock has reached the window's end: Flink's `ProcessingTimeTrigger`. The default one of
/// windows in processing time. A window in event time whose end the clock has passed already fires a step later.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// # use std::time::Duration;
/// let hours = Tumbling::of(Duration::from_secs(3600)).in_processing_time();
/// let sums = collect(1..=4u64, |numbers| {
///     numbers.key_by(|_| 0).window(hours).trigger(ProcessingTimeTrigger).reduce(|a, b| a + b).map(|it| it.value)
/// })?;
/// assert_eq!(sums.iter().sum::<u64>(), 10);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessingTimeTrigger;

impl<T> Trigger<T> for ProcessingTimeTrigger {
    type State = ();

    fn on_record(&mut self, _: &T, (): &mut (), ctx: &mut TriggerContext<'_>) -> TriggerResult {
        ctx.register_processing_time_timer(ctx.end());
        TriggerResult::Continue
    }

    fn on_processing_time(
        &mut self,
        time: Timestamp,
        (): &mut (),
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if time == ctx.end() { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn on_purge(&mut self, (): &mut (), ctx: &mut TriggerContext<'_>) {
        ctx.delete_processing_time_timer(ctx.end());
    }
}

impl<T> MergingTrigger<T> for ProcessingTimeTrigger {
    fn on_merge(&mut self, (): &mut (), (): (), ctx: &mut TriggerContext<'_>) {
        ctx.register_processing_time_timer(ctx.end());
    }
}
