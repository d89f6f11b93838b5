//! Confluent's Schema Registry: which schema the id in front of a payload stands for.
//!
//! [`SchemaRegistry`] is a client of its REST API, which Karapace, Redpanda and Apicurio speak, too. Before a job
//! starts, the host's own thread asks it for the id to write. While it runs, `avro_confluent` of
//! [`formats`](crate::formats) asks for the ids that it meets.
//!
//! A slot never waits for the network. A payload with an id that is not known is held back, with all that follow, and
//! its subtask takes no input; a thread on the I/O cores asks, and wakes the slot with the answer. That is once for
//! each id and subtask at the most, so the thread lives for one question (`known.rs`); the registry hears it once,
//! however many subtasks ask (`answers.rs`). To fetch all versions of a subject before the start would not spare this:
//! the next version comes while the job runs.
//!
//! So a registry that is not there is seen at the first payload; a job that is to be sure before it starts asks for the
//! [`latest`](SchemaRegistry::latest) schema of its subject first.
//!
//! | the registry | becomes of the payload |
//! |---|---|
//! | knows no such schema | malformed; asked again for later payloads, but not for a while |
//! | says the schema is of another type | malformed |
//! | is away | waits as long as [`retry`](SchemaRegistry::retry) says, then the job fails |
//! | refuses the user, or has an address that is none | the job fails |

mod answers;
mod client;
#[cfg(any(feature = "avro", feature = "protobuf"))]
mod known;
#[cfg(feature = "avro")]
mod references;
mod request;
mod schema;
#[cfg(feature = "schema-registry-tls")]
mod tls;

pub use client::SchemaRegistry;
#[cfg(any(feature = "avro", feature = "protobuf"))]
pub(crate) use known::{Known, Refused, Verdict};
pub use schema::{Reference, Registered, Schema, SchemaType};
