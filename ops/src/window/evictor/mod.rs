//! Evictors: which records of a window a firing has.

mod count;
mod delta;
mod time;

use slotflow_runtime::{Result, Timestamp};

use super::spans::Span;
pub use count::CountEvictor;
pub use delta::DeltaEvictor;
pub use time::TimeEvictor;

/// A record of a window, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRecord<T> {
    /// Its event time; `MIN_TIMESTAMP` if it has none.
    pub timestamp: Timestamp,
    /// The record.
    pub value: T,
}

/// Takes records out of a window around its firing: Flink's `Evictor`.
///
/// Called on the slot, for one window of one key, whose records are in the order in which they came; where sessions
/// have become one, those of the later one stand behind. What is taken out is in no later firing of the window either.
/// A window that has no record left gives nothing. The evictor is cloned for each subtask and must not block.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// use slotflow::{Evictor, EvictorContext, WindowRecord};
///
/// #[derive(Clone)]
/// struct OnlyEven;
///
/// impl Evictor<u64> for OnlyEven {
///     fn evict_before(&mut self, records: &mut Vec<WindowRecord<u64>>, _: &EvictorContext) {
///         records.retain(|record| record.value % 2 == 0);
///     }
/// }
///
/// let sums = collect(1..=4u64, |numbers| {
///     let all = numbers.key_by(|_| 0).window(Global).trigger(EventTimeTrigger).evictor(OnlyEven);
///     all.reduce(|a, b| a + b).map(|it| it.value)
/// })?;
/// assert_eq!(sums, [6]);
/// # Ok::<(), Error>(())
/// ```
pub trait Evictor<T>: Clone + Send + 'static {
    /// The window is about to fire with these records. The default leaves them.
    fn evict_before(&mut self, _records: &mut Vec<WindowRecord<T>>, _ctx: &EvictorContext) {}

    /// The window has fired with these records. The default leaves them.
    fn evict_after(&mut self, _records: &mut Vec<WindowRecord<T>>, _ctx: &EvictorContext) {}

    /// Whether it can be; asked while the job is described.
    ///
    /// # Errors
    /// Those of the start, which name the remedy. The default has none.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// What an [`Evictor`] may know besides the records.
#[derive(Clone, Copy, Debug)]
pub struct EvictorContext {
    pub(super) span: Span,
    pub(super) watermark: Timestamp,
    pub(super) processing_time: Timestamp,
}

impl EvictorContext {
    /// The window's first time, in milliseconds; `MIN_TIMESTAMP` of a global window.
    pub fn start(&self) -> Timestamp {
        self.span.start
    }

    /// The first time that is not the window's any more; `MAX_TIMESTAMP` of a global window.
    pub fn end(&self) -> Timestamp {
        self.span.end
    }

    /// How far event time has come.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Processing time: milliseconds since the Unix epoch when the step began.
    pub fn processing_time(&self) -> Timestamp {
        self.processing_time
    }
}

/// When one of the ready evictors takes records out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
}

#[cfg(test)]
mod tests;
