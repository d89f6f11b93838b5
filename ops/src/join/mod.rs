//! Joins of two connected streams.

mod as_of;
mod enrich;
mod interval;
mod late;

use std::collections::VecDeque;

use slotflow_runtime::Timestamp;

pub use as_of::{AsOfJoin, AsOfJoined};
pub use enrich::{Enrich, Enriched};
pub use interval::{IntervalJoin, IntervalJoined};

/// Keeps a record in its place, behind those of its time.
fn keep<T>(side: &mut VecDeque<(Timestamp, T)>, time: Timestamp, record: T) {
    let at = side.partition_point(|(known, _)| *known <= time);
    side.insert(at, (time, record));
}
