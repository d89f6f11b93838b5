//! Forgets the records at each firing.

use slotflow_runtime::{Result, Timestamp};

use super::{MergingTrigger, Trigger, TriggerContext, TriggerResult};

/// Fires when another trigger does, and forgets the window's records then: Flink's `PurgingTrigger`. So each record
/// is in one firing, and a firing tells what is new since the last one (Beam's discarding); without it, each firing
/// has everything so far (accumulating).
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// let each_two = PurgingTrigger::of(CountTrigger::of(2));
/// let sums = collect(1..=5, |numbers| {
///     numbers.key_by(|_| 0).window(Global).trigger(each_two).reduce(|a, b| a + b).map(|it| it.value)
/// })?;
/// assert_eq!(sums, [3, 7]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PurgingTrigger<G>(G);

impl<G> PurgingTrigger<G> {
    /// Purges whenever `inner` fires.
    pub fn of(inner: G) -> PurgingTrigger<G> {
        PurgingTrigger(inner)
    }
}

/// What fires purges.
fn purging(result: TriggerResult) -> TriggerResult {
    if result.fires() { TriggerResult::FireAndPurge } else { result }
}

impl<T, G: Trigger<T>> Trigger<T> for PurgingTrigger<G> {
    type State = G::State;

    fn on_record(&mut self, record: &T, state: &mut G::State, ctx: &mut TriggerContext<'_>) -> TriggerResult {
        purging(self.0.on_record(record, state, ctx))
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        state: &mut G::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        purging(self.0.on_event_time(time, state, ctx))
    }

    fn on_processing_time(
        &mut self,
        time: Timestamp,
        state: &mut G::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        purging(self.0.on_processing_time(time, state, ctx))
    }

    fn on_purge(&mut self, state: &mut G::State, ctx: &mut TriggerContext<'_>) {
        self.0.on_purge(state, ctx);
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }
}

impl<T, G: MergingTrigger<T>> MergingTrigger<T> for PurgingTrigger<G> {
    fn on_merge(&mut self, state: &mut G::State, other: G::State, ctx: &mut TriggerContext<'_>) {
        self.0.on_merge(state, other, ctx);
    }
}
