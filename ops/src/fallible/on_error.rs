//! What becomes of a record that cannot be handled.

use slotflow_runtime::error::Cause;
use slotflow_runtime::plan::OperatorId;
use slotflow_runtime::{Context, Error, Measures};
use tracing::warn;

use crate::tally::Tally;

/// What an operator does about a closure's error.
pub trait OnError: 'static {
    /// A closure has failed; its record gives nothing.
    fn failed(&mut self, cause: Cause, ctx: &mut Context<'_>);
    /// The input has ended. Called again while an operator behind has more to emit.
    fn ended(&mut self, _ctx: &Context<'_>) {}
    /// Tells how many records it has left out.
    fn measure(&self, _measures: &mut Measures<'_>) {}
}

/// Fails the job at the first error.
#[derive(Clone, Copy, Debug)]
pub struct Fail {
    /// The operator's number in the job, so that the error names it.
    pub(super) number: OperatorId,
}

impl OnError for Fail {
    #[cold]
    fn failed(&mut self, cause: Cause, ctx: &mut Context<'_>) {
        ctx.fail_in(self.number, Error::user(cause));
    }
}

/// Leaves out what fails, and counts it. Warnings tell the count and the latest cause: at the first, at
/// every doubling, and at the end of the input, so bad input cannot flood the log.
#[derive(Clone, Copy, Debug)]
pub struct Skip {
    /// The method that it stands for, for the warnings.
    method: &'static str,
    skipped: Tally,
}

impl Skip {
    pub(super) fn new(method: &'static str) -> Skip {
        Skip { method, skipped: Tally::default() }
    }
}

impl OnError for Skip {
    #[cold]
    fn failed(&mut self, cause: Cause, ctx: &mut Context<'_>) {
        if let Some(skipped) = self.skipped.add(1) {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            warn!(chain, subtask, skipped, %cause, "{} skips a record", self.method);
        }
    }

    fn ended(&mut self, ctx: &Context<'_>) {
        if let Some(skipped) = self.skipped.end() {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            warn!(chain, subtask, skipped, "{} has skipped records", self.method);
        }
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        measures.dropped("failed", self.skipped.count());
    }
}
