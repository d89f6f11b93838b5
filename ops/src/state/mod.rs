//! State of process functions: declared by name, kept for each key, found with one look-up.

mod aggregating;
mod backend;
mod bytes;
mod column;
mod descriptor;
mod list;
mod map;
mod memory;
mod reducing;
mod snapshot;
mod storing;
mod timers;
mod ttl;
mod value;

pub use aggregating::AggregatingState;
pub use backend::{StateBackend, Stored};
pub use column::State;
pub use descriptor::{StateDescriptor, StateDescriptors};
pub use list::ListState;
pub use map::MapState;
pub use reducing::ReducingState;
pub use slotflow_runtime::StateSize;
pub use ttl::{TimeDomain, Ttl};
pub use value::ValueState;

pub(crate) use bytes::{read, write};
pub(crate) use column::{At, Chunks, Columns};
pub(crate) use memory::{BothTimers, CLEAN_EVERY, CLEAN_PIECE, InMemory, Row};
pub(crate) use timers::{Due, Timers};
pub(crate) use ttl::Now;
