//! For tests of operators: marbles, and a guard over watermarks.
//!
//! An operator is tested here without a job around it: [`check`] feeds it what a line of marbles
//! says and compares what it pushes with another line.

mod check;
mod marbles;
mod watermarks;

pub use check::{check, subtask};
pub use marbles::Marble;
pub use watermarks::WatermarkChecker;
