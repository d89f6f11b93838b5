//! Keeps the records a predicate accepts, or fails the job.

use slotflow_runtime::error::Cause;
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output};

use super::{Fail, OnError};
use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Keeps the records for which `keep` is `Ok(true)`; the first error fails the job.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let even = |word: &&str| word.parse::<u32>().map(|n| n % 2 == 0);
    /// assert_eq!(collect(["1", "2"], move |words| words.try_filter(even))?, ["2"]);
    /// assert!(collect(["x"], move |words| words.try_filter(even)).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_filter<E, F>(self, keep: F) -> Stream<'env, Then<P, Cloned<TryFilter<F>>>>
    where
        E: Into<Cause>,
        F: for<'r, 's> FnMut(&'r <P::Out as Family>::Of<'s>) -> Result<bool, E> + Clone + Send + 'static,
    {
        self.then_numbered("try_filter", |number| Cloned(TryFilter { keep, on_error: Fail { number } }))
    }
}

/// See [`Stream::try_filter`].
#[derive(Clone)]
pub struct TryFilter<F> {
    keep: F,
    on_error: Fail,
}

impl<In, E, F> Operator<In> for TryFilter<F>
where
    In: Family,
    E: Into<Cause>,
    F: for<'r, 's> FnMut(&'r In::Of<'s>) -> Result<bool, E> + 'static,
{
    type Out = In;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<In>) {
        match (self.keep)(&record) {
            Ok(true) => out.push(record, ctx),
            Ok(false) => {}
            Err(error) => self.on_error.failed(error.into(), ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn the_first_error_is_the_last_thing_that_happens() {
        let keep = |n: &u64| if *n > 9 { Err("too large") } else { Ok(*n > 1) };
        check::<u64, _>(
            Cloned(TryFilter { keep, on_error: Fail { number: 0 } }),
            "2@2 1 3 10 4 |9 #",
            "2@2 3 !",
        );
    }
}
