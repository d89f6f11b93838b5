//! A record that says everything Kafka can be told about it.

use bytes::Bytes;

use super::header::{Header, OwnedHeader};
use super::record::IntoKafka;

/// A record with key, headers, time, partition and topic of its own, as far as they are given.
///
/// It owns what it holds. Where a record already has these parts, let it be [`IntoKafka`] itself, and nothing is
/// allocated for it here; where it is a key and a payload, [`Keyed`](super::Keyed) is enough.
///
/// ```
/// use slotflow_io::kafka::{IntoKafka, KafkaRecord};
///
/// let record = KafkaRecord::new("{}").key("ACME").header("trace", "7f").timestamp_ms(1_700_000_000_000);
/// assert_eq!((record.payload(), IntoKafka::key(&record)), (&b"{}"[..], Some(&b"ACME"[..])));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaRecord {
    payload: Option<Bytes>,
    key: Option<Bytes>,
    headers: Vec<OwnedHeader>,
    timestamp_ms: Option<i64>,
    partition: Option<u32>,
    topic: Option<Box<str>>,
}

impl KafkaRecord {
    /// A record with this payload and nothing else.
    pub fn new(payload: impl Into<Bytes>) -> KafkaRecord {
        KafkaRecord { payload: Some(payload.into()), ..KafkaRecord::default() }
    }

    /// A record without a payload, which deletes `key` from a compacted topic.
    pub fn tombstone(key: impl Into<Bytes>) -> KafkaRecord {
        KafkaRecord { key: Some(key.into()), ..KafkaRecord::default() }
    }

    /// The key, which decides the partition unless one is named.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// One more header, behind those it has.
    #[must_use]
    pub fn header(mut self, name: impl Into<Box<str>>, value: impl Into<Bytes>) -> Self {
        self.headers.push(OwnedHeader { name: name.into(), value: Some(value.into()) });
        self
    }

    /// When it was made, in milliseconds since the Unix epoch; see [`IntoKafka::timestamp_ms`].
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// The partition, whatever the key.
    #[must_use]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The topic, instead of the sink's; see [`IntoKafka::topic`].
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Box<str>>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// A copy of whatever a sink can write.
    pub(super) fn copy_of(record: &impl IntoKafka) -> KafkaRecord {
        KafkaRecord {
            payload: (!record.is_tombstone()).then(|| Bytes::copy_from_slice(record.payload())),
            key: record.key().map(Bytes::copy_from_slice),
            headers: record.headers().map(Header::to_owned_header).collect(),
            timestamp_ms: record.timestamp_ms(),
            partition: record.partition(),
            topic: record.topic().map(Into::into),
        }
    }

    /// What it takes up on the heap, about.
    pub(super) fn bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let header = |it: &OwnedHeader| size_of::<OwnedHeader>() + it.name.len() + length(&it.value);
        length(&self.payload) + length(&self.key) + self.headers.iter().map(header).sum::<usize>()
    }
}

impl IntoKafka for KafkaRecord {
    fn payload(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn partition(&self) -> Option<u32> {
        self.partition
    }

    fn is_tombstone(&self) -> bool {
        self.payload.is_none()
    }

    fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.headers.iter().map(OwnedHeader::borrow)
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }

    fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }
}
