//! Turns each record into another.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Arena, Borrowed, Cloned, Context, Family, Operator, Output, Owned, Place};

use crate::{Made, Stream};

impl<'env, P: Pipe> Stream<'env, P> {
    /// Turns each record into another.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// assert_eq!(collect([1, 2, 3], |numbers| numbers.map(|n| n * 2))?, [2, 4, 6]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn map<U, F>(self, map: F) -> Stream<'env, Then<P, Cloned<Map<F>>>>
    where
        U: 'static,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> U + Clone + Send + 'static,
    {
        self.then("map", Cloned(Map(map)))
    }

    /// As [`map`](Stream::map), with a closure that `make` makes for each subtask, on its slot: it need
    /// be neither `Clone` nor `Send`, and may know which subtask it serves.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let numbered = collect(["a", "b"], |words| {
    ///     words.map_with(|subtask| {
    ///         let (index, seen) = (subtask.index, std::rc::Rc::new(std::cell::Cell::new(0)));
    ///         move |word| format!("{index}.{}: {word}", seen.replace(seen.get() + 1))
    ///     })
    /// })?;
    /// assert_eq!(numbered, ["0.0: a", "0.1: b"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn map_with<U, F, M>(self, make: M) -> Stream<'env, Then<P, Made<M, F, Map<F>>>>
    where
        U: 'static,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> U + 'static,
        M: Fn(Place<'_>) -> F + Clone + Send + 'static,
    {
        self.then("map", Made::new(make, Map))
    }

    /// Turns each record into something built in the step's arena, or borrowed from the record.
    ///
    /// What is built lives until the end of the step: long enough for a sink that copies, or for a
    /// `map` that makes it owned before it crosses an edge.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let lengths = collect(["a", "bc"], |words| {
    ///     words.map_in(|word, arena| arena.copy_str(word)).map(|word| word.len())
    /// })?;
    /// assert_eq!(lengths, [1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn map_in<U, F>(self, map: F) -> Stream<'env, Then<P, Cloned<MapIn<F>>>>
    where
        U: ?Sized + 'static,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>, &'s Arena) -> &'s U + Clone + Send + 'static,
    {
        self.then("map", Cloned(MapIn(map)))
    }
}

/// See [`Stream::map`].
#[derive(Clone)]
pub struct Map<F>(pub(crate) F);

impl<In, U, F> Operator<In> for Map<F>
where
    In: Family,
    U: 'static,
    F: for<'s> FnMut(In::Of<'s>) -> U + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        let record = (self.0)(record);
        out.push(record, ctx);
    }
}

/// See [`Stream::map_in`].
#[derive(Clone)]
pub struct MapIn<F>(F);

impl<In, U, F> Operator<In> for MapIn<F>
where
    In: Family,
    U: ?Sized + 'static,
    F: for<'s> FnMut(In::Of<'s>, &'s Arena) -> &'s U + 'static,
{
    type Out = Borrowed<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Borrowed<U>>) {
        let record = (self.0)(record, ctx.arena());
        out.push(record, ctx);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn each_record_becomes_another_at_the_same_time() {
        check(Cloned(Map(|n: u64| n * 2)), "1@1 2@2 |2 3 #", "2@1 4@2 |2 6 #");
    }

    #[test]
    fn a_made_closure_knows_its_subtask() {
        let made = Made::new(
            |subtask: Place<'_>| {
                let index = subtask.index as u64;
                move |n: u64| n + index
            },
            Map,
        );
        check(made, "1 2 #", "1 2 #");
    }
}
