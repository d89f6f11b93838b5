//! Keeps the records that differ from the last by little.

use slotflow_runtime::{Error, Result};

use super::{Evictor, EvictorContext, When, WindowRecord};

/// Keeps the records whose difference from the one that came last is below a threshold: Flink's `DeltaEvictor`. A
/// closure tells the difference, of the record first and of the last one second.
///
/// ```
/// # use slotflow::{prelude::*, testing::collect};
/// let near = DeltaEvictor::of(3.0, |a: &f64, b: &f64| (a - b).abs());
/// let alike = collect([1.0, 9.0, 2.5, 4.0], |numbers| {
///     numbers.key_by(|_| 0).window(Global).trigger(EventTimeTrigger).evictor(near).process(|it| it.value)
/// })?;
/// assert_eq!(alike, [[2.5, 4.0]]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DeltaEvictor<D> {
    threshold: f64,
    delta: D,
    when: When,
}

impl<D> DeltaEvictor<D> {
    /// Keeps records with a difference of less than `threshold` before each firing. A difference that is no number is
    /// not less; a threshold that is none is an error of the start.
    pub fn of<T>(threshold: f64, delta: D) -> DeltaEvictor<D>
    where
        D: FnMut(&T, &T) -> f64,
    {
        DeltaEvictor { threshold, delta, when: When::Before }
    }

    /// Takes records out after each firing instead: the next one has those that were kept, and what came since.
    pub fn after(self) -> DeltaEvictor<D> {
        DeltaEvictor { when: When::After, ..self }
    }

    /// The last record is compared, too, and goes if it differs from itself by that much, as in Flink.
    fn evict<T>(&mut self, records: &mut Vec<WindowRecord<T>>, when: When)
    where
        D: FnMut(&T, &T) -> f64,
    {
        let Some(last) = records.pop_if(|_| self.when == when) else { return };
        let DeltaEvictor { threshold, delta, .. } = self;
        records.retain(|record| delta(&record.value, &last.value) < *threshold);
        if delta(&last.value, &last.value) < *threshold {
            records.push(last);
        }
    }
}

impl<T, D: FnMut(&T, &T) -> f64 + Clone + Send + 'static> Evictor<T> for DeltaEvictor<D> {
    fn evict_before(&mut self, records: &mut Vec<WindowRecord<T>>, _: &EvictorContext) {
        self.evict(records, When::Before);
    }

    fn evict_after(&mut self, records: &mut Vec<WindowRecord<T>>, _: &EvictorContext) {
        self.evict(records, When::After);
    }

    fn check(&self) -> Result<()> {
        if self.threshold.is_nan() {
            return Err(Error::user(
                "a DeltaEvictor with a threshold of NaN keeps nothing: it must be a number",
            ));
        }
        Ok(())
    }
}
