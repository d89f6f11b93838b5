//! Operators whose closures can fail: `try_map`, `try_filter`, `try_flat_map`.
//!
//! The first error fails the job and names the operator; nothing that follows is processed. Each has two other
//! policies: `_or_skip` leaves out what fails and counts it, and `_split` gives it to a second stream, the dead letter.

mod on_error;
mod try_filter;
mod try_flat_map;
mod try_map;

pub use on_error::{Fail, OnError, Skip};
pub use try_filter::TryFilter;
pub use try_flat_map::TryFlatMap;
pub use try_map::TryMap;
