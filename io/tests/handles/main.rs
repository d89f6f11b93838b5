//! Connectors without a broker, with real jobs between them: one program, as each takes seconds to link.
#![allow(clippy::unwrap_used)] // Clippy does not take helpers of a test for tests.

mod bridges;
mod files;
mod folder;
#[cfg(all(feature = "kafka", feature = "json"))]
mod formats;
mod handles;
#[cfg(feature = "redis")]
mod log;
mod not_ready;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "redis")]
mod redis;
#[cfg(all(feature = "avro", feature = "protobuf", feature = "schema-registry"))]
mod registry;
#[cfg(feature = "shared-memory")]
mod shared_memory;
mod sockets;
