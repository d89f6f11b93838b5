//! What travels between records.

use crate::{MAX_TIMESTAMP, Timestamp};

/// A line drawn through all streams by the sources; what came before it belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Counts from 1 within a job.
    pub id: u64,
}

/// When a sampled moment of the input left the source, to measure the way through the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyMark {
    /// Nanoseconds of the host's clock.
    pub sent_ns: u64,
}

/// A control element of an edge: what it says holds between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Event time has reached this. Coalesces: only the last one at a position is kept, and the end of time beside it.
    Watermark(Timestamp),
    /// The input has nothing to say and must not hold up event time.
    Idle,
    /// Never coalesces, never overtakes, is never overtaken.
    Barrier(Barrier),
    /// A sample for the latency histogram.
    Mark(LatencyMark),
    /// Nothing more will come; a ring that is dropped without it is a failure.
    End,
}

impl Control {
    /// Whether this need not be said when that is said at the same place.
    pub(crate) fn is_overtaken_by(self, next: Control) -> bool {
        match (self, next) {
            (Control::Watermark(_), Control::Watermark(time)) => time != MAX_TIMESTAMP,
            _ => false,
        }
    }
}
