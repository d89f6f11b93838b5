//! Turns some records into others and leaves the rest out.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output, Owned};

use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Turns each record into another, or into none.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let numbers = collect(["1", "x", "3"], |words| words.filter_map(|word| word.parse::<u32>().ok()))?;
    /// assert_eq!(numbers, [1, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn filter_map<U, F>(self, map: F) -> Stream<'env, Then<P, Cloned<FilterMap<F>>>>
    where
        U: 'static,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Option<U> + Clone + Send + 'static,
    {
        self.then("filter_map", Cloned(FilterMap(map)))
    }
}

/// See [`Stream::filter_map`].
#[derive(Clone)]
pub struct FilterMap<F>(F);

impl<In, U, F> Operator<In> for FilterMap<F>
where
    In: Family,
    U: 'static,
    F: for<'s> FnMut(In::Of<'s>) -> Option<U> + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        if let Some(record) = (self.0)(record) {
            out.push(record, ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn nothing_comes_of_none() {
        check(Cloned(FilterMap(|n: u64| n.checked_sub(2))), "1@1 2@2 |2 5 #", "0@2 |2 3 #");
    }
}
