//! Turns each record into any number of others, pushed one by one.

use std::marker::PhantomData;

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output, Owned};

use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Turns each record into those that the closure pushes into its second argument.
    ///
    /// The form for loops: nothing is kept between the closure and the next operator.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let words = collect(["to be", "or not"], |lines| {
    ///     lines.flat_map_into(|line, out| {
    ///         for word in line.split(' ') {
    ///             out.push(word.to_owned());
    ///         }
    ///     })
    /// })?;
    /// assert_eq!(words, ["to", "be", "or", "not"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flat_map_into<U, F>(self, map: F) -> Stream<'env, Then<P, Cloned<FlatMapInto<U, F>>>>
    where
        U: 'static,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>, &mut Collector<'_, U>) + Clone + Send + 'static,
    {
        self.then("flat_map", Cloned(FlatMapInto { map, records: PhantomData }))
    }
}

/// Takes the records that a closure of [`Stream::flat_map_into`] makes.
pub struct Collector<'c, U> {
    /// Dynamic in name only: its target is known where the closure is called, and the compiler
    /// inlines both into the chain's loop.
    push: &'c mut dyn FnMut(U),
}

impl<U> Collector<'_, U> {
    /// Passes a record on, at the event time of the record in hand.
    #[inline(always)]
    pub fn push(&mut self, record: U) {
        (self.push)(record);
    }
}

/// See [`Stream::flat_map_into`].
pub struct FlatMapInto<U, F> {
    map: F,
    records: PhantomData<fn() -> U>,
}

impl<U, F: Clone> Clone for FlatMapInto<U, F> {
    fn clone(&self) -> Self {
        FlatMapInto { map: self.map.clone(), records: PhantomData }
    }
}

impl<In, U, F> Operator<In> for FlatMapInto<U, F>
where
    In: Family,
    U: 'static,
    F: for<'s> FnMut(In::Of<'s>, &mut Collector<'_, U>) + 'static,
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
        let count = FlatMapInto { map: count, records: PhantomData };
        check(Cloned(count), "0@1 1@2 2@3 |3 #", "0@2 0@3 1@3 |3 #");
    }
}
