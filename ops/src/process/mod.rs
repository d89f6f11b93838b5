//! Process functions: a record, its key's states, timers, and any number of records out.

mod context;
mod function;
mod operator;
mod side_output;

pub use context::ProcessContext;
pub use function::{KeyedProcessFunction, ProcessFunction, Timer, Unkeyed};
pub use operator::{KeyedProcess, ProcessPlan, keyed_process, process};
