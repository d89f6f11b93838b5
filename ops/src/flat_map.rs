//! Turns each record into any number of others.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output, Owned, Place};

use crate::{Made, Stream};

impl<'env, P: Pipe> Stream<'env, P> {
    /// Turns each record into those of an iterator. Where they are no iterator by nature,
    /// [`flat_map_with`](Stream::flat_map_with) saves making one.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// assert_eq!(collect([1, 2], |numbers| numbers.flat_map(|n| [n, n * 10]))?, [1, 10, 2, 20]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flat_map<I, F>(self, map: F) -> Stream<'env, Then<P, Cloned<FlatMap<F>>>>
    where
        I: IntoIterator<Item: 'static>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> I + Clone + Send + 'static,
    {
        self.then("flat_map", Cloned(FlatMap(map)))
    }

    /// As [`flat_map`](Stream::flat_map), with a closure that `make` makes for each subtask, on its slot:
    /// what `_with` says of the other operators ([`flat_map_with`](Stream::flat_map_with) pushes).
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let from_second = collect([1, 2, 3], |numbers| {
    ///     numbers.flat_map_from(|_subtask| {
    ///         let mut last = None;
    ///         move |n| last.replace(n)
    ///     })
    /// })?;
    /// assert_eq!(from_second, [1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flat_map_from<I, F, M>(self, make: M) -> Stream<'env, Then<P, Made<M, F, FlatMap<F>>>>
    where
        I: IntoIterator<Item: 'static>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> I + 'static,
        M: Fn(Place<'_>) -> F + Clone + Send + 'static,
    {
        self.then("flat_map", Made::new(make, FlatMap))
    }
}

/// See [`Stream::flat_map`].
#[derive(Clone)]
pub struct FlatMap<F>(F);

impl<In, I, F> Operator<In> for FlatMap<F>
where
    In: Family,
    I: IntoIterator<Item: 'static>,
    F: for<'s> FnMut(In::Of<'s>) -> I + 'static,
{
    type Out = Owned<I::Item>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        push_all((self.0)(record), ctx, out);
    }
}

/// Pushes records until there are no more or the job has failed: an iterator without an end fails it, by the bound of
/// what may wait (`edges.overflow_bytes`).
#[inline(always)]
pub(crate) fn push_all<T: 'static>(
    records: impl IntoIterator<Item = T>,
    ctx: &mut Context<'_>,
    out: &mut impl Output<Owned<T>>,
) {
    for record in records {
        if ctx.failed() {
            return;
        }
        out.push(record, ctx);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn each_record_becomes_any_number_with_its_time() {
        check(Cloned(FlatMap(|n: u64| vec![n; n as usize])), "0@1 1@2 2@3 |3 #", "1@2 2@3 2@3 |3 #");
    }
}
