//! Folds all the records of a subtask and emits the result at the end.

use slotflow_runtime::pipe::{Pipe, Then};
use slotflow_runtime::{Cloned, Context, Family, Flow, MAX_TIMESTAMP, Operator, Output, Owned, Timestamp};

use crate::Stream;

impl<'env, P: Pipe> Stream<'env, P> {
    /// Folds the records of each subtask into a value that begins as `init`, and emits it when the
    /// input has ended or the job is drained: one record for each subtask. Its event time is the last there is, and it
    /// comes in front of the last watermark: windows behind still take it.
    ///
    /// ```
    /// # use slotflow::{prelude::*, testing::collect};
    /// assert_eq!(collect([1, 2, 3], |numbers| numbers.fold_at_end(0, |sum, n| *sum += n))?, [6]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fold_at_end<A, F>(self, init: A, fold: F) -> Stream<'env, Then<P, Cloned<FoldAtEnd<A, F>>>>
    where
        A: Clone + Send + 'static,
        F: for<'s> FnMut(&mut A, <P::Out as Family>::Of<'s>) + Clone + Send + 'static,
    {
        let stream = self.then("fold_at_end", Cloned(FoldAtEnd { value: init, fold, emitted: false }));
        stream.env.graph(|graph| graph.operator_mut(stream.last).stateful = true);
        stream
    }
}

/// See [`Stream::fold_at_end`].
#[derive(Clone)]
pub struct FoldAtEnd<A, F> {
    value: A,
    fold: F,
    emitted: bool,
}

impl<In, A, F> Operator<In> for FoldAtEnd<A, F>
where
    In: Family,
    A: Clone + 'static,
    F: for<'s> FnMut(&mut A, In::Of<'s>) + 'static,
{
    type Out = Owned<A>;

    #[inline(always)]
    fn process<'s>(&mut self, record: In::Of<'s>, _: &mut Context<'s>, _: &mut impl Output<Owned<A>>) {
        (self.fold)(&mut self.value, record);
    }

    /// In front of the last watermark, so that what is emitted is not late for those behind.
    fn watermark<'s>(
        &mut self,
        watermark: Timestamp,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<A>>,
    ) -> Flow {
        if watermark == MAX_TIMESTAMP { self.end(ctx, out) } else { Flow::Done }
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Owned<A>>) -> Flow {
        if !self.emitted {
            self.emitted = true;
            ctx.set_timestamp(MAX_TIMESTAMP);
            out.push(self.value.clone(), ctx);
        }
        Flow::Done
    }
}
