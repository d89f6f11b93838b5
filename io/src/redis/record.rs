//! What a sink of Redis streams can write.

use bytes::Bytes;

use super::entry::Entry;

/// The field of a record that is nothing but text or bytes.
const PAYLOAD: &[u8] = b"payload";

/// A record that a [`RedisSink`](super::RedisSink) can write; called on the sink's slot. Texts and bytes are an entry
/// of one field, `payload`.
///
/// ```
/// use slotflow_io::redis::IntoRedis;
///
/// struct Bill { customer: String, cents: String }
///
/// impl IntoRedis for Bill {
///     fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
///         [(&b"customer"[..], self.customer.as_bytes()), (b"cents", self.cents.as_bytes())].into_iter()
///     }
/// }
/// ```
pub trait IntoRedis {
    /// Its fields, at least one, copied by the sink.
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])>;

    /// The key of the stream, where it is not the sink's.
    fn stream(&self) -> Option<&str> {
        None
    }
}

impl<R: IntoRedis + ?Sized> IntoRedis for &R {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (**self).fields()
    }

    fn stream(&self) -> Option<&str> {
        (**self).stream()
    }
}

/// Its fields go on; it does not go back to its own stream.
impl IntoRedis for Entry<'_> {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        Entry::fields(self)
    }
}

impl IntoRedis for [u8] {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::once((PAYLOAD, self))
    }
}

impl IntoRedis for str {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::once((PAYLOAD, self.as_bytes()))
    }
}

impl IntoRedis for Vec<u8> {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::once((PAYLOAD, &**self))
    }
}

impl IntoRedis for String {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::once((PAYLOAD, self.as_bytes()))
    }
}

impl IntoRedis for Bytes {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::once((PAYLOAD, &**self))
    }
}

/// A record of several fields, and of a stream of its own, if it has one.
///
/// It owns what it holds. Where a record already has these parts, let it be [`IntoRedis`] itself.
///
/// ```
/// use slotflow_io::redis::{IntoRedis, RedisRecord};
///
/// let record = RedisRecord::new().field("customer", "7").field("cents", "990").stream("bills-7");
/// assert_eq!((record.fields().count(), IntoRedis::stream(&record)), (2, Some("bills-7")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisRecord {
    fields: Vec<(Bytes, Bytes)>,
    stream: Option<Box<str>>,
}

impl RedisRecord {
    /// A record without a field yet; one without any fails the job.
    pub fn new() -> RedisRecord {
        RedisRecord::default()
    }

    /// One more field, behind those it has.
    #[must_use]
    pub fn field(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The key of its stream, instead of the sink's.
    #[must_use]
    pub fn stream(mut self, key: impl Into<Box<str>>) -> Self {
        self.stream = Some(key.into());
        self
    }
}

impl IntoRedis for RedisRecord {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }
}
