//! What becomes of records that come after their windows are gone.

use slotflow_runtime::{Context, Measures, Routed};
use tracing::warn;

use crate::tally::{LATE, Tally};

/// What a window operator emits, and what it does about late records.
pub trait Late<R, T>: Clone + Send + 'static {
    /// What it emits.
    type Out: 'static;
    /// A window's result.
    fn result(result: R) -> Self::Out;
    /// A late record.
    fn late(&mut self, record: T, ctx: &Context<'_>) -> Option<Self::Out>;
    /// The input has ended. Called again while an operator behind has more to emit.
    fn ended(&mut self, _ctx: &Context<'_>) {}
    /// Tells how many it has left out.
    fn measure(&self, _measures: &mut Measures<'_>) {}
}

/// Late records are dropped and counted. Warnings tell the count at the first, at every doubling, and at the
/// end of the input, so late data cannot flood the log.
#[derive(Clone, Debug, Default)]
pub struct Dropped {
    dropped: Tally,
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
    /// So many late records more.
    pub(super) fn count(&mut self, records: u64, ctx: &Context<'_>) {
        if let Some(dropped) = self.dropped.add(records) {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            let timestamp = ctx.timestamp();
            warn!(
                chain,
                subtask,
                dropped,
                timestamp,
                "a window drops a late record; `aggregate_split`, `reduce_split` and their like keep it"
            );
        }
    }

    pub(super) fn said_at_the_end(&mut self, ctx: &Context<'_>) {
        if let Some(dropped) = self.dropped.end() {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            warn!(chain, subtask, dropped, "a window has dropped late records");
        }
    }

    pub(super) fn tell(&self, measures: &mut Measures<'_>) {
        measures.dropped(LATE, self.dropped.count());
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
