//! Filling and reading whole topics outside of any job, for demos and tests.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use slotflow_runtime::{IoCores, Result, SplitId};

use super::OwnedMessage;
use super::delivery::{Deliveries, Returned};
use super::failure::{self, Purpose};
use super::header::OwnedHeader;
use super::log::ClientLog;
use super::lookup::Lookup;
use super::settings::Settings;

/// How long nothing may happen (a guess: longer than an election takes).
const PATIENCE: Duration = Duration::from_secs(30);

/// One wait for the client.
const POLL: Duration = Duration::from_millis(10);

/// Writes lines to the partitions they name and waits until all have arrived, in order.
///
/// # Errors
/// No broker, no such topic or partition, a line that is refused.
pub fn fill_topic<L: AsRef<[u8]>>(
    io: &IoCores,
    brokers: &str,
    topic: &str,
    lines: impl IntoIterator<Item = (u32, L)> + Send,
) -> Result<()> {
    let settings = Settings::of(brokers, topic);
    io.run(|| {
        // One request at a time keeps the order, and unlike an idempotent producer it begins at once.
        let config = settings.config(&[("max.in.flight", "1"), ("linger.ms", "1")], &[])?;
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).map_err(|error| settings.refused(&error))?;
        let mut filling = Filling { producer, topic, returned: Returned::default() };
        lines.into_iter().try_for_each(|(partition, line)| filling.send(partition, line.as_ref()))?;
        filling.wait(0)
    })?
}

struct Filling<'a> {
    producer: BaseProducer<Deliveries>,
    topic: &'a str,
    returned: Returned,
}

impl Filling<'_> {
    fn send(&mut self, partition: u32, line: &[u8]) -> Result<()> {
        loop {
            let record: BaseRecord<'_, (), [u8], usize> = BaseRecord::with_opaque_to(self.topic, 0);
            let sent = self.producer.send(record.partition(partition as i32).payload(line));
            match sent.map_err(|(error, _)| error.rdkafka_error_code()) {
                Ok(()) => return Ok(()),
                Err(Some(RDKafkaErrorCode::QueueFull)) => self.wait(self.producer.in_flight_count() / 2)?,
                Err(code) => {
                    let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
                    return Err(failure::not_delivered(self.topic, Some(partition), code));
                }
            }
        }
    }

    /// Waits until at most `left` records are under way.
    fn wait(&mut self, left: i32) -> Result<()> {
        let mut progress = Instant::now();
        while self.producer.in_flight_count() > left {
            self.producer.poll(POLL);
            self.producer.context().take(&mut self.returned);
            if let Some((_, failed)) = self.returned.failed.pop() {
                return Err(failure::not_delivered(self.topic, failed.record.partition, failed.code));
            }
            if !std::mem::take(&mut self.returned.delivered).is_empty() {
                progress = Instant::now();
            }
            if progress.elapsed() > PATIENCE {
                return Err(failure::topic_failed(self.topic, Purpose::Write, "no answer for 30 s"));
            }
        }
        Ok(())
    }
}

/// Everything that is in a topic now, by partition and in order. Not for large topics: all of it is
/// kept in memory.
///
/// # Errors
/// No broker, no such topic, or no answer for 30 s.
pub fn read_topic(io: &IoCores, brokers: &str, topic: &str) -> Result<Vec<Vec<OwnedMessage>>> {
    let settings = Settings::of(brokers, topic);
    io.run(|| {
        let own = [
            ("group.id", "slotflow-read-topic"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("fetch.wait.max.ms", "1"),
            ("allow.auto.create.topics", "false"),
        ];
        let consumer: BaseConsumer<ClientLog> = settings
            .config(&[], &own)?
            .create_with_context(ClientLog::default())
            .map_err(|error| settings.refused(&error))?;
        let lookup = Lookup { settings: &settings, purpose: Purpose::Read, log: consumer.context() };
        let count = lookup.partitions(topic, consumer.client(), || drop(consumer.poll(Duration::ZERO)))?;
        read_all(&consumer, topic, count)
    })?
}

fn read_all(consumer: &BaseConsumer<ClientLog>, topic: &str, count: u32) -> Result<Vec<Vec<OwnedMessage>>> {
    let failed = |error: KafkaError| failure::topic_failed(topic, Purpose::Read, error);
    let mut assigned = TopicPartitionList::new();
    for partition in 0..count as i32 {
        assigned.add_partition_offset(topic, partition, Offset::Beginning).map_err(failed)?;
    }
    consumer.assign(&assigned).map_err(failed)?;
    let mut partitions: Vec<Vec<OwnedMessage>> = vec![Vec::new(); count as usize];
    let (mut unread, mut progress) = (count, Instant::now());
    while unread > 0 {
        match consumer.poll(POLL) {
            Some(Ok(message)) => partitions[message.partition() as usize].push(owned(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => unread -= 1,
            Some(Err(error)) => return Err(failed(error)),
            None if progress.elapsed() > PATIENCE => {
                return Err(failure::topic_failed(topic, Purpose::Read, "no answer for 30 s"));
            }
            None => continue,
        }
        progress = Instant::now();
    }
    Ok(partitions)
}

fn owned(message: &rdkafka::message::BorrowedMessage<'_>) -> OwnedMessage {
    let copy = Bytes::copy_from_slice;
    OwnedMessage {
        payload: message.payload().map(copy).unwrap_or_default(),
        tombstone: message.payload().is_none(),
        key: message.key().map(copy),
        headers: OwnedHeader::all_of(message),
        topic: message.topic().into(),
        partition: message.partition() as SplitId,
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}
