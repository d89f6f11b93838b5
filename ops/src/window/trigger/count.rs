//! Fires at every so-manieth record.

use slotflow_runtime::{Error, Result};

use super::{MergingTrigger, Trigger, TriggerContext, TriggerResult};

/// Fires once a window has got so many records since it last fired by this: Flink's `CountTrigger`. It knows no end:
/// what comes after the last firing of a window is not given.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// let sums = collect(1..=5, |numbers| {
///     numbers.key_by(|_| 0).window(Global).trigger(CountTrigger::of(2)).reduce(|a, b| a + b).map(|it| it.value)
/// })?;
/// assert_eq!(sums, [3, 10]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CountTrigger(u64);

impl CountTrigger {
    /// Fires at every `count`-th record; a count of 0 is an error of the start.
    pub fn of(count: u64) -> CountTrigger {
        CountTrigger(count)
    }
}

impl<T> Trigger<T> for CountTrigger {
    type State = u64;

    fn on_record(&mut self, _: &T, count: &mut u64, _: &mut TriggerContext<'_>) -> TriggerResult {
        *count += 1;
        if *count < self.0 {
            return TriggerResult::Continue;
        }
        *count = 0;
        TriggerResult::Fire
    }

    fn check(&self) -> Result<()> {
        if self.0 > 0 {
            return Ok(());
        }
        Err(Error::user(
            "a trigger that counts to 0 fires before there is a record: the count must be 1 or more",
        ))
    }
}

impl<T> MergingTrigger<T> for CountTrigger {
    fn on_merge(&mut self, count: &mut u64, other: u64, _: &mut TriggerContext<'_>) {
        *count += other;
    }
}
