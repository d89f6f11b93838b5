//! What state looks like outside of the process: one CBOR item after the other (RFC 8949).
//!
//! CBOR names the fields of a struct, so a state type may gain fields that have a default (`#[serde(default)]`) and
//! lose others; a change that this does not cover takes a new version of the state's descriptor.

use serde::Serialize;
use serde::de::DeserializeOwned;
use slotflow_runtime::{Error, Result};

/// Appends an item.
pub(crate) fn write(item: &impl Serialize, into: &mut Vec<u8>) -> Result<()> {
    ciborium::into_writer(item, into)
        .map_err(|cause| Error::user(format!("state cannot be written: {cause}")))
}

/// Reads an item and goes on behind it.
pub(crate) fn read<T: DeserializeOwned>(from: &mut &[u8]) -> Result<T> {
    ciborium::from_reader(from).map_err(|cause| Error::user(format!("stored state cannot be read: {cause}")))
}
