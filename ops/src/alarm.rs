//! Keys that wait for a time, the earliest first out of a binary heap.

use std::cmp::Ordering;

use slotflow_runtime::Timestamp;

/// A key that is to be looked at when event time has passed `due`.
pub(crate) struct Alarm<K> {
    pub(crate) due: Timestamp,
    pub(crate) key: K,
}

impl<K> Ord for Alarm<K> {
    /// The earliest is the greatest, as the heap gives out that one.
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

impl<K> PartialOrd for Alarm<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Alarm<K> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<K> Eq for Alarm<K> {}
