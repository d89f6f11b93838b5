//! A header: what a record carries beside key and payload.

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

/// A header of a record, borrowed from it. Names may come more than once, and their order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a value.
    ///
    /// ```
    /// use slotflow_io::kafka::Header;
    ///
    /// assert_eq!(Header::new("trace", b"7f").value, Some(&b"7f"[..]));
    /// ```
    pub fn new(name: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Header<'a> {
        Header { name, value: Some(value.as_ref()) }
    }

    /// A copy that can be kept.
    pub fn to_owned_header(self) -> OwnedHeader {
        OwnedHeader { name: self.name.into(), value: self.value.map(Bytes::copy_from_slice) }
    }
}

/// A header that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedHeader {
    /// Its name.
    pub name: Box<str>,
    /// Its value, if it has one.
    pub value: Option<Bytes>,
}

impl OwnedHeader {
    /// The headers of a message of the binding's.
    pub(super) fn all_of(message: &BorrowedMessage<'_>) -> Vec<OwnedHeader> {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        headers
            .map(|it| OwnedHeader { name: it.key.into(), value: it.value.map(Bytes::copy_from_slice) })
            .collect()
    }

    /// It, borrowed.
    pub fn borrow(&self) -> Header<'_> {
        Header { name: &self.name, value: self.value.as_deref() }
    }
}
