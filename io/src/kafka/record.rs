//! What a Kafka sink can write.

use bytes::Bytes;

use super::header::Header;

/// A record that a [`KafkaSink`](super::KafkaSink) can write; called on the sink's slot.
///
/// ```
/// use slotflow_io::kafka::IntoKafka;
///
/// struct Trade { symbol: String, line: String }
///
/// impl IntoKafka for Trade {
///     fn payload(&self) -> &[u8] {
///         self.line.as_bytes()
///     }
///     fn key(&self) -> Option<&[u8]> {
///         Some(self.symbol.as_bytes())
///     }
/// }
/// ```
pub trait IntoKafka {
    /// The payload, copied by the sink.
    fn payload(&self) -> &[u8];

    /// The key, which decides the partition: equal keys go to one, as the sink's
    /// [`Partitioner`](super::Partitioner) chooses it. Without one (the default) partitions are drawn at random.
    fn key(&self) -> Option<&[u8]> {
        None
    }

    /// The partition, where the key should not decide it. The default lets it.
    fn partition(&self) -> Option<u32> {
        None
    }

    /// Whether the record has no payload at all, which deletes its key from a compacted topic. The
    /// default has one.
    fn is_tombstone(&self) -> bool {
        false
    }

    /// Its headers, in the order in which readers see them. The default has none; each record with some
    /// costs allocations of librdkafka's.
    fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        std::iter::empty()
    }

    /// When it was made, in milliseconds since the Unix epoch, above 0. Without (the default), or at 0, it
    /// is the time at which the producer takes it. A topic with `message.timestamp.type=LogAppendTime`
    /// puts the broker's time in its place.
    fn timestamp_ms(&self) -> Option<i64> {
        None
    }

    /// The topic, where it is not the sink's. It is not looked for before the start: the first record for
    /// one that does not exist fails after 30 s (`topic.metadata.propagation.max.ms`).
    fn topic(&self) -> Option<&str> {
        None
    }
}

/// A record with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed<K, V> {
    /// Decides the partition.
    pub key: K,
    /// What is written.
    pub payload: V,
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> IntoKafka for Keyed<K, V> {
    fn payload(&self) -> &[u8] {
        self.payload.as_ref()
    }

    fn key(&self) -> Option<&[u8]> {
        Some(self.key.as_ref())
    }
}

impl<R: IntoKafka + ?Sized> IntoKafka for &R {
    fn payload(&self) -> &[u8] {
        (**self).payload()
    }

    fn key(&self) -> Option<&[u8]> {
        (**self).key()
    }

    fn partition(&self) -> Option<u32> {
        (**self).partition()
    }

    fn is_tombstone(&self) -> bool {
        (**self).is_tombstone()
    }

    fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        (**self).headers()
    }

    fn timestamp_ms(&self) -> Option<i64> {
        (**self).timestamp_ms()
    }

    fn topic(&self) -> Option<&str> {
        (**self).topic()
    }
}

impl IntoKafka for [u8] {
    fn payload(&self) -> &[u8] {
        self
    }
}

impl IntoKafka for str {
    fn payload(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl IntoKafka for Vec<u8> {
    fn payload(&self) -> &[u8] {
        self
    }
}

impl IntoKafka for String {
    fn payload(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl IntoKafka for Bytes {
    fn payload(&self) -> &[u8] {
        self
    }
}
