//! For tests: of operators, marbles and a guard over watermarks; of whole jobs, a simulation.
//!
//! An operator is tested here without a job around it: [`check`] feeds it what a line of marbles
//! says and compares what it pushes with another line. A job is run in one thread, in an order drawn
//! from a seed, by [`simulation`].

mod allocations;
mod check;
mod harness;
mod marbles;
pub mod simulation;
mod watermarks;

pub use allocations::{CountingAllocator, allocations, assert_no_alloc};
pub use check::{check, subtask};
pub use harness::Harness;
pub use marbles::Marble;
pub use watermarks::WatermarkChecker;
