//! Turns each record into another and leaves out those that fail.

use slotflow_runtime::error::Cause;
use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Flow, Operator, Output, Owned};
use tracing::warn;

use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
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
    pub fn try_map_or_skip<U, E, F>(self, map: F) -> Stream<'env, Then<P, Cloned<TryMapOrSkip<F>>>>
    where
        U: 'static,
        E: Into<Cause>,
        F: for<'s> FnMut(<P::Out as Family>::Of<'s>) -> Result<U, E> + Clone + Send + 'static,
    {
        self.then("try_map", Cloned(TryMapOrSkip { map, skipped: 0 }))
    }
}

/// See [`Stream::try_map_or_skip`].
#[derive(Clone)]
pub struct TryMapOrSkip<F> {
    map: F,
    skipped: u64,
}

impl<F> TryMapOrSkip<F> {
    #[cold]
    fn skip(&mut self, cause: Cause, ctx: &Context<'_>) {
        self.skipped += 1;
        if self.skipped.is_power_of_two() {
            let (chain, subtask) = (&*ctx.subtask().operator, ctx.subtask().index);
            warn!(chain, subtask, skipped = self.skipped, %cause, "try_map skips a record");
        }
    }
}

impl<In, U, E, F> Operator<In> for TryMapOrSkip<F>
where
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
            Err(error) => self.skip(error.into(), ctx),
        }
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<U>>) -> Flow {
        if self.skipped > 0 {
            let (chain, subtask) = (&*ctx.subtask().operator, ctx.subtask().index);
            warn!(chain, subtask, skipped = self.skipped, "try_map has skipped records");
        }
        Flow::Done
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn what_fails_is_left_out() {
        let map = |n: u64| n.checked_sub(2).ok_or("too small");
        check(Cloned(TryMapOrSkip { map, skipped: 0 }), "2@2 1 3 |3 0 4 #", "0@2 1 |3 2 #");
    }
}
