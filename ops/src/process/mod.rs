//! Process functions: a record, its key's states, timers, and any number of records out.

mod broadcast;
mod co_process;
mod context;
mod function;
mod operator;
mod side_output;

pub use broadcast::{
    BroadcastContext, BroadcastProcess, BroadcastProcessFunction, BroadcastProcessPlan, BroadcastState,
    broadcast_process,
};
pub use co_process::{CoProcess, CoProcessFunction, CoProcessPlan, co_process};
pub use context::ProcessContext;
pub use function::{KeyedProcessFunction, Open, PerSubtask, ProcessFunction, Timer, Unkeyed};
pub use operator::{KeyedProcess, PerSubtaskPlan, ProcessPlan, keyed_process, process};
