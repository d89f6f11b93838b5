//! Visits of all entries, in portions.

use super::slots::Slots;
use super::window::WIDTH;
use super::{Key, Segments};
use crate::Flow;

/// How far a visit has come: the segment, and the slot in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    pub(super) segment: usize,
    pub(super) slot: usize,
}

/// What becomes of an entry that was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visited {
    /// It stays.
    Kept,
    /// It goes.
    Removed,
}

impl<K: Key, V> Segments<K, V> {
    /// Visits the entries behind `cursor`, until all were, or `budget` is used up, of which each visit takes one,
    /// and more if it says so. Nothing may be added before all have been visited.
    pub fn visit(
        &mut self,
        cursor: &mut Cursor,
        budget: &mut usize,
        mut visit: impl FnMut(&K, &mut V, &mut usize) -> Visited,
    ) -> Flow {
        self.segments.forget();
        while let Some(segment) = self.segments.all().get(cursor.segment) {
            // Also where there is nothing: a table that most entries have left is long.
            if *budget == 0 {
                return Flow::More;
            }
            let Some(mut occupied) = segment.occupied(cursor.slot) else {
                *cursor = Cursor { segment: cursor.segment + 1, slot: 0 };
                continue;
            };
            while occupied != 0 {
                let slot = cursor.slot + occupied.trailing_zeros() as usize;
                if *budget == 0 {
                    cursor.slot = slot;
                    return Flow::More;
                }
                let mut spent = 1;
                if let Some((key, value)) = self.segments.at_mut(cursor.segment, slot)
                    && visit(key, value, &mut spent) == Visited::Removed
                {
                    drop(self.segments.take(cursor.segment, slot));
                }
                *budget = budget.saturating_sub(spent);
                occupied &= occupied - 1;
            }
            cursor.slot += WIDTH;
            // Empty slots cost a look at their tags, all at once.
            *budget = budget.saturating_sub(1);
        }
        Flow::Done
    }

    /// Visits all entries as [`visit`](Segments::visit) does, and leaves the table empty, with room for as many
    /// as it had.
    pub fn empty(
        &mut self,
        cursor: &mut Cursor,
        budget: &mut usize,
        visit: impl FnMut(&K, &mut V, &mut usize) -> Visited,
    ) -> Flow {
        let begun = cursor.segment;
        let flow = self.visit(cursor, budget, visit);
        (begun..cursor.segment).for_each(|segment| self.segments.clear(segment));
        flow
    }

    /// How many keys there is room for, and then some.
    pub fn slots(&self) -> usize {
        self.segments.all().iter().map(Slots::slots).sum()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.segments.all().iter().all(|segment| segment.len() == 0)
    }
}
