//! Triggers: when a window fires, and whether it begins anew then.

mod context;
mod continuous;
mod count;
mod delta;
mod early;
mod event_time;
mod processing_time;
mod purging;
mod timeout;

use slotflow_runtime::{Result, Timestamp};

pub use context::TriggerContext;
pub(super) use context::{Now, OwnTimers, due};
pub use continuous::{ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger};
pub use count::CountTrigger;
pub use delta::DeltaTrigger;
pub use early::EarlyTrigger;
pub use event_time::EventTimeTrigger;
pub use processing_time::ProcessingTimeTrigger;
pub use purging::PurgingTrigger;
pub use timeout::ProcessingTimeoutTrigger;

/// What a [`Trigger`] says about its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum TriggerResult {
    /// Nothing.
    Continue,
    /// Give the value of all records so far, and keep them: the next firing has them, too.
    Fire,
    /// Forget the records. What becomes of the trigger's state and timers is for [`Trigger::on_purge`] to say.
    Purge,
    /// Give the value, then forget the records: each record is in one firing.
    FireAndPurge,
}

impl TriggerResult {
    /// Whether it gives a value.
    pub fn fires(self) -> bool {
        matches!(self, TriggerResult::Fire | TriggerResult::FireAndPurge)
    }

    /// Whether it forgets the records.
    pub fn purges(self) -> bool {
        matches!(self, TriggerResult::Purge | TriggerResult::FireAndPurge)
    }

    /// What this says and the other: for triggers made of triggers.
    ///
    /// ```
    /// use slotflow::TriggerResult::{Continue, Fire, FireAndPurge, Purge};
    ///
    /// assert_eq!([Continue.and(Fire), Fire.and(Purge)], [Fire, FireAndPurge]);
    /// ```
    pub fn and(self, other: TriggerResult) -> TriggerResult {
        match (self.fires() || other.fires(), self.purges() || other.purges()) {
            (false, false) => TriggerResult::Continue,
            (true, false) => TriggerResult::Fire,
            (false, true) => TriggerResult::Purge,
            (true, true) => TriggerResult::FireAndPurge,
        }
    }
}

