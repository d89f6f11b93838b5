//! The record of a source of frames: bytes, lent for one step.

use std::fmt;

use slotflow_runtime::error::Cause;
use slotflow_runtime::{Error, Family, Result};

use crate::formats::Payload;

/// The family of [`Frame`].
pub struct Frames;

impl Family for Frames {
    type Of<'s> = Frame<'s>;
}

/// A line or a length-delimited frame, as it lies in the block it was read in, lent until the end of the step.
#[derive(Clone, Copy)]
pub struct Frame<'s> {
    pub(super) bytes: &'s [u8],
    pub(super) origin: &'s str,
    pub(super) offset: u64,
    pub(super) line: Option<u64>,
}

impl<'s> Frame<'s> {
    /// A frame that has no line.
    pub(crate) fn new(bytes: &'s [u8], origin: &'s str, offset: u64) -> Frame<'s> {
        Frame { bytes, origin, offset, line: None }
    }

    /// What it holds, without what tells it apart.
    #[inline]
    pub fn bytes(&self) -> &'s [u8] {
        self.bytes
    }

    /// What it holds as text.
    ///
    /// # Errors
    /// It is no UTF-8; the error names where it came from.
    pub fn text(&self) -> Result<&'s str> {
        self.decode(std::str::from_utf8)
    }

    /// What a decoder makes of it; its error becomes one that names file, line and offset.
    ///
    /// # Errors
    /// The decoder's, named.
    pub fn decode<X, E: Into<Cause>>(
        &self,
        decode: impl FnOnce(&'s [u8]) -> std::result::Result<X, E>,
    ) -> Result<X> {
        decode(self.bytes).map_err(|cause| Error::data(self.place().0, self.offset, cause))
    }

    /// Where it came from: the path of a file, or the far end of a connection.
    pub fn origin(&self) -> &'s str {
        self.origin
    }

    /// Where it begins there, in bytes from the first.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of its line, from 1, where the file or connection was read from its beginning.
    pub fn line(&self) -> Option<u64> {
        self.line
    }
}

impl<'s> Payload<'s> for Frame<'s> {
    #[inline]
    fn payload(&self) -> &'s [u8] {
        self.bytes
    }

    fn place(&self) -> (String, u64) {
        let place = match self.line {
            Some(line) => format!("{}, line {line}", self.origin),
            None => self.origin.to_owned(),
        };
        (place, self.offset)
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({} bytes)", self.place().0, self.offset, self.bytes.len())
    }
}
