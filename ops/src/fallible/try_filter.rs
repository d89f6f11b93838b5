//! Keeps the records a predicate accepts, and fails the job, leaves a record out or sets it apart where it cannot tell.

use slotflow_runtime::error::Cause;
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Flow, Measures, Operator, Output, Owned, Routed, Routing};

use super::{Fail, OnError, Skip};
use crate::Stream;
use crate::split::Split;

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
    pub fn try_filter<E, F>(self, keep: F) -> Stream<'env, Then<P, Cloned<TryFilter<F, Fail>>>>
    where
        E: Into<Cause>,
        F: for<'r, 's> FnMut(&'r <P::Out as Family>::Of<'s>) -> Result<bool, E> + Clone + Send + 'static,
    {
        self.then_numbered("try_filter", |number| Cloned(TryFilter { keep, on_error: Fail { number } }))
    }

    /// Keeps the records for which `keep` is `Ok(true)`; one for which it fails is left out, and counted as `failed` in
    /// the job's metrics, with warnings as [`try_map_or_skip`](Stream::try_map_or_skip) gives them.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let even = |word: &&str| word.parse::<u32>().map(|n| n % 2 == 0);
    /// assert_eq!(collect(["1", "x", "2"], move |words| words.try_filter_or_skip(even))?, ["2"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_filter_or_skip<E, F>(self, keep: F) -> Stream<'env, Then<P, Cloned<TryFilter<F, Skip>>>>
    where
        E: Into<Cause>,
        F: for<'r, 's> FnMut(&'r <P::Out as Family>::Of<'s>) -> Result<bool, E> + Clone + Send + 'static,
    {
        self.then("try_filter", Cloned(TryFilter { keep, on_error: Skip::new("try_filter") }))
    }
}

impl<'env, T: Send + 'static, P: Pipe<Out = Owned<T>>> Stream<'env, P> {
    /// Keeps the records for which `keep` is `Ok(true)`; one for which it fails goes to the second stream with its
    /// error, the dead letter. Both streams must end in a sink.
    ///
    /// ```
    /// # use slotflow::prelude::*;
    /// let env = Environment::with(Config::default());
    /// let words = env.source(from_iterator(["1", "x", "2"]));
    /// let (even, bad) = words.try_filter_split(|word| match word.parse::<u32>() {
    ///     Ok(number) => Ok(number % 2 == 0),
    ///     Err(_) => Err("no number"),
    /// });
    /// let (good, dead) = (Collected::new(), Collected::new());
    /// even.sink(good.sink());
    /// bad.sink(dead.sink());
    /// env.run("even")?;
    /// assert_eq!((good.take(), dead.take()), (vec!["2"], vec![("x", "no number")]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_filter_split<E, F>(self, mut keep: F) -> Split<'env, T, (T, E), P::Time>
    where
        E: Send + 'static,
        F: FnMut(&T) -> Result<bool, E> + Clone + Send + 'static,
    {
        let route = move |record: T| match keep(&record) {
            Ok(true) => Some(Routed::Main(record)),
            Ok(false) => None,
            Err(error) => Some(Routed::Side((record, error))),
        };
        self.filter_map(route).name("try_filter").fork::<T, (T, E), Routing>(["main", "dead letter"])
    }
}

/// See [`Stream::try_filter`] and [`Stream::try_filter_or_skip`].
#[derive(Clone)]
pub struct TryFilter<F, P> {
    keep: F,
    on_error: P,
}

impl<In, E, F, P> Operator<In> for TryFilter<F, P>
where
    P: OnError,
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

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<In>) -> Flow {
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

    fn keep(n: &u64) -> Result<bool, &'static str> {
        if *n > 9 { Err("too large") } else { Ok(*n > 1) }
    }

    #[test]
    fn the_first_error_is_the_last_thing_that_happens() {
        check::<u64, _>(
            Cloned(TryFilter { keep, on_error: Fail { number: 0 } }),
            "2@2 1 3 10 4 |9 #",
            "2@2 3 !",
        );
    }

    #[test]
    fn what_fails_is_left_out() {
        let skip = Skip::new("try_filter");
        check::<u64, _>(Cloned(TryFilter { keep, on_error: skip }), "2@2 1 10 3 |3 11 4 #", "2@2 3 |3 4 #");
    }
}
