//! What an operator may know besides its record.

use std::cell::Cell;
use std::sync::Arc;

use crate::slot::Waker;
use crate::time::MIN_TIMESTAMP;
use crate::{Arena, Clock, Error, IoCores, Timestamp};

/// Where a subtask stands: handed to factories, sources and sinks when they are opened.
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
/// Operators see no thread, ring, barrier or clock of their own.
pub struct Context<'s> {
    arena: &'s Arena,
    subtask: &'s SubtaskContext,
    blame: &'s Blame,
    timestamp: Timestamp,
    watermark: Timestamp,
    now_ns: u64,
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
    pub fn subtask(&self) -> &'s SubtaskContext {
        self.subtask
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

    pub(crate) fn set_watermark(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
    }

    /// When the step began, in nanoseconds of the host's clock.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
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

    /// Fails the job at the end of this step. The first error counts; the caller emits nothing more.
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
