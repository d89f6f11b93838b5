//! The record of a Kafka source: a message, lent for one step.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use slotflow_runtime::{Error, Family, Offset, Result, SplitId};

use super::batch::RawMessage;
use super::header::{Header, OwnedHeader};

/// The family of [`Message`].
pub struct Messages;

impl Family for Messages {
    type Of<'s> = Message<'s>;
}

/// A message as it lies in librdkafka's fetch buffer, lent until the end of the step.
///
/// Nothing is copied: take what the job needs, with `map` or `map_in`, before the record crosses an
/// edge. [`to_owned_message`](Message::to_owned_message) copies all of it.
#[derive(Clone, Copy)]
pub struct Message<'s> {
    raw: RawMessage<'s>,
    topic: &'s Arc<str>,
}

impl<'s> Message<'s> {
    pub(super) fn new(raw: RawMessage<'s>, topic: &'s Arc<str>) -> Message<'s> {
        Message { raw, topic }
    }

    /// The payload; empty for a tombstone.
    #[inline]
    pub fn payload(&self) -> &'s [u8] {
        self.raw.payload().unwrap_or_default()
    }

    /// The payload as text.
    ///
    /// ```no_run
    /// # use slotflow_io::kafka::{KafkaSource, Message};
    /// # use slotflow::prelude::*;
    /// # let env = Environment::with(Config::default());
    /// let words = KafkaSource::new("127.0.0.1:9092").topic("words").group("upper");
    /// env.source(words).try_map(|word: Message<'_>| Ok::<_, Error>(word.text()?.to_uppercase()));
    /// ```
    ///
    /// # Errors
    /// The payload is no UTF-8; the error names topic, partition and offset.
    pub fn text(&self) -> Result<&'s str> {
        let place = || format!("{}-{}", self.topic, self.partition());
        std::str::from_utf8(self.payload()).map_err(|cause| Error::data(place(), self.offset() as u64, cause))
    }

    /// Whether the message has no payload at all, which deletes its key from a compacted topic.
    pub fn is_tombstone(&self) -> bool {
        self.raw.payload().is_none()
    }

    /// The key, if the message has one.
    #[inline]
    pub fn key(&self) -> Option<&'s [u8]> {
        self.raw.key()
    }

    /// The topic.
    pub fn topic(&self) -> &'s str {
        self.topic
    }

    /// The partition.
    #[inline]
    pub fn partition(&self) -> SplitId {
        self.raw.partition() as SplitId
    }

    /// The offset in its partition.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.raw.offset()
    }

    /// When the message was made or appended, as the topic is configured, in milliseconds since the
    /// Unix epoch.
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.raw.timestamp_ms()
    }

    /// The headers, in order; they are read out of the message when they are first asked for. A name that is no
    /// UTF-8, which Kafka's protocol does not allow, reads as U+FFFD.
    pub fn headers(&self) -> impl Iterator<Item = Header<'s>> + use<'s> {
        self.raw.headers()
    }

    /// The value of the last header of that name.
    pub fn header(&self, name: &str) -> Option<&'s [u8]> {
        self.headers().filter(|header| header.name == name).last()?.value
    }

    /// Copies the payload, for those who keep it.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.payload())
    }

    /// Copies the whole message.
    pub fn to_owned_message(&self) -> OwnedMessage {
        OwnedMessage {
            payload: self.to_bytes(),
            tombstone: self.is_tombstone(),
            key: self.key().map(Bytes::copy_from_slice),
            headers: self.headers().map(Header::to_owned_header).collect(),
            topic: self.topic.clone(),
            partition: self.partition(),
            offset: self.offset(),
            timestamp_ms: self.timestamp_ms(),
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{} ({} bytes)", self.topic, self.partition(), self.offset(), self.payload().len())
    }
}

/// A message that owns what it holds, so that it can be kept and can cross edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedMessage {
    /// The payload; empty for a tombstone.
    pub payload: Bytes,
    /// Whether the message has no payload at all.
    pub tombstone: bool,
    /// The key, if the message has one.
    pub key: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<OwnedHeader>,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: SplitId,
    /// The offset in its partition.
    pub offset: Offset,
    /// When it was made or appended, in milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}
