//! Turns each record into any number of others.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output, Owned};

use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Turns each record into those of an iterator.
    ///
    /// ```
    /// # use slotflow::prelude::*;
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
        for record in (self.0)(record) {
            out.push(record, ctx);
        }
    }
}
