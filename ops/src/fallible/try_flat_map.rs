//! Turns each record into any number of others, and fails the job, leaves the record out or sets it apart where that
//! cannot be done.

use slotflow_runtime::error::Cause;
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Flow, Measures, Operator, Output, Owned, Routed, Routing};

use super::{Fail, OnError, Skip};
use crate::Stream;
use crate::flat_map::push_all;
use crate::split::Split;

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
    pub fn try_flat_map<I, E, F>(self, map: F) -> Stream<'env, Then<P, Cloned<TryFlatMap<F, Fail>>>>
    where
        I: IntoIterator<Item: 'static>,
        E: Into<Cause>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<I, E> + Clone + Send + 'static,
    {
        self.then_numbered("try_flat_map", |number| Cloned(TryFlatMap { map, on_error: Fail { number } }))
    }

    /// Turns each record into those of an iterator; one that fails is left out, and counted as `failed` in the job's
    /// metrics, with warnings as [`try_map_or_skip`](Stream::try_map_or_skip) gives them.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let repeat = |word: &str| word.parse::<usize>().map(|n| vec![n; n]);
    /// assert_eq!(collect(["1", "x", "2"], move |words| words.try_flat_map_or_skip(repeat))?, [1, 2, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_flat_map_or_skip<I, E, F>(self, map: F) -> Stream<'env, Then<P, Cloned<TryFlatMap<F, Skip>>>>
    where
        I: IntoIterator<Item: 'static>,
        E: Into<Cause>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<I, E> + Clone + Send + 'static,
    {
        self.then("try_flat_map", Cloned(TryFlatMap { map, on_error: Skip::new("try_flat_map") }))
    }

    /// Turns each record into those of an iterator; one that fails goes to the second stream as its error, the dead
    /// letter. Both streams must end in a sink.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let words = env.source(from_iterator(["1", "x", "2"]));
    /// let (numbers, bad) = words.try_flat_map_split(|word| match word.parse::<usize>() {
    ///     Ok(n) => Ok(vec![n; n]),
    ///     Err(_) => Err(format!("bad: {word}")),
    /// });
    /// let (good, dead) = (Collected::new(), Collected::new());
    /// numbers.sink(good.sink());
    /// bad.sink(dead.sink());
    /// env.run("repeat")?;
    /// assert_eq!((good.take(), dead.take()), (vec![1, 2, 2], vec!["bad: x".to_owned()]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_flat_map_split<I, E, F>(self, mut map: F) -> Split<'env, I::Item, E, P::Time>
    where
        I: IntoIterator<Item: Send + 'static>,
        E: Send + 'static,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<I, E> + Clone + Send + 'static,
    {
        let route = move |record: <P::Out as Family>::Of<'_>| {
            let (records, error) = match map(record) {
                Ok(records) => (Some(records), None),
                Err(error) => (None, Some(error)),
            };
            records.into_iter().flatten().map(Routed::Main).chain(error.map(Routed::Side))
        };
        self.flat_map(route).name("try_flat_map").fork::<I::Item, E, Routing>(["main", "dead letter"])
    }
}

/// See [`Stream::try_flat_map`] and [`Stream::try_flat_map_or_skip`].
#[derive(Clone)]
pub struct TryFlatMap<F, P> {
    map: F,
    on_error: P,
}

impl<In, I, E, F, P> Operator<In> for TryFlatMap<F, P>
where
    P: OnError,
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

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Self::Out>) -> Flow {
        self.on_error.ended(ctx);
        Flow::Done
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.on_error.measure(measures);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    fn map(n: u64) -> Result<std::ops::Range<u64>, &'static str> {
        if n > 9 { Err("too large") } else { Ok(0..n) }
    }

    #[test]
    fn the_first_error_is_the_last_thing_that_happens() {
        check(Cloned(TryFlatMap { map, on_error: Fail { number: 0 } }), "2@2 0 1 10 4 |9 #", "0@2 1@2 0 !");
    }

    #[test]
    fn what_fails_is_left_out() {
        let skip = Skip::new("try_flat_map");
        check(Cloned(TryFlatMap { map, on_error: skip }), "2@2 10 1 |3 11 #", "0@2 1@2 0 |3 #");
    }
}
