//! The record of a source of Redis streams: an entry, lent for one step.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use slotflow_runtime::error::Cause;
use slotflow_runtime::{Error, Family, Result};

use crate::formats::Payload;

/// The family of [`Entry`].
pub struct Entries;

impl Family for Entries {
    type Of<'s> = Entry<'s>;
}

/// The id of an entry, as the server has given it: a time, and a number among those of that time.
///
/// ```
/// use slotflow_io::redis::EntryId;
///
/// let id = EntryId { ms: 1_700_000_000_000, seq: 3 };
/// assert_eq!(id.to_string(), "1700000000000-3");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Milliseconds since the Unix epoch, unless who has added it has given an id of another kind.
    pub ms: u64,
    /// The number among those of that time.
    pub seq: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl EntryId {
    /// What a server says an id is.
    pub(super) fn read(text: &[u8]) -> Option<EntryId> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(EntryId { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
    }
}

/// An entry as it lies in the block it was read in, lent until the end of the step.
///
/// Take what the job needs, with `map` or `map_in`, before the record crosses an edge;
/// [`to_owned_entry`](Entry::to_owned_entry) copies all of it. A format decodes its
/// [`payload`](Payload::payload), which is the value of its first field.
#[derive(Clone, Copy)]
pub struct Entry<'s> {
    pub(super) stream: &'s str,
    pub(super) id: EntryId,
    /// The bytes of its block.
    pub(super) bytes: &'s [u8],
    /// Where its first part begins there.
    pub(super) begin: usize,
    /// Where each of its parts ends, names and values by turns.
    pub(super) ends: &'s [usize],
}

impl<'s> Entry<'s> {
    /// The key of its stream.
    pub fn stream(&self) -> &'s str {
        self.stream
    }

    /// Its id.
    #[inline]
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// Its fields, in the order in which they were added; a name may come twice.
    pub fn fields(&self) -> impl Iterator<Item = (&'s [u8], &'s [u8])> + use<'s> {
        let Entry { bytes, ends, mut begin, .. } = *self;
        ends.chunks_exact(2).map(move |pair| {
            let (name, value) = (&bytes[begin..pair[0]], &bytes[pair[0]..pair[1]]);
            begin = pair[1];
            (name, value)
        })
    }

    /// The value of the first field of that name.
    pub fn field(&self, name: &str) -> Option<&'s [u8]> {
        self.fields().find(|field| field.0 == name.as_bytes()).map(|field| field.1)
    }

    /// The value of the first field of that name, as text.
    ///
    /// ```no_run
    /// # use slotflow_io::redis::{Entry, RedisSource};
    /// # use slotflow::prelude::*;
    /// # let env = Environment::with(Config::default());
    /// let orders = RedisSource::new("redis://127.0.0.1").stream("orders").group("billing");
    /// env.source(orders).try_map(|order: Entry<'_>| Ok::<_, Error>(order.text("customer")?.to_owned()));
    /// ```
    ///
    /// # Errors
    /// There is none, or it is no UTF-8; the error names stream and entry.
    pub fn text(&self, name: &str) -> Result<&'s str> {
        self.decode(name, std::str::from_utf8)
    }

    /// What a decoder makes of the value of the first field of that name; its error becomes one that names stream and
    /// entry.
    ///
    /// # Errors
    /// There is no such field, or the decoder's, named.
    pub fn decode<X, E: Into<Cause>>(
        &self,
        name: &str,
        decode: impl FnOnce(&'s [u8]) -> std::result::Result<X, E>,
    ) -> Result<X> {
        let bad = |cause: Cause| Error::data(self.place().0, self.id.ms, cause);
        let value = self.field(name).ok_or_else(|| bad(format!("there is no field {name:?}").into()))?;
        decode(value).map_err(|cause| bad(cause.into()))
    }

    /// Copies the whole entry.
    pub fn to_owned_entry(&self) -> OwnedEntry {
        let copy = |(name, value)| (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value));
        OwnedEntry { stream: self.stream.into(), id: self.id, fields: self.fields().map(copy).collect() }
    }
}

impl<'s> Payload<'s> for Entry<'s> {
    fn payload(&self) -> &'s [u8] {
        self.fields().next().map_or(&[], |field| field.1)
    }

    /// Stream and entry; for an offset, the milliseconds of its id.
    fn place(&self) -> (String, u64) {
        (format!("{}, entry {}", self.stream, self.id), self.id.ms)
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({} fields)", self.stream, self.id, self.ends.len() / 2)
    }
}

/// An entry that owns what it holds, so that it can be kept and can cross edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedEntry {
    /// The key of its stream.
    pub stream: Arc<str>,
    /// Its id.
    pub id: EntryId,
    /// Its fields, in order.
    pub fields: Vec<(Bytes, Bytes)>,
}
