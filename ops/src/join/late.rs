//! Counts what comes too late for a join.

use slotflow_runtime::Context;
use tracing::warn;

/// How many records came late. Warnings tell the count at the first, at every doubling, and at the end of the input, so
/// late data cannot flood the log.
pub(super) struct Late {
    what: &'static str,
    count: u64,
}

impl Late {
    /// None yet; `what` happens to them and what the remedy is, for the warnings.
    pub(super) fn new(what: &'static str) -> Self {
        Late { what, count: 0 }
    }

    /// Counts the record in hand.
    #[cold]
    pub(super) fn count(&mut self, ctx: &Context<'_>) {
        self.count += 1;
        if self.count.is_power_of_two() {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            let (late, timestamp) = (self.count, ctx.timestamp());
            warn!(chain, subtask, late, timestamp, "{}", self.what);
        }
    }

    /// The input has ended. Called again while an operator behind has more to emit.
    pub(super) fn ended(&mut self, ctx: &Context<'_>) {
        let late = std::mem::take(&mut self.count);
        if late > 0 {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            warn!(chain, subtask, late, "in all: {}", self.what);
        }
    }

    /// How many there were.
    #[cfg(test)]
    pub(super) fn counted(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use slotflow_runtime::testing::subtask;
    use slotflow_runtime::{Arena, Blame};
    use tracing::span::{Attributes, Id, Record};
    use tracing::subscriber::with_default;
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Counts what is logged.
    #[derive(Clone, Default)]
    struct Logged(Arc<AtomicUsize>);

    impl Subscriber for Logged {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn the_first_late_record_each_doubling_and_the_end_are_warned_of() {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let ctx = Context::new(&arena, &place, &blame, 1);
        let (logged, mut late) = (Logged::default(), Late::new("a join drops late records"));
        let warnings = || logged.0.load(Ordering::Relaxed);
        with_default(logged.clone(), || {
            late.ended(&ctx);
            assert_eq!(warnings(), 0, "nothing was late");
            (0..100).for_each(|_| late.count(&ctx));
            assert_eq!((warnings(), late.counted()), (7, 100));
            late.ended(&ctx);
            late.ended(&ctx);
            assert_eq!(warnings(), 8, "the end is said once");
        });
    }
}
