//! Looks at each record and passes it on.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output};

use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Shows each record to `look` and passes it on. The closure runs on the slot and must not block.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let numbers = collect([1, 2], |numbers| numbers.inspect(|n| assert!(*n > 0)))?;
    /// assert_eq!(numbers, [1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn inspect<F>(self, look: F) -> Stream<'env, Then<P, Cloned<Inspect<F>>>>
    where
        F: for<'r, 's> FnMut(&'r <P::Out as Family>::Of<'s>) + Clone + Send + 'static,
    {
        self.then("inspect", Cloned(Inspect(look)))
    }
}

/// See [`Stream::inspect`].
#[derive(Clone)]
pub struct Inspect<F>(F);

impl<In, F> Operator<In> for Inspect<F>
where
    In: Family,
    F: for<'r, 's> FnMut(&'r In::Of<'s>) + 'static,
{
    type Out = In;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<In>) {
        (self.0)(&record);
        out.push(record, ctx);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn every_record_is_seen_and_passed_on() {
        let (sum, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let add = sum.clone();
        let look = move |n: &u64| {
            add.fetch_add(*n, Ordering::Relaxed);
            seen.fetch_add(1, Ordering::Relaxed);
        };
        check::<u64, _>(Cloned(Inspect(look)), "1@1 2 |2 3 #", "1@1 2 |2 3 #");
        assert_eq!(sum.load(Ordering::Relaxed) % 6, 0);
        assert!(sum.load(Ordering::Relaxed) > 0);
    }
}
