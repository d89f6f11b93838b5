//! What becomes of records that come too late for a join.

use slotflow_runtime::{Context, Measures};
use tracing::warn;

use crate::tally::Tally;
use crate::window::Late;

/// Late records are counted, and dropped where nothing can be made of them. Warnings tell the count at the first, at
/// every doubling, and at the end of the input, so late data cannot flood the log.
#[derive(Clone, Debug)]
pub struct TooLate {
    what: &'static str,
    reason: &'static str,
    count: Tally,
}

impl TooLate {
    /// None yet; `what` happens to them and what the remedy is, for the warnings; `reason` is their name in metrics.
    pub(super) fn new(what: &'static str, reason: &'static str) -> Self {
        TooLate { what, reason, count: Tally::default() }
    }

    /// Counts the record in hand.
    #[cold]
    pub(super) fn count(&mut self, ctx: &Context<'_>) {
        if let Some(late) = self.count.add(1) {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            let timestamp = ctx.timestamp();
            warn!(chain, subtask, late, timestamp, "{}", self.what);
        }
    }

    /// The input has ended. Called again while an operator behind has more to emit.
    pub(super) fn over(&mut self, ctx: &Context<'_>) {
        if let Some(late) = self.count.end() {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            warn!(chain, subtask, late, "in all: {}", self.what);
        }
    }

    /// How many there were.
    #[cfg(test)]
    pub(super) fn counted(&self) -> u64 {
        self.count.count()
    }

    pub(super) fn tell(&self, measures: &mut Measures<'_>) {
        measures.dropped(self.reason, self.count.count());
    }
}

impl<R: 'static, T> Late<R, T> for TooLate {
    type Out = R;

    #[inline(always)]
    fn result(result: R) -> R {
        result
    }

    #[cold]
    fn late(&mut self, _: T, ctx: &Context<'_>) -> Option<R> {
        self.count(ctx);
        None
    }

    fn ended(&mut self, ctx: &Context<'_>) {
        self.over(ctx);
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.tell(measures);
    }
}
