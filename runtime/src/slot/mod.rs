//! Slots: pinned cores and what they step.

pub mod core;
mod driver;
#[cfg(feature = "glommio")]
mod glommio;
mod pace;
mod park;
mod pool;
mod pulse;
mod seated;
mod thread;
mod watchdog;

pub use core::{Command, Core, CoreSettings, CoreTurn, Deployment, Idle};
pub use park::{Park, Waker};
pub use pool::Slots;
pub(crate) use pool::settings;
pub use pulse::Pulse;