/// Says when a window of a key fires: Flink's `Trigger`.
///
/// Each call is about one window of one key; the trigger's state there is handed in, and its timers there are those of
/// the [`TriggerContext`]. The trigger itself is cloned for each subtask and called on its slot, so it must not
/// block.
///
/// A window is over at its end and the allowed lateness; then its records, the trigger's state and all its timers
/// go, so there is nothing to clear here. A window that does not merge also goes when it has no records, no timers, and
/// a state that equals the default one.
///
/// Here is one that fires at each record that is larger than all before it:
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// use slotflow::{Trigger, TriggerContext, TriggerResult};
///
/// #[derive(Clone)]
/// struct OnRecords;
///
/// impl Trigger<u64> for OnRecords {
///     type State = u64;
///     fn on_record(&mut self, n: &u64, largest: &mut u64, _: &mut TriggerContext<'_>) -> TriggerResult {
///         if *n <= *largest {
///             return TriggerResult::Continue;
///         }
///         *largest = *n;
///         TriggerResult::Fire
///     }
/// }
///
/// let sums = collect([3, 1, 4, 1, 5], |numbers| {
///     numbers.key_by(|_| 0).window(Global).trigger(OnRecords).reduce(|a, b| a + b).map(|window| window.value)
/// })?;
/// assert_eq!(sums, [3, 8, 14]);
/// # Ok::<(), Error>(())
/// ```
pub trait Trigger<T>: Clone + Send + 'static {
    /// What it remembers of each window of each key.
    type State: Default + PartialEq + 'static;

    /// A record is about to be added to the window; what is said here counts once it has been.
    fn on_record(
        &mut self,
        record: &T,
        state: &mut Self::State,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult;

    /// A timer in event time is due that the window registered for `time`. The default does nothing.
    fn on_event_time(
        &mut self,
        _time: Timestamp,
        _state: &mut Self::State,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        TriggerResult::Continue
    }

    /// A timer in processing time is due that the window registered for `time`. The default does nothing.
    fn on_processing_time(
        &mut self,
        _time: Timestamp,
        _state: &mut Self::State,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        TriggerResult::Continue
    }

    /// The window has been purged and has no record any more. What is not needed before the next one comes can go here:
    /// a timer that would fire nothing keeps a window that could go. The default leaves state and timers as they are.
    fn on_purge(&mut self, _state: &mut Self::State, _ctx: &mut TriggerContext<'_>) {}

    /// Whether it can be; asked while the job is described.
    ///
    /// # Errors
    /// Those of the start, which name the remedy. The default has none.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A trigger for windows that merge, as sessions do: the `onMerge` of Flink's `Trigger`.
///
/// ```
/// use slotflow::{MergingTrigger, Trigger, TriggerContext, TriggerResult};
///
/// /// Fires at every second record.
/// #[derive(Clone)]
/// struct EverySecond;
///
/// impl<T> Trigger<T> for EverySecond {
///     type State = bool;
///     fn on_record(&mut self, _: &T, odd: &mut bool, _: &mut TriggerContext<'_>) -> TriggerResult {
///         *odd = !*odd;
///         if *odd { TriggerResult::Continue } else { TriggerResult::Fire }
///     }
/// }
///
/// impl<T> MergingTrigger<T> for EverySecond {
///     fn on_merge(&mut self, odd: &mut bool, other: bool, _: &mut TriggerContext<'_>) {
///         *odd ^= other;
///     }
/// }
/// ```
///
/// A trigger that is none cannot fire sessions:
///
/// ```compile_fail
/// # use slotflow::prelude::*;
/// # use slotflow::{Trigger, TriggerContext, TriggerResult};
/// #[derive(Clone)]
/// struct Never;
///
/// impl<T> Trigger<T> for Never {
///     type State = ();
///     fn on_record(&mut self, _: &T, (): &mut (), _: &mut TriggerContext<'_>) -> TriggerResult {
///         TriggerResult::Continue
///     }
/// }
///
/// # let (env, sums) = (Environment::with(Config::default()), Collected::new());
/// let times = env.source(from_iterator([1])).with_timestamps(|time| *time, Watermarks::monotonous());
/// let sessions = times.key_by(|_| 0).window(Session::with_gap(std::time::Duration::from_secs(1)));
/// sessions.trigger(Never).reduce(|a, b| a + b).sink(sums.sink());
/// ```
#[diagnostic::on_unimplemented(
    message = "sessions merge, and `{Self}` does not say what becomes of its state then",
    note = "implement `MergingTrigger` for it"
)]
pub trait MergingTrigger<T>: Trigger<T> {
    /// Windows have become one, or a record has made one longer. Called for each of them with the state it had, in the
    /// order of their starts, after all their timers were deleted, and before [`on_record`](Trigger::on_record) for
    /// the record that did it: `state`, at first the default one, is that of the window there is now, and so is
    /// `ctx`.
    fn on_merge(&mut self, state: &mut Self::State, other: Self::State, ctx: &mut TriggerContext<'_>);
}

/// The trigger that windows have if none is named; Flink's `getDefaultTrigger`.
#[diagnostic::on_unimplemented(
    message = "these windows never end, so nothing says when they fire",
    note = "say so by `.trigger(..)`: `.trigger(PurgingTrigger::of(CountTrigger::of(100)))` fires each 100 records"
)]
pub trait DefaultTrigger {
    /// Fires at the window's end, as time goes that the window is in.
    type Trigger: Default;
}

impl DefaultTrigger for super::Sliding {
    type Trigger = EventTimeTrigger;
}

impl DefaultTrigger for super::Session {
    type Trigger = EventTimeTrigger;
}

impl<W> DefaultTrigger for super::InProcessingTime<W> {
    type Trigger = ProcessingTimeTrigger;
}
