//! Edges: how records go from the subtasks of one chain to those of the next.
//!
//! Each pair (from subtask, to subtask) has a ring of its own with one writer and one reader, and a
//! control lane beside it ([`ring`]). An [`Outlet`] is the writing end of one subtask towards all its
//! targets, an [`Inlet`](inlet::Inlet) the reading end of one subtask from all its origins. How full
//! the rings are is the backpressure; there is no other signal.

pub mod combine;
pub mod inlet;
mod moving;
pub mod outlet;
pub mod overflow;
pub mod partition;
pub mod ring;

pub use outlet::Outlet;
pub use partition::{Broadcast, Custom, Route, Spread};
