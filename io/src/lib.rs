//! The connectors of slotflow: where records come from and go to.

#![deny(unsafe_code)]

pub mod bridges;
mod callback;
mod collect;
mod doorbell;
mod egress;
pub mod files;
pub mod formats;
pub mod frames;
mod generator;
mod ingress;
mod iterator;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod net;
mod overflow;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "schema-registry")]
pub mod schema_registry;
#[cfg(feature = "shared-memory")]
pub mod shared_memory;
mod stdout;

pub use callback::{Callback, CallbackWith, Called, callback, callback_with};
pub use collect::{Collect, Collected};
pub use egress::{Egress, EgressSink, EgressWriter, Nothing, egress};
pub use generator::{Generator, generate};
pub use ingress::{Ingress, IngressReader, IngressSource, Refused, ingress, ingress_n};
pub use iterator::{FromIterator, from_iterator};
pub use stdout::{LineWriter, Stdout, stdout};
