//! Counts the records of count windows that are not full when the input ends.

use slotflow_runtime::{Context, FIRING_BUDGET, Flow, Key, Measures};
use tracing::warn;

use crate::keyed::{Assigned, Drain, ValueTable};
use crate::tally::Tally;

/// The records that no window gives.
pub(super) struct Unfull<K, V> {
    /// The keys that are not looked at yet, once the end has come.
    leaving: Option<Drain<K, V>>,
    records: Tally,
}

impl<K, V> Default for Unfull<K, V> {
    fn default() -> Self {
        Unfull { leaving: None, records: Tally::default() }
    }
}

impl<K: Key, V> Unfull<K, V> {
    /// The input has truly ended: counts what `waiting` says of each key, so many keys in a call. At a drain they are
    /// state that is left, and the report says so.
    pub(super) fn ended<A: Assigned>(
        &mut self,
        table: &mut ValueTable<K, V, A>,
        waiting: impl Fn(&V) -> u64,
        ctx: &Context<'_>,
    ) -> Flow {
        let leaving = self.leaving.get_or_insert_with(|| table.drain());
        let mut keys = 0;
        for (_, value) in leaving.take(FIRING_BUDGET) {
            self.records.add(waiting(&value));
            keys += 1;
        }
        if keys == FIRING_BUDGET {
            return Flow::More;
        }
        self.said(ctx);
        Flow::Done
    }

    fn said(&mut self, ctx: &Context<'_>) {
        if let Some(unfull) = self.records.end() {
            let (chain, subtask) = (ctx.subtask().operator, ctx.subtask().index);
            warn!(
                chain,
                subtask, unfull, "count windows have ended with records that fill none; see `count_window`"
            );
        }
    }

    pub(super) fn tell(&self, measures: &mut Measures<'_>) {
        measures.dropped("unfull", self.records.count());
    }
}
