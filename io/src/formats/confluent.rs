//! Confluent's wire format: which schema a payload was written with, in front of it.
//!
//! | bytes | |
//! |---|---|
//! | 1 | 0, the magic byte |
//! | 4 | the schema's id in the registry, big endian |
//! | some | Protobuf only: which message of the schema's file it is (`message_indexes.rs`) |
//! | rest | the body |

use slotflow_runtime::Family;
use slotflow_runtime::error::Cause;

use super::Encode;

/// The only version of the format that has ids.
const MAGIC: u8 = 0;

/// How long magic byte and id are together.
const HEADER_BYTES: usize = 5;

/// Takes a payload in Confluent's wire format apart: the id of the schema that it was written with, and what is behind
/// the header. For formats of your own; `avro_confluent` and `protobuf_confluent` do so themselves.
///
/// ```
/// use slotflow::io::formats::split_schema_id;
///
/// assert_eq!(split_schema_id(b"\x00\x00\x00\x05\x39{}").unwrap(), (1337, &b"{}"[..]));
/// let reason = split_schema_id(b"{\"id\": 7}").unwrap_err().to_string();
/// assert_eq!(reason, "it is not in Confluent's wire format: its first byte is 123, not 0");
/// ```
///
/// # Errors
/// It is shorter than a header, or its first byte is not 0.
#[inline]
pub fn split_schema_id(payload: &[u8]) -> Result<(u32, &[u8]), Cause> {
    let Some((header, body)) = payload.split_first_chunk::<HEADER_BYTES>() else {
        let had = payload.len();
        return Err(
            format!("{had} bytes are too short for Confluent's wire format, which begins with 5").into()
        );
    };
    let [magic, id @ ..] = *header;
    if magic == MAGIC {
        Ok((u32::from_be_bytes(id), body))
    } else {
        Err(format!("it is not in Confluent's wire format: its first byte is {magic}, not 0").into())
    }
}

/// What stands in front of bodies that were written with the schema of this id.
pub(super) fn header(id: u32) -> Vec<u8> {
    [&[MAGIC], &id.to_be_bytes()[..]].concat()
}

/// Writes Confluent's header in front of what another format writes: `Avro::schema_id` and `Protobuf::schema_id` make
/// one.
#[derive(Clone, Debug)]
pub struct WithSchemaId<E> {
    header: Vec<u8>,
    format: E,
}

impl<E> WithSchemaId<E> {
    pub(super) fn new(header: Vec<u8>, format: E) -> Self {
        WithSchemaId { header, format }
    }
}

impl<F: Family, E: Encode<F>> Encode<F> for WithSchemaId<E> {
    #[inline]
    fn encode(&mut self, record: F::Of<'_>, into: &mut Vec<u8>) -> Result<(), Cause> {
        into.extend_from_slice(&self.header);
        self.format.encode(record, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(payload: &[u8]) -> String {
        split_schema_id(payload).unwrap_err().to_string()
    }

    #[test]
    fn a_header_is_a_zero_and_a_big_endian_id() {
        assert_eq!(header(0x0102_0304), b"\x00\x01\x02\x03\x04");
        assert_eq!(split_schema_id(&header(u32::MAX)).unwrap(), (u32::MAX, &b""[..]));
        assert_eq!(split_schema_id(b"\x00\x00\x00\x05\x39\x06foo").unwrap(), (1337, &b"\x06foo"[..]));
    }

    #[test]
    fn what_has_no_header_is_refused_with_a_reason() {
        assert_eq!(
            refused(b"\x00\x00\x00\x01"),
            "4 bytes are too short for Confluent's wire format, which begins with 5"
        );
        assert_eq!(refused(b"\x01abcd"), "it is not in Confluent's wire format: its first byte is 1, not 0");
    }
}
