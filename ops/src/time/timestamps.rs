//! Where a record's event time comes from.

use slotflow_runtime::{Context, Family, Timestamp};

/// Gives a record its event time. Called for each record by one subtask on its slot's thread.
pub trait TimestampAssigner<F: Family>: Clone + Send + 'static {
    /// Milliseconds since the Unix epoch.
    fn timestamp<'s>(&mut self, record: &F::Of<'s>, ctx: &Context<'s>) -> Timestamp;
}

/// By a closure that looks at the record.
#[derive(Clone)]
pub struct By<C>(pub(super) C);

impl<F, C> TimestampAssigner<F> for By<C>
where
    F: Family,
    C: for<'r, 's> FnMut(&'r F::Of<'s>) -> Timestamp + Clone + Send + 'static,
{
    #[inline(always)]
    fn timestamp<'s>(&mut self, record: &F::Of<'s>, _: &Context<'s>) -> Timestamp {
        (self.0)(record)
    }
}

/// By the clock, when the source gives the record.
#[derive(Clone)]
pub struct Ingested;

impl<F: Family> TimestampAssigner<F> for Ingested {
    #[inline(always)]
    fn timestamp<'s>(&mut self, _: &F::Of<'s>, ctx: &Context<'s>) -> Timestamp {
        ctx.processing_time()
    }
}
