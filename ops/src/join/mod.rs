//! Joins of two connected streams.

mod as_of;
mod enrich;
mod interval;
mod kept;

use std::collections::VecDeque;

use slotflow_runtime::Timestamp;

pub use as_of::{AsOfJoin, AsOfJoined};
pub use enrich::{Enrich, Enriched};
pub use interval::{IntervalJoin, IntervalJoined};

/// Records of one side of a join, in order of time.
type Side<T> = VecDeque<(Timestamp, T)>;

/// Keeps a record in its place, behind those of its time.
fn keep<T>(side: &mut Side<T>, time: Timestamp, record: T) {
    let at = side.partition_point(|(known, _)| *known <= time);
    side.insert(at, (time, record));
}

/// What the records of a side take.
fn bytes<T>(side: &Side<T>) -> usize {
    side.capacity() * size_of::<(Timestamp, T)>()
}
