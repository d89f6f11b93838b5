//! Slots: pinned cores and what they step.

pub mod core;
#[cfg(feature = "glommio")]
mod glommio;
mod pace;
mod park;
mod pulse;
mod thread;

pub use core::{Core, CoreSettings, CoreTurn, Deployment, Idle};
pub use park::{Park, Waker};
pub use pulse::Pulse;
