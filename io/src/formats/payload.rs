//! Bytes with the place they came from.

use std::fmt;

use bytes::Bytes;
use slotflow_runtime::Error;

/// A record that is bytes from outside: a message of Kafka, a line, a frame.
pub trait Payload<'s> {
    /// The bytes, lent until the end of the step.
    fn payload(&self) -> &'s [u8];

    /// Where they came from, a topic and partition or a file and line, and the offset there. Asked for what is
    /// malformed only.
    fn place(&self) -> (String, u64) {
        ("memory".into(), 0)
    }
}

impl<'s, 'longer: 's> Payload<'s> for &'longer [u8] {
    fn payload(&self) -> &'s [u8] {
        self
    }
}

impl<'s, 'longer: 's> Payload<'s> for &'longer str {
    fn payload(&self) -> &'s [u8] {
        self.as_bytes()
    }
}

/// A payload that is not what its format says: the dead letter of
/// [`decode_to_result`](super::decode_to_result).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where it came from, such as `words-3` or `words.txt, line 7`.
    pub place: String,
    /// The offset there: of a message in its partition, of a frame's first byte in its file.
    pub offset: u64,
    /// The payload as it came.
    pub payload: Bytes,
    /// What is wrong with it.
    pub error: String,
}

impl Malformed {
    /// As the failure of a job.
    pub fn into_error(self) -> Error {
        Error::data(self.place, self.offset, self.error)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad record in {} at offset {}: {}", self.place, self.offset, self.error)
    }
}

impl std::error::Error for Malformed {}
