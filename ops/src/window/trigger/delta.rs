//! Fires when a record differs by much from the one that it last fired with.

use slotflow_runtime::{Error, Result};

use super::{MergingTrigger, Trigger, TriggerContext, TriggerResult};

/// Fires with a record that differs by more than a threshold from the one that it last fired with, or, before that,
/// from the window's first: Flink's `DeltaTrigger`. A closure tells the difference, of that record first and of the new
/// one second.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// use slotflow::DeltaTrigger;
///
/// let metres = [0, 40, 120, 130, 230];
/// let each_hundred = DeltaTrigger::of(100.0, |last: &i32, now: &i32| f64::from(now - last));
/// let laps = collect(metres, |metres| {
///     let windows = metres.key_by(|_| 0).window(Global).trigger(PurgingTrigger::of(each_hundred));
///     windows.process(|it| it.value)
/// })?;
/// assert_eq!(laps, [vec![0, 40, 120], vec![130, 230]]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DeltaTrigger<D> {
    threshold: f64,
    delta: D,
}

impl<D> DeltaTrigger<D> {
    /// Fires with a difference of more than `threshold`, and with one that is no number; a threshold that is none is an
    /// error of the start.
    pub fn of<T>(threshold: f64, delta: D) -> DeltaTrigger<D>
    where
        D: FnMut(&T, &T) -> f64,
    {
        DeltaTrigger { threshold, delta }
    }
}

impl<T, D> Trigger<T> for DeltaTrigger<D>
where
    T: Clone + PartialEq + 'static,
    D: FnMut(&T, &T) -> f64 + Clone + Send + 'static,
{
    /// The record that it last fired with, or the window's first.
    type State = Option<T>;

    fn on_record(&mut self, record: &T, last: &mut Option<T>, _: &mut TriggerContext<'_>) -> TriggerResult {
        let known = last.get_or_insert_with(|| record.clone());
        if (self.delta)(known, record) <= self.threshold {
            return TriggerResult::Continue;
        }
        known.clone_from(record);
        TriggerResult::Fire
    }

    fn check(&self) -> Result<()> {
        if self.threshold.is_nan() {
            return Err(Error::user(
                "a DeltaTrigger with a threshold of NaN fires always: it must be a number",
            ));
        }
        Ok(())
    }
}

impl<T, D> MergingTrigger<T> for DeltaTrigger<D>
where
    T: Clone + PartialEq + 'static,
    D: FnMut(&T, &T) -> f64 + Clone + Send + 'static,
{
    /// The session that begins first has the say.
    fn on_merge(&mut self, last: &mut Option<T>, other: Option<T>, _: &mut TriggerContext<'_>) {
        *last = last.take().or(other);
    }
}
