//! Early results: a window fires before its end, too.

use std::time::Duration;

use slotflow_runtime::{Error, Result, Timestamp};

use super::super::shape::milliseconds;
use super::{MergingTrigger, Trigger, TriggerContext, TriggerResult};

/// Fires when another trigger does, and besides so long after the first record that no firing has had: Beam's early
/// firings. What [`early`](crate::WindowedStream::early) is made of.
///
/// A window that gets nothing new is silent, so there are at most as many early results as there are records, and
/// at most one in each interval. The time is processing time.
///
/// ```
/// # use slotflow::prelude::*;
/// # use std::time::Duration;
/// let (env, seen) = (Environment::with(Config::default()), Collected::new());
/// let early = EarlyTrigger::every(Duration::from_millis(25), EventTimeTrigger);
/// // A record each 10 ms, of the clock of a simulation.
/// let numbers = env.source(generate(4, |n| n).rate(100)).key_by(|_| 0);
/// numbers.window(Global).trigger(early).process(|it| (it.timing, it.value)).sink(seen.sink());
/// env.simulate("early", 1)?;
/// assert_eq!(seen.take(), [(Timing::Early, vec![0, 1, 2]), (Timing::OnTime, vec![0, 1, 2, 3])]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EarlyTrigger<G> {
    every_ms: Timestamp,
    inner: G,
}

impl<G> EarlyTrigger<G> {
    /// Fires with `inner`, and `every` so often besides, in whole milliseconds; 0 is an error of the start.
    pub fn every(every: Duration, inner: G) -> EarlyTrigger<G> {
        EarlyTrigger { every_ms: milliseconds(every), inner }
    }
}

/// What [`EarlyTrigger`] remembers.
#[derive(Debug, Default, PartialEq)]
pub struct Early<X> {
    inner: X,
    /// When it looks whether there is something new.
    next: Option<Timestamp>,
    /// The one timer that it has, which may be of before a purge: then it is too soon, and the next one comes after it.
    due: Option<Timestamp>,
    /// There is something new.
    has_news: bool,
}

impl<X> Early<X> {
    /// What the inner trigger says; nothing is new once it has fired.
    fn told(&mut self, result: TriggerResult) -> TriggerResult {
        self.has_news &= !result.fires();
        result
    }

    /// The timer has come: the early result is due, or waits for another one.
    fn look(&mut self, time: Timestamp, ctx: &mut TriggerContext<'_>) -> TriggerResult {
        self.due = None;
        if let Some(next) = self.next.filter(|next| *next > time) {
            self.wait(next, ctx);
            return TriggerResult::Continue;
        }
        self.next = None;
        if std::mem::take(&mut self.has_news) { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn wait(&mut self, until: Timestamp, ctx: &mut TriggerContext<'_>) {
        self.due = Some(until);
        ctx.register_processing_time_timer(until);
    }
}

impl<T, G: Trigger<T>> Trigger<T> for EarlyTrigger<G> {
    type State = Early<G::State>;

    fn on_record(
        &mut self,
        record: &T,
        state: &mut Self::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        state.has_news = true;
        let result = self.inner.on_record(record, &mut state.inner, ctx);
        let result = state.told(result);
        if state.has_news && state.next.is_none() {
            let next = ctx.processing_time() + self.every_ms;
            state.next = Some(next);
            if state.due.is_none() {
                state.wait(next, ctx);
            }
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

    /// The inner trigger may have registered the same time.
    fn on_processing_time(
        &mut self,
        time: Timestamp,
        state: &mut Self::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let result = self.inner.on_processing_time(time, &mut state.inner, ctx);
        let result = state.told(result);
        if state.due == Some(time) { result.and(state.look(time, ctx)) } else { result }
    }

    /// The timer stays, as the inner trigger may have registered the same time, and comes again if that one deletes it.
    /// The next one waits behind it: one more after each purge would be a timer for each firing.
    fn on_purge(&mut self, state: &mut Self::State, ctx: &mut TriggerContext<'_>) {
        (state.has_news, state.next) = (false, None);
        self.inner.on_purge(&mut state.inner, ctx);
        state.due.into_iter().for_each(|due| state.wait(due, ctx));
    }

    fn check(&self) -> Result<()> {
        if self.every_ms == 0 {
            return Err(Error::user(
                "early results every 0 ms never end: the interval must be a millisecond or more",
            ));
        }
        self.inner.check()
    }
}

impl<T, G: MergingTrigger<T>> MergingTrigger<T> for EarlyTrigger<G> {
    /// The inner trigger's timers come after what is deleted, as it may have registered the same time.
    fn on_merge(&mut self, state: &mut Self::State, other: Self::State, ctx: &mut TriggerContext<'_>) {
        state.due.iter().for_each(|known| {
            ctx.delete_processing_time_timer(*known);
        });
        self.inner.on_merge(&mut state.inner, other.inner, ctx);
        state.has_news |= other.has_news;
        state.next = [state.next, other.next].into_iter().flatten().min();
        let due = [state.due, other.due].into_iter().flatten().min();
        due.into_iter().for_each(|due| state.wait(due, ctx));
    }
}
