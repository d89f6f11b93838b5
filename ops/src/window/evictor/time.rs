//! Keeps the records that are not older than the newest by a length of time.

use std::time::Duration;

use slotflow_runtime::Timestamp;

use super::super::shape::milliseconds;
use super::{Evictor, EvictorContext, When, WindowRecord};

/// Keeps the records whose event time is less than a length before the window's newest: Flink's `TimeEvictor`. Records
/// without event time are all kept.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// # use std::time::Duration;
/// let last = collect([1, 4, 2, 5], |times| {
///     let timed = times.with_timestamps(|time| *time, Watermarks::monotonous());
///     let all = timed.window_all(Global).trigger(EventTimeTrigger);
///     all.evictor(TimeEvictor::of(Duration::from_millis(3))).process(|it| it.value)
/// })?;
/// assert_eq!(last, [[4, 5]]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeEvictor {
    keeps_ms: Timestamp,
    when: When,
}

impl TimeEvictor {
    /// Keeps records of this length of time before each firing, in whole milliseconds. With one of 0 nothing fires.
    pub fn of(keeps: Duration) -> TimeEvictor {
        TimeEvictor { keeps_ms: milliseconds(keeps), when: When::Before }
    }

    /// Takes records out after each firing instead: the next one has those that were kept, and what came since.
    pub fn after(self) -> TimeEvictor {
        TimeEvictor { when: When::After, ..self }
    }

    fn evict<T>(&self, records: &mut Vec<WindowRecord<T>>, when: When) {
        let newest = records.iter().map(|record| record.timestamp).max();
        if let Some(newest) = newest.filter(|newest| self.when == when && *newest > Timestamp::MIN) {
            let until = newest.saturating_sub(self.keeps_ms);
            records.retain(|record| record.timestamp > until);
        }
    }
}

impl<T> Evictor<T> for TimeEvictor {
    fn evict_before(&mut self, records: &mut Vec<WindowRecord<T>>, _: &EvictorContext) {
        self.evict(records, When::Before);
    }

    fn evict_after(&mut self, records: &mut Vec<WindowRecord<T>>, _: &EvictorContext) {
        self.evict(records, When::After);
    }
}
