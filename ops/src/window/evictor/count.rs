//! Keeps the last so many records.

use super::{Evictor, EvictorContext, When, WindowRecord};

/// Keeps the records that came last, so many of them: Flink's `CountEvictor`.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// let last = collect(1..=5, |numbers| {
///     let all = numbers.key_by(|_| 0).window(Global).trigger(EventTimeTrigger).evictor(CountEvictor::of(2));
///     all.process(|it| it.value)
/// })?;
/// assert_eq!(last, [[4, 5]]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CountEvictor {
    count: usize,
    when: When,
}

impl CountEvictor {
    /// Keeps `count` records before each firing. With a count of 0 nothing fires.
    pub fn of(count: usize) -> CountEvictor {
        CountEvictor { count, when: When::Before }
    }

    /// Takes records out after each firing instead: the next one has those that were kept, and what came since.
    pub fn after(self) -> CountEvictor {
        CountEvictor { when: When::After, ..self }
    }

    fn evict<T>(&self, records: &mut Vec<WindowRecord<T>>, when: When) {
        if self.when == when {
            records.drain(..records.len().saturating_sub(self.count));
        }
    }
}

impl<T> Evictor<T> for CountEvictor {
    fn evict_before(&mut self, records: &mut Vec<WindowRecord<T>>, _: &EvictorContext) {
        self.evict(records, When::Before);
    }

    fn evict_after(&mut self, records: &mut Vec<WindowRecord<T>>, _: &EvictorContext) {
        self.evict(records, When::After);
    }
}
