//! Formats: what bytes mean, whatever they came in.
//!
//! A format is one idea in two directions. Behind a source [`decode`] makes records of payloads: those of Kafka, the
//! lines of a file, the frames of a socket. In front of a sink [`encode`] makes payloads of records, in the step's
//! arena. A format of your own is a [`Decode`], an [`Encode`], or both.
//!
//! | format | records | feature |
//! |---|---|---|
//! | [`raw`] | the bytes as they are | - |
//! | [`text`] | UTF-8; written by `Display` | - |
//! | `json`, `json_lent` | what serde takes and gives | `json` |
//! | `csv` | the same, one record a payload | `csv` |
//! | `avro`, `avro_lent` | what serde takes and gives, by a schema | `avro` |
//! | `avro_confluent` and `_lent` | the same, by the schema whose id is in front | `avro`, `schema-registry` |
//! | `protobuf` | messages of prost | `protobuf` |
//! | `protobuf_confluent` | the same, behind the id of a schema | `protobuf` |
//!
//! A payload that is malformed never panics. By choice it
//! - fails the job and names file, line and offset, or topic, partition and offset: [`decode`],
//! - is left out and counted as `malformed` in the job's metrics: [`decode_or_skip`],
//! - goes on as [`Malformed`], a dead letter for any sink: [`decode_to_result`].
//!
//! ```
//! # use slotflow::prelude::*;
//! use slotflow::io::formats::{Malformed, decode_to_result, text};
//! # use slotflow::io::formats::Decode;
//! # use slotflow::runtime::{Owned, error::Cause};
//! # #[derive(Clone)]
//! # struct Number;
//! # impl Decode for Number {
//! #     type Item = Owned<u32>;
//! #     fn decode<'s>(&mut self, payload: &'s [u8]) -> Result<u32, Cause> {
//! #         Ok(std::str::from_utf8(payload)?.parse()?)
//! #     }
//! # }
//! let env = Environment::with(Config::default());
//! let lines = env.source(from_iterator([&b"1"[..], b"x"]));
//! let (numbers, bad) = lines.then("decode", decode_to_result(Number)).try_map_split(|result| result);
//! let (good, letters) = (Collected::new(), Collected::new());
//! numbers.sink(good.sink());
//! bad.map(|bad: Malformed| bad.to_string()).sink(letters.sink());
//! env.run("numbers")?;
//! assert_eq!(good.take(), [1]);
//! assert_eq!(letters.take(), ["bad record in memory at offset 0: invalid digit found in string"]);
//! # Ok::<(), Error>(())
//! ```

#[cfg(feature = "avro")]
mod avro;
#[cfg(all(feature = "avro", feature = "schema-registry"))]
mod avro_confluent;
#[cfg(any(feature = "avro", feature = "protobuf"))]
mod confluent;
#[cfg(feature = "csv")]
mod csv;
mod decoding;
mod encoding;
mod held_back;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "protobuf")]
mod message_indexes;
mod payload;
#[cfg(feature = "protobuf")]
mod protobuf;
#[cfg(all(feature = "protobuf", feature = "schema-registry"))]
mod protobuf_known;
mod raw;
mod text;

#[cfg(all(test, feature = "avro", feature = "protobuf", feature = "csv", feature = "json"))]
mod binary_tests;
#[cfg(all(test, feature = "csv", feature = "json"))]
mod tests;

#[cfg(feature = "avro")]
pub use avro::{Avro, avro, avro_lent};
#[cfg(all(feature = "avro", feature = "schema-registry"))]
pub use avro_confluent::{AvroConfluent, avro_confluent, avro_confluent_lent};
#[cfg(any(feature = "avro", feature = "protobuf"))]
pub use confluent::{WithSchemaId, split_schema_id};
#[cfg(feature = "csv")]
pub use csv::{Csv, csv};
pub use decoding::{Decoding, Fail, OnMalformed, Skip, ToResult, decode, decode_or_skip, decode_to_result};
pub use encoding::{Encoding, encode};
#[cfg(feature = "json")]
pub use json::{Json, json, json_lent};
pub use payload::{Malformed, Payload};
#[cfg(feature = "protobuf")]
pub use protobuf::{Protobuf, ProtobufConfluent, protobuf, protobuf_confluent};
#[cfg(all(feature = "protobuf", feature = "schema-registry"))]
pub use protobuf_known::ProtobufKnown;
pub use raw::{Raw, raw};
pub use text::{Text, text};

use slotflow_runtime::error::Cause;
use slotflow_runtime::{Error, Family, SubtaskContext};

/// Makes a record of a payload. Cloned for each subtask; may keep buffers.
pub trait Decode: Clone + Send + 'static {
    /// The records; they may borrow from the payload, until the end of the step.
    type Item: Family;

    /// Called on the slot, once for each payload that it is [`ready`](Decode::ready) for.
    ///
    /// # Errors
    /// The payload is malformed. Whoever calls adds where it came from.
    fn decode<'s>(&mut self, payload: &'s [u8]) -> Result<<Self::Item as Family>::Of<'s>, Cause>;

    /// Says where it runs: called once for each subtask, on its slot, before all else. For a format that has to ask
    /// somebody, on a thread of [`SubtaskContext::io`]. By default nothing.
    fn open(&mut self, _subtask: &SubtaskContext) {}

    /// Whether it has what it needs for this payload; if not, it begins to get it and returns at once. The payload is
    /// then held back with all that follow, and the subtask takes no input. The format is asked again when the subtask
    /// is woken, so whoever brings what was missing calls [`SubtaskContext::waker`]. The default is ready.
    ///
    /// # Errors
    /// What is missing cannot be had, through no fault of the payload: the job fails.
    #[inline(always)]
    fn ready(&mut self, _payload: &[u8]) -> Result<bool, Error> {
        Ok(true)
    }

    /// For whom payloads wait that it is not ready for: what a job's `why_slow` says. By default nobody is named.
    fn waits_for(&self) -> String {
        "what its format has asked for".into()
    }
}

/// Makes a payload of a record. Cloned for each subtask; may keep buffers.
pub trait Encode<F: Family>: Clone + Send + 'static {
    /// Appends the payload to `into`, which is empty. Called on the slot, once for each record.
    ///
    /// # Errors
    /// The record has no form in this format.
    fn encode(&mut self, record: F::Of<'_>, into: &mut Vec<u8>) -> Result<(), Cause>;
}
