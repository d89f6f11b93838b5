//! Turns each record of two connected streams into another.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Operator, Output, Owned};

use crate::{Either, Stream};

impl<'env, A: 'static, B: 'static, P: Pipe<Out = Owned<Either<A, B>>>> Stream<'env, P> {
    /// Turns each record of two [connected](Stream::connect) streams into another, each stream's by a
    /// closure of its own: Flink's `CoMapFunction`.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let (numbers, words) = (env.source(from_iterator([1, 2])), env.source(from_iterator(["a"])));
    /// let texts = Collected::new();
    /// numbers.connect(words).co_map(|n| n.to_string(), |word| word.to_owned()).sink(texts.sink());
    /// env.run("texts")?;
    /// let mut texts = texts.take();
    /// texts.sort();
    /// assert_eq!(texts, ["1", "2", "a"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn co_map<U, F, G>(self, first: F, second: G) -> Stream<'env, Then<P, Cloned<CoMap<F, G>>>>
    where
        U: 'static,
        F: FnMut(A) -> U + Clone + Send + 'static,
        G: FnMut(B) -> U + Clone + Send + 'static,
    {
        self.then("co_map", Cloned(CoMap { first, second }))
    }
}

/// See [`Stream::co_map`].
#[derive(Clone)]
pub struct CoMap<F, G> {
    first: F,
    second: G,
}

impl<A, B, U, F, G> Operator<Owned<Either<A, B>>> for CoMap<F, G>
where
    A: 'static,
    B: 'static,
    U: 'static,
    F: FnMut(A) -> U + 'static,
    G: FnMut(B) -> U + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: Either<A, B>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        let record = match record {
            Either::First(record) => (self.first)(record),
            Either::Second(record) => (self.second)(record),
        };
        out.push(record, ctx);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn each_stream_has_its_own_closure() {
        let co_map = CoMap { first: |n: u64| n * 2, second: |sign: char| u64::from(sign) };
        check(Cloned(co_map), "1:4@1 2:a@2 |2 1:5 #", "8@1 97@2 |2 10 #");
    }
}
