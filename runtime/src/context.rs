//! What an operator may know besides its record.

use std::cell::Cell;
use std::sync::Arc;

use crate::slot::Waker;
use crate::time::MIN_TIMESTAMP;
use crate::{Arena, Clock, Error, IoCores, Timestamp};

/// Where a subtask stands and what it may use there: handed to sources and sinks when they are opened, and to
/// descriptions of operators. Operators themselves, and the factories of users, see its [`Place`].
#[derive(Clone)]
pub struct SubtaskContext {
    /// The operator's name.
    pub operator: Arc<str>,
    /// This subtask's number, from 0.
    pub index: usize,
    /// How many subtasks the operator has.
    pub parallelism: usize,
    /// How many key groups the job has.
    pub max_parallelism: usize,
    /// Wakes the core this subtask lives on; for connectors whose input arrives on other threads.
    pub waker: Waker,
    /// Where a connector's own threads belong: off the slots' cores.
    pub io: IoCores,
    /// The host's clock, the one that [`Context::now_ns`] is read from.
    pub clock: Clock,
    /// How many bytes a sink may keep of what one record expands to beyond its room, the setting
    /// `edges.overflow_bytes`; more has to fail the job.
    pub overflow_bytes: usize,
    /// What the state of its operators may take, the setting `state.budget_bytes`; `None` for any amount.
    pub state_budget_bytes: Option<usize>,
}

impl SubtaskContext {
    /// Which subtask this is, and nothing else.
    pub fn place(&self) -> Place<'_> {
        let SubtaskContext { operator, index, parallelism, max_parallelism, .. } = self;
        let (index, parallelism, max_parallelism) = (*index, *parallelism, *max_parallelism);
        Place { operator, index, parallelism, max_parallelism }
    }
}

/// Which subtask it is: all that an operator, and a factory of one, may know of where it runs.
///
/// A connector needs more, and is handed a [`SubtaskContext`] when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name of the operator that leads the chain.
    pub operator: &'a str,
    /// The subtask's number, from 0.
    pub index: usize,
    /// How many subtasks the operator has.
    pub parallelism: usize,
    /// How many key groups the job has.
    pub max_parallelism: usize,
}

/// Which operator of a chain was running when it failed or a closure of it panicked.
///
/// The guard in [`Chain`](crate::Chain) writes here in these two cases and never otherwise, so it
/// costs next to nothing on the record path.
#[derive(Debug, Default)]
pub struct Blame(Cell<Option<u32>>);

impl Blame {
    /// Remembers the innermost operator; a second call on the way out changes nothing.
    pub(crate) fn note(&self, operator: u32) {
        if self.0.get().is_none() {
            self.0.set(Some(operator));
        }
    }

    /// The operator that was running, if one was.
    pub(crate) fn operator(&self) -> Option<u32> {
        self.0.get()
    }
}

/// What an operator may know while it handles a record; `'s` is the step it is handled in.
///
/// Operators see no thread, ring, barrier or clock of their own: what they know is the record, its time, their
/// place and the arena.
///
/// ```
/// # use slotflow_runtime::Context;
/// fn known(ctx: &Context<'_>) -> (usize, u64) {
///     (ctx.subtask().index, ctx.now_ns())
/// }
/// ```
///
/// So they cannot read a clock by themselves, which would make a simulation another run each time,
///
/// ```compile_fail
/// # use slotflow_runtime::Context;
/// fn clock(ctx: &Context<'_>) -> u64 {
///     ctx.subtask().clock.now_ns()
/// }
/// ```
///
/// nor wake a core, nor use the threads of connectors,
///
/// ```compile_fail
/// # use slotflow_runtime::Context;
/// fn waker(ctx: &Context<'_>) {
///     ctx.subtask().waker.wake();
/// }
/// ```
///
/// ```compile_fail
/// # use slotflow_runtime::{Context, IoCores};
/// fn threads(ctx: &Context<'_>) -> IoCores {
///     ctx.subtask().io.clone()
/// }
/// ```
///
/// nor carry what they know to another thread;
///
/// ```compile_fail
/// # use slotflow_runtime::Context;
/// fn send(ctx: Context<'static>) {
///     std::thread::spawn(move || ctx.now_ns());
/// }
/// ```
///
/// and what they push into takes records, but no barrier, and cannot be flushed.
///
/// ```compile_fail
/// # use slotflow_runtime::{Barrier, Output, Owned, Tail};
/// fn barrier(out: &mut impl Output<Owned<u64>>) {
///     out.barrier(Barrier { id: 1 });
/// }
/// ```
///
/// ```compile_fail
/// # use slotflow_runtime::{Output, Owned, Tail};
/// fn flush(out: &mut impl Output<Owned<u64>>) {
///     let _ = out.flush(1);
/// }
/// ```
pub struct Context<'s> {
    arena: &'s Arena,
    subtask: &'s SubtaskContext,
    blame: &'s Blame,
    timestamp: Timestamp,
    watermark: Timestamp,
    now_ns: u64,
    blocked_ns: u64,
    split: u32,
    error: Option<Error>,
}

