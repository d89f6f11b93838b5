//! Bytes as they are.

use slotflow_runtime::error::Cause;
use slotflow_runtime::{Borrowed, Family};

use super::{Decode, Encode};

/// Bytes as they are: lent where they are read, and anything that is bytes where they are written.
pub fn raw() -> Raw {
    Raw
}

/// See [`raw`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Decode for Raw {
    type Item = Borrowed<[u8]>;

    #[inline]
    fn decode<'s>(&mut self, payload: &'s [u8]) -> Result<&'s [u8], Cause> {
        Ok(payload)
    }
}

impl<F: Family> Encode<F> for Raw
where
    for<'s> F::Of<'s>: AsRef<[u8]>,
{
    #[inline]
    fn encode(&mut self, record: F::Of<'_>, into: &mut Vec<u8>) -> Result<(), Cause> {
        into.extend_from_slice(record.as_ref());
        Ok(())
    }
}
