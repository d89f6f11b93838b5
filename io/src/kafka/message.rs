//! The record of a Kafka source: a message, lent for one step.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use slotflow_runtime::error::Cause;
use slotflow_runtime::{Error, Family, Offset, Result, SplitId, Timestamp};

use super::batch::RawMessage;
use super::header::{Header, OwnedHeader};
use super::marks;
use crate::formats::Payload;

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
}

impl<'s> Message<'s> {
    pub(super) fn new(raw: RawMessage<'s>) -> Message<'s> {
        Message { raw }
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
        self.decode(std::str::from_utf8)
    }

    /// What a decoder makes of the payload; its error becomes one that names topic, partition and offset.
    ///
    /// With `try_map` such an error fails the job. `try_map_or_skip` leaves the message out and counts it, and
    /// `try_map_split` gives what the closure makes of it to a second stream, the dead letters.
    ///
    /// ```no_run
    /// # use slotflow_io::kafka::{KafkaRecord, KafkaSink, KafkaSource, Message};
    /// # use slotflow::prelude::*;
    /// # let env = Environment::with(Config::default());
    /// # fn trade(payload: &[u8]) -> Result<u64> { Ok(payload.len() as u64) }
    /// let trades = || KafkaSource::new("127.0.0.1:9092").topic("trades").group("g");
    /// let all = env.source(trades()).try_map(|message: Message<'_>| message.decode(trade));
    /// all.sink(Collected::new().sink());
    ///
    /// let (good, bad) = env.source(trades()).try_map_split(|message: Message<'_>| {
    ///     message.decode(trade).map_err(|error| {
    ///         KafkaRecord::new(message.to_bytes()).header("error", error.to_string())
    ///     })
    /// });
    /// good.sink(Collected::new().sink());
    /// bad.sink(KafkaSink::new("127.0.0.1:9092").topic("trades-bad"));
    /// ```
    ///
    /// # Errors
    /// The decoder's, named.
    pub fn decode<X, E: Into<Cause>>(
        &self,
        decode: impl FnOnce(&'s [u8]) -> std::result::Result<X, E>,
    ) -> Result<X> {
        let place = || format!("{}-{}", self.topic(), self.partition());
        decode(self.payload()).map_err(|cause| Error::data(place(), self.offset() as u64, cause))
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
        self.raw.topic()
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

    /// Who wrote the message, and how far event time had come there, if its sink says so
    /// ([`with_watermarks`](super::KafkaSink::with_watermarks)): for `Watermarks::per_producer`.
    ///
    /// ```no_run
    /// # use slotflow_io::kafka::{KafkaSource, Message};
    /// # use slotflow::prelude::*;
    /// # use std::time::Duration;
    /// # let env = Environment::with(Config::default());
    /// let by_key = KafkaSource::new("127.0.0.1:9092").topic("by-key").group("second stage");
    /// let producers = Watermarks::per_producer(|it: &Message<'_>| it.producer_watermark(), Duration::from_secs(30));
    /// env.source(by_key).with_timestamps(|it: &Message<'_>| it.timestamp_ms().unwrap_or(0), producers);
    /// ```
    pub fn producer_watermark(&self) -> Option<(u64, Timestamp)> {
        self.header(marks::NAME).and_then(marks::read)
    }

    /// The payload without a copy, for those who keep large ones: a small allocation, whatever its size.
    ///
    /// It holds on to the buffer it was fetched in, as a rule hundreds of kilobytes with the messages beside it, and
    /// to the source's client, which closes when the last of them is dropped. Keep few, or all and not for long; for
    /// a part of the messages, or small ones, [`to_bytes`](Message::to_bytes) takes less memory.
    pub fn keep_bytes(&self) -> Bytes {
        self.raw.kept_payload()
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
            topic: self.topic().into(),
            partition: self.partition(),
            offset: self.offset(),
            timestamp_ms: self.timestamp_ms(),
        }
    }
}

impl<'s> Payload<'s> for Message<'s> {
    #[inline]
    fn payload(&self) -> &'s [u8] {
        Message::payload(self)
    }

    fn place(&self) -> (String, u64) {
        (format!("{}-{}", self.topic(), self.partition()), self.offset() as u64)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{} ({} bytes)", self.topic(), self.partition(), self.offset(), self.payload().len())
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
