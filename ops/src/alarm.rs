//! Keys that wait for a time, the earliest first out of a binary heap.

use std::cmp::Ordering;

use slotflow_runtime::Timestamp;

/// The key of this hash that has an alarm at `due` is to be looked at when event time has passed it.
///
/// It has no copy of the key, which may be a string: should two keys of one hash wait for the same time, each has an
/// alarm, and it does not matter which of them is found first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    pub(crate) due: Timestamp,
    pub(crate) hash: u64,
}

impl Ord for Alarm {
    /// The earliest is the greatest, as the heap gives out that one.
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Alarm {}
