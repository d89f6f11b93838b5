//! Turns each record of two connected streams into any number of others.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Operator, Output, Owned};

use crate::flat_map::push_all;
use crate::{Either, Stream};

impl<'env, A: 'static, B: 'static, P: Pipe<Out = Owned<Either<A, B>>>> Stream<'env, P> {
    /// Turns each record of two [connected](Stream::connect) streams into those of an iterator, each
    /// stream's by a closure of its own: Flink's `CoFlatMapFunction`.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (numbers, ends) = (env.source(from_iterator([5, 6])), env.source(from_iterator([2])));
    /// let all = Collected::new();
    /// numbers.connect(ends).co_flat_map(|n| n..n + 1, |end| 0..end).sink(all.sink());
    /// env.run("all")?;
    /// let mut all = all.take();
    /// all.sort();
    /// assert_eq!(all, [0, 1, 5, 6]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn co_flat_map<I, J, F, G>(
        self,
        first: F,
        second: G,
    ) -> Stream<'env, Then<P, Cloned<CoFlatMap<F, G>>>>
    where
        I: IntoIterator<Item: 'static>,
        J: IntoIterator<Item = I::Item>,
        F: FnMut(A) -> I + Clone + Send + 'static,
        G: FnMut(B) -> J + Clone + Send + 'static,
    {
        self.then("co_flat_map", Cloned(CoFlatMap { first, second }))
    }
}

/// See [`Stream::co_flat_map`].
#[derive(Clone)]
pub struct CoFlatMap<F, G> {
    first: F,
    second: G,
}

impl<A, B, I, J, F, G> Operator<Owned<Either<A, B>>> for CoFlatMap<F, G>
where
    A: 'static,
    B: 'static,
    I: IntoIterator<Item: 'static>,
    J: IntoIterator<Item = I::Item>,
    F: FnMut(A) -> I + 'static,
    G: FnMut(B) -> J + 'static,
{
    type Out = Owned<I::Item>;

    #[inline(always)]
    fn process<'s>(&mut self, record: Either<A, B>, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) {
        match record {
            Either::First(record) => push_all((self.first)(record), ctx, out),
            Either::Second(record) => push_all((self.second)(record), ctx, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn each_stream_has_its_own_closure_and_any_number_of_records() {
        let co_flat_map = CoFlatMap { first: |n: u64| 0..n, second: |sign: char| [u64::from(sign); 2] };
        check(Cloned(co_flat_map), "1:2@1 2:a@2 |2 1:0 #", "0@1 1@1 97@2 97@2 |2 #");
    }
}
