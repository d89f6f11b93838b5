//! Visits of all entries, in portions.

use slotflow_runtime::Flow;

use super::{Key, Segment, Segments};

/// How far a visit has come: the segment, and the bucket in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    pub(super) segment: usize,
    pub(super) bucket: usize,
}

/// What becomes of an entry that was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visited {
    /// It stays.
    Kept,
    /// It goes.
    Removed,
}

/// Passing this many buckets counts as one visit: an empty one costs a look at its tag.
const BUCKETS_PER_VISIT: usize = 16;

impl<K: Key, V> Segments<K, V> {
    /// Visits the entries behind `cursor`, until all were, or `budget` is used up, of which each visit takes one,
    /// and more if it says so. Nothing may be added before all have been visited.
    pub(crate) fn visit(
        &mut self,
        cursor: &mut Cursor,
        budget: &mut usize,
        mut visit: impl FnMut(&K, &mut V, &mut usize) -> Visited,
    ) -> Flow {
        while let Some(Segment { entries: segment, .. }) = self.segments.get_mut(cursor.segment) {
            while cursor.bucket < segment.num_buckets() {
                if *budget == 0 {
                    return Flow::More;
                }
                let mut spent = usize::from(cursor.bucket.is_multiple_of(BUCKETS_PER_VISIT));
                if let Ok(mut entry) = segment.get_bucket_entry(cursor.bucket) {
                    let (key, value) = entry.get_mut();
                    spent += 1;
                    if visit(key, value, &mut spent) == Visited::Removed {
                        entry.remove();
                    }
                }
                cursor.bucket += 1;
                *budget = budget.saturating_sub(spent);
            }
            *cursor = Cursor { segment: cursor.segment + 1, bucket: 0 };
        }
        Flow::Done
    }

    /// Visits all entries as [`visit`](Segments::visit) does, and leaves the table empty, with room for as many
    /// as it had.
    pub(crate) fn empty(
        &mut self,
        cursor: &mut Cursor,
        budget: &mut usize,
        visit: impl FnMut(&K, &mut V, &mut usize) -> Visited,
    ) -> Flow {
        let begun = cursor.segment;
        let flow = self.visit(cursor, budget, visit);
        self.segments[begun..cursor.segment].iter_mut().for_each(|segment| segment.entries.clear());
        flow
    }

    /// How many keys there is room for, and then some.
    pub(crate) fn buckets(&self) -> usize {
        self.segments.iter().map(|segment| segment.entries.num_buckets()).sum()
    }

    /// Whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.iter().all(|segment| segment.entries.is_empty())
    }
}
