//! What people reach for, made of process functions.

mod distinct;
mod sample;
mod throttle;
mod top;

pub use distinct::Distinct;
pub use sample::Sample;
pub use throttle::Throttle;
pub use top::Top;
