//! A job: what its subtasks share, who commits for it, and the handle the host holds.

mod control;
mod coordinator;

pub use control::{Arrivals, JobControl, Phase, Report};
pub use coordinator::Coordinator;
