//! What a user writes: process functions.

use slotflow_runtime::Timestamp;

use super::ProcessContext;
use crate::state::TimeDomain;
use crate::{KeySelector, StateDescriptors};

/// A timer that fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// What it was registered for, in milliseconds.
    pub time: Timestamp,
    /// In which time.
    pub domain: TimeDomain,
}

/// Handles the records of a keyed stream, with states and timers for each key: Flink's `KeyedProcessFunction`.
///
/// Made for each subtask on its slot, where it declares its states, so it needs neither `Send` nor `Clone`; see
/// [`KeyedStream::process`](crate::KeyedStream::process). A call must not block, and fails the job by
/// [`ProcessContext::fail`] and not by a panic.
pub trait KeyedProcessFunction<K, T>: 'static {
    /// What it gives; [`Routed`](slotflow_runtime::Routed) if it has a side output.
    type Out: 'static;

    /// Handles one record.
    fn process(&mut self, record: T, ctx: &mut ProcessContext<'_, K, Self::Out>);

    /// A timer that the key in hand has registered fires. The default does nothing.
    fn on_timer(&mut self, _timer: Timer, _ctx: &mut ProcessContext<'_, K, Self::Out>) {}
}

/// Handles the records of a stream without keys: Flink's `ProcessFunction`.
///
/// Its states and timers are those of the subtask: Flink's operator state. Otherwise as
/// [`KeyedProcessFunction`]; see [`Stream::process`](crate::Stream::process).
pub trait ProcessFunction<T>: 'static {
    /// What it gives; [`Routed`](slotflow_runtime::Routed) if it has a side output.
    type Out: 'static;

    /// Handles one record.
    fn process(&mut self, record: T, ctx: &mut ProcessContext<'_, (), Self::Out>);

    /// A timer of this subtask fires. The default does nothing.
    fn on_timer(&mut self, _timer: Timer, _ctx: &mut ProcessContext<'_, (), Self::Out>) {}
}

/// A function without keys as one whose records all have the same.
pub struct PerSubtask<F>(pub(super) F);

impl<T, F: ProcessFunction<T>> KeyedProcessFunction<(), T> for PerSubtask<F> {
    type Out = F::Out;

    #[inline(always)]
    fn process(&mut self, record: T, ctx: &mut ProcessContext<'_, (), F::Out>) {
        self.0.process(record, ctx);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, (), F::Out>) {
        self.0.on_timer(timer, ctx);
    }
}

/// Finds the same key in every record: that of a stream without keys.
#[derive(Clone, Copy, Debug)]
pub struct Unkeyed;

impl<T> KeySelector<T> for Unkeyed {
    type Key<'r> = ();
    type Stored = ();
    type Assigned = crate::keyed::ByHash;

    #[inline(always)]
    fn key(&mut self, _: &T) {}

    #[inline(always)]
    fn same((): &(), (): &()) -> bool {
        true
    }

    #[inline(always)]
    fn store((): ()) {}
}

/// What makes a process function for each subtask: any closure of this form.
pub trait Open<F>: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static {}

impl<F, M: Fn(&mut StateDescriptors<'_>) -> F + Clone + Send + 'static> Open<F> for M {}
