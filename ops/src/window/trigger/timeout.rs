//! Fires when a window has waited for too long.

use std::time::Duration;

use slotflow_runtime::{Error, MAX_TIMESTAMP, Result, Timestamp};

use super::super::shape::milliseconds;
use super::{MergingTrigger, Trigger, TriggerContext, TriggerResult};

/// Fires when another trigger does, and when a timeout has passed, in processing time, since the first record that no
/// firing has had: Flink's `ProcessingTimeoutTrigger`. The other trigger then begins anew, so that one by count counts
/// from there.
///
/// ```
/// # use slotflow::prelude::*;
/// # use slotflow::ProcessingTimeoutTrigger;
/// # use std::time::Duration;
/// let (env, seen) = (Environment::with(Config::default()), Collected::new());
/// let batches = ProcessingTimeoutTrigger::of(Duration::from_millis(25), CountTrigger::of(4));
/// // A record each 10 ms, of the clock of a simulation.
/// let numbers = env.source(generate(5, |n| n).rate(100)).key_by(|_| 0);
/// numbers.window(Global).trigger(PurgingTrigger::of(batches)).process(|it| it.value).sink(seen.sink());
/// env.simulate("batches", 1)?;
/// assert_eq!(seen.take(), [vec![0, 1, 2], vec![3, 4]]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ProcessingTimeoutTrigger<G> {
    timeout_ms: Timestamp,
    inner: G,
    since: Since,
}

/// Since when the timeout runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Since {
    FirstRecord,
    LastRecord,
}

impl<G> ProcessingTimeoutTrigger<G> {
    /// Fires with `inner`, and after this timeout, in whole milliseconds; 0 is an error of the start.
    pub fn of(timeout: Duration, inner: G) -> ProcessingTimeoutTrigger<G> {
        ProcessingTimeoutTrigger { timeout_ms: milliseconds(timeout), inner, since: Since::FirstRecord }
    }

    /// Each record puts the timeout off: it fires when nothing has come for so long.
    pub fn since_last_record(self) -> ProcessingTimeoutTrigger<G> {
        ProcessingTimeoutTrigger { since: Since::LastRecord, ..self }
    }
}

/// What [`ProcessingTimeoutTrigger`] remembers.
#[derive(Debug, Default, PartialEq)]
pub struct Timeout<X> {
    inner: X,
    /// When it fires, if nothing has before.
    due: Option<Timestamp>,
    /// Its timer, which waits for an earlier time where records have put it off, and then goes on to the new one: so
    /// there is one, however many records come. The inner trigger may have registered the same, so it is not deleted.
    alarm: Option<Timestamp>,
}

impl<X> Timeout<X> {
    /// What the inner trigger says; nothing waits once it has fired.
    fn told(&mut self, result: TriggerResult) -> TriggerResult {
        self.due = self.due.filter(|_| !result.fires());
        result
    }

    fn wait(&mut self, until: Timestamp, ctx: &mut TriggerContext<'_>) {
        self.due = Some(until);
        if self.alarm.is_none_or(|alarm| alarm > until) {
            self.alarm = Some(until);
            ctx.register_processing_time_timer(until);
        }
    }

    /// The timer is due. Nobody waits for a time behind the end of the input.
    fn look(&mut self, time: Timestamp, ctx: &mut TriggerContext<'_>) -> TriggerResult
    where
        X: Default,
    {
        self.alarm = None;
        match self.due {
            None => TriggerResult::Continue,
            Some(due) if due > time && ctx.watermark() < MAX_TIMESTAMP => {
                self.wait(due, ctx);
                TriggerResult::Continue
            }
            Some(_) => {
                *self = Timeout::default();
                TriggerResult::Fire
            }
        }
    }
}

impl<T, G: Trigger<T>> Trigger<T> for ProcessingTimeoutTrigger<G> {
    type State = Timeout<G::State>;

    fn on_record(
        &mut self,
        record: &T,
        state: &mut Self::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let result = self.inner.on_record(record, &mut state.inner, ctx);
        if state.told(result).fires() {
            return result;
        }
        if state.due.is_none() || self.since == Since::LastRecord {
            state.wait(ctx.processing_time() + self.timeout_ms, ctx);
        }
        result
    }

    fn on_event_time(
        &mut self,
        time: Timestamp,
        state: &mut Self::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let result = self.inner.on_event_time(time, &mut state.inner, ctx);
        state.told(result)
    }

    fn on_processing_time(
        &mut self,
        time: Timestamp,
        state: &mut Self::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let result = self.inner.on_processing_time(time, &mut state.inner, ctx);
        let result = state.told(result);
        if state.alarm == Some(time) { result.and(state.look(time, ctx)) } else { result }
    }

    fn on_purge(&mut self, state: &mut Self::State, ctx: &mut TriggerContext<'_>) {
        state.due = None;
        self.inner.on_purge(&mut state.inner, ctx);
        // The inner trigger may have deleted its own for the same time.
        state.alarm.into_iter().for_each(|alarm| {
            ctx.register_processing_time_timer(alarm);
        });
    }

    fn check(&self) -> Result<()> {
        if self.timeout_ms == 0 {
            return Err(Error::user(
                "a timeout of 0 ms is over before it begins: it must be a millisecond or more",
            ));
        }
        self.inner.check()
    }
}

impl<T, G: MergingTrigger<T>> MergingTrigger<T> for ProcessingTimeoutTrigger<G> {
    fn on_merge(&mut self, state: &mut Self::State, other: Self::State, ctx: &mut TriggerContext<'_>) {
        self.inner.on_merge(&mut state.inner, other.inner, ctx);
        // The inner trigger may have deleted its own for the same time.
        state.alarm = None;
        let dues = [state.due, other.due].into_iter().flatten();
        let due = if self.since == Since::FirstRecord { dues.min() } else { dues.max() };
        due.into_iter().for_each(|due| state.wait(due, ctx));
    }
}