impl<'s> Context<'s> {
    /// A context for one stretch of a step.
    pub fn new(arena: &'s Arena, subtask: &'s SubtaskContext, blame: &'s Blame, now_ns: u64) -> Self {
        Context {
            arena,
            subtask,
            blame,
            timestamp: MIN_TIMESTAMP,
            watermark: MIN_TIMESTAMP,
            now_ns,
            blocked_ns: 0,
            split: 0,
            error: None,
        }
    }

    /// Scratch memory until the end of the step.
    #[inline]
    pub fn arena(&self) -> &'s Arena {
        self.arena
    }

    /// Which subtask this is.
    #[inline]
    pub fn subtask(&self) -> Place<'s> {
        self.subtask.place()
    }

    /// Event time of the record in hand, in milliseconds; [`MIN_TIMESTAMP`] if it has none.
    #[inline]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Sets the event time of the records pushed from here on.
    #[inline]
    pub fn set_timestamp(&mut self, timestamp: Timestamp) {
        self.timestamp = timestamp;
    }

    /// How far event time has come at this subtask's input. While a watermark is handed to the
    /// operators this is still the one before: what they emit then is not late for those behind them.
    #[inline]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Calls `call` with `watermark` in force: for a link of a chain behind which event time stands elsewhere.
    #[inline(always)]
    pub fn at_watermark<X>(&mut self, watermark: Timestamp, call: impl FnOnce(&mut Context<'s>) -> X) -> X {
        let in_front = std::mem::replace(&mut self.watermark, watermark);
        let answer = call(self);
        self.watermark = in_front;
        answer
    }

    pub(crate) fn set_watermark(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
    }

    /// When the step began, in nanoseconds of the host's clock.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// As [`now_ns`](Context::now_ns), on a clock that stands still while this subtask takes no input, for want of room
    /// or because an operator [waits](crate::Flow::Waits). What was silent by this clock was silent, and not just not
    /// asked.
    #[inline]
    pub fn running_ns(&self) -> u64 {
        self.now_ns - self.blocked_ns
    }

    pub(crate) fn set_blocked_ns(&mut self, blocked_ns: u64) {
        self.blocked_ns = blocked_ns;
    }

    /// Processing time when the step began: milliseconds since the Unix epoch by the host's clock.
    #[inline]
    pub fn processing_time(&self) -> Timestamp {
        self.subtask.clock.processing_time(self.now_ns)
    }

    /// What [`now_ns`](Context::now_ns) will be when processing time reaches `time`, for
    /// [`Operator::due_ns`](crate::Operator::due_ns): 0 for what has been before the clock, `u64::MAX` for never.
    #[inline]
    pub fn ns_at(&self, time: Timestamp) -> u64 {
        self.subtask.clock.reads_at(time)
    }

    /// The split the record in hand was read from; meaningful in the source's own chain.
    #[inline]
    pub fn split(&self) -> u32 {
        self.split
    }

    /// Called by a source reader before it pushes the records of another split.
    #[inline]
    pub fn set_split(&mut self, split: u32) {
        self.split = split;
    }

    /// Fails the job. The first error counts, and the caller emits nothing more.
    ///
    /// In this subtask nothing is processed from here on: what the source or the inlet still pushes, at most the
    /// budget of one step, reaches no operator and no sink, and what was staged for other subtasks since the last
    /// flush is discarded. Other subtasks finish the step they are in. No barrier behind the failure is ever passed
    /// on, so no offset behind it is committed.
    #[cold]
    pub fn fail(&mut self, error: Error) {
        if self.error.is_none() {
            self.error = Some(error);
        }
    }

    /// As [`fail`](Context::fail), for an operator that knows its number in the job, so that the error
    /// names it and not the head of its chain.
    #[cold]
    pub fn fail_in(&mut self, operator: u32, error: Error) {
        self.blame.note(operator);
        self.fail(error);
    }

    /// Whether an operator of this step has failed.
    #[inline]
    pub fn failed(&self) -> bool {
        self.error.is_some()
    }

    pub(crate) fn blame(&self) -> &'s Blame {
        self.blame
    }

    /// The error that an operator of this step failed with, for whoever made the context: the engine, or a
    /// connector's test.
    pub fn into_error(self) -> Option<Error> {
        self.error
    }
}
