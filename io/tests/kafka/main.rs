//! The Kafka source and sink by themselves, against a broker inside the process.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)]

mod commit;
mod failures;
mod harness;
mod sink;
mod source;
