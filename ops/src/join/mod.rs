//! Joins of two connected streams by event time.

mod interval;

pub use interval::{IntervalJoin, IntervalJoined};
