//! Turns each record into another, and fails the job or leaves the record out where that cannot be done.

use slotflow_runtime::error::Cause;
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Flow, Measures, Operator, Output, Owned};

use super::{Fail, OnError, Skip};
use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Turns each record into another; the first error fails the job.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let parsed = collect(["1", "2"], |words| words.try_map(|word| word.parse::<u32>()))?;
    /// assert_eq!(parsed, [1, 2]);
    ///
    /// let failed = collect(["1", "x"], |words| words.try_map(|word| word.parse::<u32>()).name("parse"));
    /// let error = failed.unwrap_err().to_string();
    /// assert_eq!(error, r#"operator "parse", subtask 0: invalid digit found in string"#);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_map<U, E, F>(self, map: F) -> Stream<'env, Then<P, Cloned<TryMap<F, Fail>>>>
    where
        U: 'static,
        E: Into<Cause>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<U, E> + Clone + Send + 'static,
    {
        self.then_numbered("try_map", |number| Cloned(TryMap { map, on_error: Fail { number } }))
    }

    /// Turns each record into another; one that fails is left out and counted.
    ///
    /// Warnings tell the count and the latest cause: at the first, at every doubling, and at the end
    /// of the input, so bad input cannot flood the log.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// let parsed = collect(["1", "x", "3"], |words| words.try_map_or_skip(|word| word.parse::<u32>()))?;
    /// assert_eq!(parsed, [1, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_map_or_skip<U, E, F>(self, map: F) -> Stream<'env, Then<P, Cloned<TryMap<F, Skip>>>>
    where
        U: 'static,
        E: Into<Cause>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<U, E> + Clone + Send + 'static,
    {
        self.then("try_map", Cloned(TryMap { map, on_error: Skip::new("try_map") }))
    }
}

/// See [`Stream::try_map`] and [`Stream::try_map_or_skip`].
#[derive(Clone)]
pub struct TryMap<F, P> {
    map: F,
    on_error: P,
}

impl<In, U, E, F, P> Operator<In> for TryMap<F, P>
where
    P: OnError,
    In: Family,
    U: 'static,
    E: Into<Cause>,
    F: for<'s> FnMut(In::Of<'s>) -> Result<U, E> + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        match (self.map)(record) {
            Ok(record) => out.push(record, ctx),
            Err(error) => self.on_error.failed(error.into(), ctx),
        }
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<U>>) -> Flow {
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

    #[test]
    fn the_first_error_is_the_last_thing_that_happens() {
        let map = |n: u64| n.checked_sub(2).ok_or("too small");
        check(Cloned(TryMap { map, on_error: Fail { number: 0 } }), "2@2 3 1 4 |9 5 #", "0@2 1 !");
    }

    #[test]
    fn what_fails_is_left_out() {
        let map = |n: u64| n.checked_sub(2).ok_or("too small");
        check(Cloned(TryMap { map, on_error: Skip::new("try_map") }), "2@2 1 3 |3 0 4 #", "0@2 1 |3 2 #");
    }
}
