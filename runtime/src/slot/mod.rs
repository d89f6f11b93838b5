//! Slots: pinned cores and what they step.

mod command;
pub mod core;
mod driver;
#[cfg(feature = "glommio")]
mod glommio;
mod lease;
mod pace;
mod park;
mod pool;
mod pulse;
mod seated;
mod thread;
mod watch;
mod watchdog;

pub use command::{BuildSubtask, Command, Deployment};
pub use core::{Core, CoreSettings, CoreTurn, Idle};
pub use park::{Park, Waker};
pub use pool::Slots;
pub(crate) use pool::settings;
pub use pulse::Pulse;
