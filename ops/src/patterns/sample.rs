//! Every so manieth record.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Operator, Output};

use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Passes the first record of every `every` of each subtask, by counting: the same ones in every run. 0 and 1
    /// pass all.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// assert_eq!(collect(0..10, |numbers| numbers.sample(4))?, [0, 4, 8]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn sample(self, every: u64) -> Stream<'env, Then<P, Cloned<Sample>>> {
        self.then("sample", Cloned(Sample { every, left: 0 }))
    }
}

/// See [`Stream::sample`].
#[derive(Clone)]
pub struct Sample {
    every: u64,
    /// How many are left out before the next one.
    left: u64,
}

impl<In: Family> Operator<In> for Sample {
    type Out = In;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, ctx: &mut Context<'s>, out: &mut impl Output<In>) {
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        self.left = self.every.saturating_sub(1);
        out.push(record, ctx);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::check;

    use super::*;

    #[test]
    fn the_first_of_each_few_is_passed() {
        check::<u64, u64>(Cloned(Sample { every: 3, left: 0 }), "1@1 2 |2 3 4@5 5 #", "1@1 |2 4@5 #");
        check::<u64, u64>(Cloned(Sample { every: 0, left: 0 }), "1 2 #", "1 2 #");
    }
}
