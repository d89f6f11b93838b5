//! Turns each record into another, or fails the job.

use slotflow_runtime::error::Cause;
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::plan::OperatorId;
use slotflow_runtime::{Cloned, Context, Error, Family, Operator, Output, Owned};

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
    pub fn try_map<U, E, F>(self, map: F) -> Stream<'env, Then<P, Cloned<TryMap<F>>>>
    where
        U: 'static,
        E: Into<Cause>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<U, E> + Clone + Send + 'static,
    {
        self.then_numbered("try_map", |number| Cloned(TryMap { map, number }))
    }
}

/// See [`Stream::try_map`].
#[derive(Clone)]
pub struct TryMap<F> {
    map: F,
    number: OperatorId,
}

impl<In, U, E, F> Operator<In> for TryMap<F>
where
    In: Family,
    U: 'static,
    E: Into<Cause>,
    F: for<'s> FnMut(In::Of<'s>) -> Result<U, E> + 'static,
{
    type Out = Owned<U>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<Owned<U>>) {
        if ctx.failed() {
            return;
        }
        match (self.map)(record) {
            Ok(record) => out.push(record, ctx),
            Err(error) => ctx.fail_in(self.number, Error::user(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn the_first_error_is_the_last_thing_that_happens() {
        let map = |n: u64| n.checked_sub(2).ok_or("too small");
        check(Cloned(TryMap { map, number: 0 }), "2@2 3 1 4 |9 5 #", "0@2 1 !");
    }
}
