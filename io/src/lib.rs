//! The connectors of slotflow: where records come from and go to.

#![deny(unsafe_code)]

mod callback;
mod collect;
mod generator;
mod iterator;
#[cfg(feature = "kafka")]
pub mod kafka;

pub use callback::{Callback, CallbackWith, Called, callback, callback_with};
pub use collect::{Collect, Collected};
pub use generator::{Generator, generate};
pub use iterator::{FromIterator, from_iterator};
