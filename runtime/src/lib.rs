//! The engine of slotflow: what runs a job. It names no operator and no connector.
//!
//! An operator pushes records into an output; a chain of operators is an operator; a subtask steps a
//! chain between two edges; a slot steps subtasks on one pinned core; edges between subtasks are
//! single-producer rings, and how full they are is the backpressure.
//!
//! Reading order: [`record`](Family), [`operator`](Operator), [`chain`](Chain), [`head`], [`subtask`],
//! [`edge`], [`slot`], [`plan`], [`pipe`], [`install`], [`job`], [`testing`].

mod arena;
pub mod boxed;
mod cells;
mod chain;
pub mod config;
mod context;
mod control;
pub mod edge;
pub mod error;
mod fork;
pub mod head;
mod hint;
pub mod install;
mod io_cores;
pub mod job;
mod key;
mod leaving;
pub mod machine;
mod measures;
pub mod metrics;
mod minimum;
mod operator;
pub mod pipe;
pub mod plan;
mod record;
mod retime;
pub mod segments;
mod sink;
mod sink_tail;
pub mod slot;
mod source;
mod state_size;
pub mod subtask;
pub mod testing;
mod time;
pub mod values;

pub use arena::Arena;
pub use cells::Cells;
pub use chain::{Chain, Consumer, Downstream, Flush, Guard, Tail};
pub use config::Config;
pub use context::{Blame, Context, Place, SubtaskContext};
pub use control::{Barrier, Control, LatencyMark};
pub use error::{Error, ErrorKind, Problem, Result};
pub use fork::{Cloning, Divide, Fork, Routed, Routing};
pub use hint::Hint;
pub use io_cores::IoCores;
pub use job::{Ending, Job, JobReport, Left};
pub use key::{Key, KeyGroups, key_group};
pub use leaving::Leaving;
pub use measures::Measures;
pub use minimum::Minimum;
pub use operator::{Build, Cloned, FIRING_BUDGET, Flow, LOOK_AHEAD, Operator, Output, With};
pub use record::{Borrowed, Family, Owned};
pub use retime::{AssignTime, Retime, TimeSaid};
pub use sink::{Acknowledged, Guarantee, InFlight, Sink, SinkWriter};
pub use sink_tail::SinkTail;
pub use slot::{Slots, Waker};
pub use source::{Committer, Offset, Offsets, Polled, Source, SourceReader, SplitId, Splits};
pub use state_size::StateSize;
pub use time::{Clock, EventTime, MAX_TIMESTAMP, MIN_TIMESTAMP, Time, Timestamp, Untimed};
