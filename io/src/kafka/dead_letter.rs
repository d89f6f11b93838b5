//! Records that Kafka refuses, and where they go instead.
//!
//! # Nothing is lost on the way
//!
//! 1. A record is refused when it is handed over, or by a delivery report. It still counts as under way.
//! 2. It goes to the other sink's writer, and a barrier of that writer's own goes behind it.
//! 3. When the other sink says that everything before that barrier has arrived, the record counts as arrived. So a
//!    barrier of the job waits for the letters of the records before it, too.

use std::collections::VecDeque;

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::BorrowedMessage;
use slotflow_runtime::{
    Acknowledged, Arena, Barrier, Blame, Context, Family, Guarantee, Owned, Result, Sink, SinkWriter,
    SubtaskContext,
};

use super::header::{Header, OwnedHeader};
use super::record::IntoKafka;

/// A record that Kafka did not take, with the reason: what
/// [`KafkaSink::dead_letters`](super::KafkaSink::dead_letters) are.
///
/// Written to a topic it is the record with the headers `slotflow.topic` and `slotflow.error` behind its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic it was for.
    pub topic: String,
    /// The partition it was for, if that was decided.
    pub partition: Option<u32>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its payload; none for a tombstone.
    pub payload: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<OwnedHeader>,
    /// When it was made, in milliseconds since the Unix epoch, if it said so and was refused when it was handed over:
    /// with what comes back from a broker, librdkafka does not tell.
    pub timestamp_ms: Option<i64>,
    /// Why it was refused.
    pub error: String,
}

impl IntoKafka for DeadLetter {
    fn payload(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn is_tombstone(&self) -> bool {
        self.payload.is_none()
    }

    fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        let more = [Header::new("slotflow.topic", &self.topic), Header::new("slotflow.error", &self.error)];
        self.headers.iter().map(OwnedHeader::borrow).chain(more)
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }
}

/// A record that was not delivered.
#[derive(Clone, Debug)]
pub(super) struct Undelivered {
    pub code: Code,
    pub record: DeadLetter,
}

impl Undelivered {
    /// A record that comes back from librdkafka.
    pub fn returned(code: Code, message: &BorrowedMessage<'_>) -> Undelivered {
        let copy = Bytes::copy_from_slice;
        let record = DeadLetter {
            topic: message.topic().to_owned(),
            partition: u32::try_from(message.partition()).ok(),
            key: message.key().map(copy),
            payload: message.payload().map(copy),
            headers: OwnedHeader::all_of(message),
            timestamp_ms: None,
            error: code.to_string(),
        };
        Undelivered { code, record }
    }

    /// A record that librdkafka does not take at all.
    pub fn refused(code: Code, record: &impl IntoKafka, topic: &str) -> Undelivered {
        let copy = Bytes::copy_from_slice;
        let record = DeadLetter {
            topic: topic.into(),
            partition: record.partition(),
            key: record.key().map(copy),
            payload: (!record.is_tombstone()).then(|| copy(record.payload())),
            headers: record.headers().map(Header::to_owned_header).collect(),
            timestamp_ms: record.timestamp_ms(),
            error: code.to_string(),
        };
        Undelivered { code, record }
    }

    /// How large it is.
    pub fn bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        length(&self.record.key) + length(&self.record.payload)
    }

    /// Whether it is the record that Kafka refuses, and not all of them: another one may well be taken. What is
    /// wrong with a topic is wrong with a record that has named it.
    pub fn is_of_record(&self, own_topic: &str) -> bool {
        match self.code {
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::UnknownPartition => true,
            Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::InvalidTopic
            | Code::TopicAuthorizationFailed => self.record.topic != own_topic,
            _ => false,
        }
    }
}

/// A sink for dead letters, whatever it is.
pub(super) trait LetterSink: Send {
    fn describe(&self) -> String;
    fn guarantee(&self) -> Guarantee;
    fn check(&mut self) -> Result<()>;
    fn open(&mut self, subtask: &SubtaskContext) -> Result<Letters>;
}

type LetterFamily = Owned<DeadLetter>;

impl<K: Sink<LetterFamily>> LetterSink for K {
    fn describe(&self) -> String {
        Sink::describe(self)
    }

    fn guarantee(&self) -> Guarantee {
        Sink::guarantee(self)
    }

    fn check(&mut self) -> Result<()> {
        Sink::check(self)
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<Letters> {
        let (writer, place) = (Box::new(Sink::open(self, subtask)?), subtask.clone());
        Ok(Letters { writer, place, sent: 0, owed: VecDeque::new() })
    }
}

/// The dead letters of one sink subtask.
pub(super) struct Letters {
    writer: Box<dyn SinkWriter<LetterFamily>>,
    place: SubtaskContext,
    /// How many were sent; the number of the barrier behind the last one.
    sent: u64,
    /// The barriers that have not arrived, and the epochs of the records in front of them.
    owed: VecDeque<(u64, u64)>,
}

impl Letters {
    /// Sends one that belongs to this epoch.
    pub fn send(&mut self, letter: <LetterFamily as Family>::Of<'_>, epoch: u64) -> Result<()> {
        let (arena, blame) = (Arena::new(), Blame::default());
        let mut ctx = Context::new(&arena, &self.place, &blame, self.place.clock.now_ns());
        self.writer.write(letter, &mut ctx);
        if let Some(error) = ctx.into_error() {
            return Err(error);
        }
        self.sent += 1;
        self.writer.barrier(Barrier { id: self.sent });
        self.owed.push_back((self.sent, epoch));
        Ok(())
    }

    /// How many it can take; 0 holds the records back, too.
    pub fn room(&mut self) -> usize {
        self.writer.room()
    }

    /// Few more will come, those that are still refused.
    pub fn close(&mut self) {
        self.writer.close();
    }

    /// Looks for answers, and gives the epochs of the records whose letters have arrived.
    pub fn flush(&mut self) -> Result<impl Iterator<Item = u64>> {
        self.writer.flush()?;
        let arrived = match self.writer.acknowledged() {
            Acknowledged::Everything => self.sent,
            Acknowledged::UpTo(barrier) => barrier,
        };
        let arrived = self.owed.iter().take_while(|(barrier, _)| *barrier <= arrived).count();
        Ok(self.owed.drain(..arrived).map(|(_, epoch)| epoch))
    }
}
