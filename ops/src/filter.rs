//! Keeps the records a predicate accepts.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output};

use crate::Stream;

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
