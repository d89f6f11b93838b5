//! What becomes of records that come after their windows are gone, or too late for a join.

use slotflow_runtime::{Context, Measures, Routed};
use tracing::warn;

use crate::tally::{LATE, Tally};

/// What an operator over event time emits, and what it does about late records.
pub trait Late<R, T>: Clone + Send + 'static {
    /// What it emits.
    type Out: 'static;
    /// A result of it.
    fn result(result: R) -> Self::Out;
    /// A late record.
    fn late(&mut self, record: T, ctx: &Context<'_>) -> Option<Self::Out>;
    /// The input has ended. Called again while an operator behind has more to emit.
    fn ended(&mut self, _ctx: &Context<'_>) {}
    /// Tells how many it has left out.
    fn measure(&self, _measures: &mut Measures<'_>) {}
}

/// How warnings and metrics tell of late records.
#[derive(Debug)]
pub(crate) struct Wording {
    /// What becomes of them, and what the remedy is.
    pub what: &'static str,
    /// What they are counted as in metrics.
    pub reason: &'static str,
}

/// Those of a window.
const OF_A_WINDOW: Wording = Wording {
    what: "a window drops late records; `aggregate_split`, `reduce_split` and their like keep them",
    reason: LATE,
};

/// Late records are counted, and dropped where nothing can be made of them. Warnings tell the count at the first, at
/// every doubling, and at the end of the input, so late data cannot flood the log.
#[derive(Clone, Debug)]
pub struct Dropped {
    wording: &'static Wording,
    count: Tally,
}

impl Default for Dropped {
    fn default() -> Self {
        Dropped::new(&OF_A_WINDOW)
    }
}

impl<R: 'static, T> Late<R, T> for Dropped {
    type Out = R;

    #[inline(always)]
    fn result(result: R) -> R {
        result
    }

    #[cold]
    fn late(&mut self, _: T, ctx: &Context<'_>) -> Option<R> {
        self.count(1, ctx);
        None
    }

    fn ended(&mut self, ctx: &Context<'_>) {
        self.said_at_the_end(ctx);
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        self.tell(measures);
    }
}

impl Dropped {
    /// None yet.
    pub(crate) fn new(wording: &'static Wording) -> Self {
        Dropped { wording, count: Tally::default() }
    }

    /// So many late records more.
    #[cold]
    pub(crate) fn count(&mut self, records: u64, ctx: &Context<'_>) {
        if let Some(late) = self.count.add(records) {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            let timestamp = ctx.timestamp();
            warn!(chain, subtask, late, timestamp, "{}", self.wording.what);
        }
    }

    /// The input has ended. Called again while an operator behind has more to emit.
    pub(crate) fn said_at_the_end(&mut self, ctx: &Context<'_>) {
        if let Some(late) = self.count.end() {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            warn!(chain, subtask, late, "in all: {}", self.wording.what);
        }
    }

    /// How many there were.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> u64 {
        self.count.count()
    }

    pub(crate) fn tell(&self, measures: &mut Measures<'_>) {
        measures.dropped(self.wording.reason, self.count.count());
    }
}

/// Late records go to the side output.
#[derive(Clone, Copy, Debug)]
pub struct Aside;

impl<R: 'static, T: 'static> Late<R, T> for Aside {
    type Out = Routed<R, T>;

    #[inline(always)]
    fn result(result: R) -> Routed<R, T> {
        Routed::Main(result)
    }

    fn late(&mut self, record: T, _: &Context<'_>) -> Option<Routed<R, T>> {
        Some(Routed::Side(record))
    }
}
