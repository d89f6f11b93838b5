//! Turns each record into any number of others, pushed one by one.

use std::marker::PhantomData;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output, Owned};

use crate::Stream;

/// Takes what a closure of [`Stream::flat_map_with`] gives.
///
/// The call behind `push` is known where the closure is inlined, so it costs what a hand-written
/// branch costs (PERF.md, chain).
pub struct Collector<'o, U> {
    push: &'o mut dyn FnMut(U),
}

impl<U> Collector<'_, U> {
    /// Gives a record to the next operator.
    #[inline(always)]
    pub fn push(&mut self, record: U) {
        (self.push)(record);
    }
}

impl<'env, P: Pipe> Stream<'env, P> {
    /// Turns each record into those that `map` pushes. Unlike
    /// [`flat_map`](Stream::flat_map), nothing has to be put together first.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let halves = collect([8, 3], |numbers| {
    ///     numbers.flat_map_with(|n, out| {
    ///         out.push(n);
    ///         if n % 2 == 0 {
    ///             out.push(n / 2);
    ///         }
    ///     })
    /// })?;
    /// assert_eq!(halves, [8, 4, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flat_map_with<U, F>(self, map: F) -> Stream<'env, Then<P, Cloned<FlatMapWith<U, F>>>>
    where
        U: 'static,
        F: for<'o, 's> FnMut(<P::Out as Family>::Of<'s>, &mut Collector<'o, U>) + Clone + Send + 'static,
    {
        self.then("flat_map_with", Cloned(FlatMapWith { map, records: PhantomData }))
    }
}

/// See [`Stream::flat_map_with`].
pub struct FlatMapWith<U, F> {
    map: F,
    records: PhantomData<fn() -> U>,
}

impl<U, F: Clone> Clone for FlatMapWith<U, F> {
    fn clone(&self) -> Self {
        FlatMapWith { map: self.map.clone(), records: PhantomData }
    }
}

impl<In, U, F> Operator<In> for FlatMapWith<U, F>
where
    In: Family,
    U: 'static,
    F: for<'o, 's> FnMut(In::Of<'s>, &mut Collector<'o, U>) + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        let mut push = |record| out.push(record, ctx);
        (self.map)(record, &mut Collector { push: &mut push });
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn what_is_pushed_comes_in_order_with_the_time_of_its_record() {
        let count = |n: u64, out: &mut Collector<'_, u64>| (0..n).for_each(|i| out.push(i));
        let count = FlatMapWith { map: count, records: PhantomData };
        check(Cloned(count), "0@1 1@2 2@3 |3 #", "0@2 0@3 1@3 |3 #");
    }
}
