//! Keeps the records a predicate accepts.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output, Place};

use crate::{Made, Stream};

impl<'env, P: Pipe> Stream<'env, P> {
    /// Keeps the records for which `keep` is true.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// assert_eq!(collect([1, 2, 3, 4], |numbers| numbers.filter(|n| n % 2 == 0))?, [2, 4]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn filter<F>(self, keep: F) -> Stream<'env, Then<P, Cloned<Filter<F>>>>
    where
        F: for<'r, 's> FnMut(&'r <P::Out as Family>::Of<'s>) -> bool + Clone + Send + 'static,
    {
        self.then("filter", Cloned(Filter(keep)))
    }

    /// As [`filter`](Stream::filter), with a predicate that `make` makes for each subtask, on its slot.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let unique = collect([1, 2, 1], |numbers| {
    ///     numbers.filter_with(|_subtask| {
    ///         let mut seen = std::collections::HashSet::new();
    ///         move |n| seen.insert(*n)
    ///     })
    /// })?;
    /// assert_eq!(unique, [1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn filter_with<F, M>(self, make: M) -> Stream<'env, Then<P, Made<M, F, Filter<F>>>>
    where
        F: for<'r, 's> FnMut(&'r <P::Out as Family>::Of<'s>) -> bool + 'static,
        M: Fn(Place<'_>) -> F + Clone + Send + 'static,
    {
        self.then("filter", Made::new(make, Filter))
    }
}

/// See [`Stream::filter`].
#[derive(Clone)]
pub struct Filter<F>(F);

impl<In, F> Operator<In> for Filter<F>
where
    In: Family,
    F: for<'r, 's> FnMut(&'r In::Of<'s>) -> bool + 'static,
{
    type Out = In;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<In>) {
        if (self.0)(&record) {
            out.push(record, ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn what_is_kept_keeps_time_and_order() {
        check::<u64, _>(Cloned(Filter(|n: &u64| *n > 1)), "1@1 2@2 |2 3 1 #", "2@2 |2 3 #");
    }
}
