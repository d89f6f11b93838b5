//! Turns each record into any number of others, or fails the job.

use slotflow_runtime::error::Cause;
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output, Owned};

use super::{Fail, OnError};
use crate::Stream;
use crate::flat_map::push_all;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Turns each record into those of an iterator; the first error fails the job.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let repeat = |word: &str| word.parse::<usize>().map(|n| vec![n; n]);
    /// assert_eq!(collect(["1", "2"], move |words| words.try_flat_map(repeat))?, [1, 2, 2]);
    /// assert!(collect(["x"], move |words| words.try_flat_map(repeat)).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_flat_map<I, E, F>(self, map: F) -> Stream<'env, Then<P, Cloned<TryFlatMap<F>>>>
    where
        I: IntoIterator<Item: 'static>,
        E: Into<Cause>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<I, E> + Clone + Send + 'static,
    {
        self.then_numbered("try_flat_map", |number| Cloned(TryFlatMap { map, on_error: Fail { number } }))
    }
}

/// See [`Stream::try_flat_map`].
#[derive(Clone)]
pub struct TryFlatMap<F> {
    map: F,
    on_error: Fail,
}

impl<In, I, E, F> Operator<In> for TryFlatMap<F>
where
    In: Family,
    I: IntoIterator<Item: 'static>,
    E: Into<Cause>,
    F: for<'s> FnMut(In::Of<'s>) -> Result<I, E> + 'static,
{
    type Out = Owned<I::Item>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        match (self.map)(record) {
            Ok(records) => push_all(records, ctx, out),
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
        let map = |n: u64| if n > 9 { Err("too large") } else { Ok(0..n) };
        check(Cloned(TryFlatMap { map, on_error: Fail { number: 0 } }), "2@2 0 1 10 4 |9 #", "0@2 1@2 0 !");
    }
}
