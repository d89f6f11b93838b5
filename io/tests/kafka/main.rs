//! The Kafka source and sink by themselves, against a broker inside the process.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)]

mod commit;
mod dead_letters;
mod discovery;
mod failures;
mod group;
mod harness;
mod ranges;
mod records;
mod sink;
mod source;
