//! A job: what its subtasks share, who commits for it, and the handle the host holds.

mod control;
mod coordinator;
mod handle;
mod left;
mod run;
mod shares;
mod snapshot;
mod view;
mod why_slow;

pub use control::{Arrivals, JobControl, Phase, Report};
pub use coordinator::Coordinator;
pub use handle::{Ending, Job, JobReport};
pub use left::Left;
pub use run::start;
pub(crate) use run::{Assembled, assemble, finish, tick};
pub use shares::SlotMetrics;
pub use snapshot::{EdgeMetrics, JobMetrics, SubtaskMetrics};
pub use view::View;
