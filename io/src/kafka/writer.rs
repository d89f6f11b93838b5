//! Writes the records of one sink subtask, on its slot.
//!
//! # The way of a record
//!
//! 1. [`room`](SinkWriter::room) says how much the producer's queue still holds; at 0 the subtask
//!    takes no input, which is the backpressure.
//! 2. [`write`](SinkWriter::write) gives the record a tag with its epoch and hands it to librdkafka,
//!    which copies it. (The binding makes a C string of the topic's name each time, which is one
//!    allocation of its length for each record; librdkafka makes its own for the copy.)
//!    If the queue is full all the same (it is bounded in bytes, too, and an operator may give many
//!    records for one), the record waits here, and so does every later one, so that the order is kept.
//!    What waits is bounded by [`Overflow`].
//! 3. [`flush`](SinkWriter::flush), at the end of each step, takes delivery reports and hands over
//!    what waits.
//! 4. A report of success counts the record's epoch down; a barrier has arrived when all epochs before
//!    it are at zero. A report of failure fails the job, so the barrier never arrives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use slotflow_runtime::{
    Acknowledged, Barrier, Clock, Context, Error, Family, InFlight, LatencyMark, Result, SinkWriter,
    SubtaskContext,
};

use super::delivery::{AckMeters, Deliveries, Returned, Tag, Undelivered};
use super::event_waker::EventWaker;
use super::failure;
use super::off_slot::OffSlot;
use super::record::IntoKafka;
use crate::overflow::Overflow;

/// The producer of one sink subtask.
pub(super) type Producer = OffSlot<BaseProducer<Deliveries>>;

/// How many events one flush serves at most: a step must end (a guess; each holds the reports of a
/// whole produce request, tens to thousands of records).
const EVENTS: usize = 16;

/// Writes the records of one sink subtask.
pub struct KafkaWriter {
    producer: Arc<Producer>,
    _waker: Option<EventWaker>,
    topic: Box<str>,
    /// How many records the producer's queue holds.
    queue: usize,
    /// The size from which librdkafka refuses a record.
    limit: Option<usize>,
    in_flight: InFlight,
    /// The last epoch that was given out.
    epoch: u64,
    /// Records that the producer's queue did not take yet.
    waiting: VecDeque<Waiting>,
    overflow: Overflow,
    returned: Returned,
    latency: Arc<AckMeters>,
    /// A latency mark whose record has not come yet, and the time of the step it came in.
    mark: Option<(LatencyMark, u64)>,
    clock: Clock,
}

/// A record that waits for room in the producer's queue.
struct Waiting {
    tag: Tag,
    key: Option<Box<[u8]>>,
    payload: Option<Box<[u8]>>,
    partition: Option<u32>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        let length = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
        size_of::<Waiting>() + length(&self.key) + length(&self.payload)
    }
}

impl KafkaWriter {
    pub(super) fn new(
        producer: Arc<Producer>,
        topic: &str,
        queue: usize,
        limit: Option<usize>,
        subtask: &SubtaskContext,
        latency: Arc<AckMeters>,
    ) -> KafkaWriter {
        KafkaWriter {
            _waker: EventWaker::new(producer.clone(), subtask.waker.clone()),
            producer,
            topic: topic.into(),
            queue,
            limit,
            in_flight: InFlight::default(),
            epoch: 0,
            waiting: VecDeque::new(),
            overflow: Overflow::new(subtask.overflow_bytes),
            returned: Returned::default(),
            latency,
            mark: None,
            clock: subtask.clock.clone(),
        }
    }

    /// Hands a record to librdkafka; `false` when its queue is full.
    fn send(
        &self,
        tag: Tag,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        partition: Option<u32>,
    ) -> Result<bool> {
        let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(&self.topic, tag.0);
        (record.key, record.payload, record.partition) = (key, payload, partition.map(|it| it as i32));
        let Err((error, _)) = self.producer.send(record) else { return Ok(true) };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Ok(false),
            code => Err(self.failed(Undelivered {
                code: code.unwrap_or(RDKafkaErrorCode::Unknown),
                partition: partition.map_or(-1, |it| it as i32),
                bytes: payload.map_or(0, <[u8]>::len) + key.map_or(0, <[u8]>::len),
            })),
        }
    }

    fn failed(&self, Undelivered { code, partition, bytes }: Undelivered) -> Error {
        match (code, self.producer.client().fatal_error()) {
            (RDKafkaErrorCode::MessageSizeTooLarge, _) => failure::too_large(&self.topic, bytes, self.limit),
            (_, Some((_, reason))) => failure::client_failed(&self.topic, &reason),
            (code, None) => failure::not_delivered(&self.topic, (partition >= 0).then_some(partition), code),
        }
    }

    /// Serves events of the producer, and counts the records that have arrived.
    fn serve(&mut self) -> Result<()> {
        for _ in 0..EVENTS {
            self.producer.poll(Duration::ZERO);
            self.producer.context().take(&mut self.returned);
            if let Some(undelivered) = self.returned.failed.take() {
                return Err(self.failed(undelivered));
            }
            if self.returned.delivered.is_empty() {
                break;
            }
            self.count_arrived();
        }
        Ok(())
    }

    fn count_arrived(&mut self) {
        let now_ns = self.clock.now_ns();
        for tag in self.returned.delivered.drain(..) {
            self.in_flight.acknowledged_one(tag.epoch(self.epoch));
            self.latency.add(tag, now_ns);
        }
    }

    /// Hands over what waits, in order, as far as it fits.
    fn hand_over(&mut self) -> Result<()> {
        while let Some(Waiting { tag, key, payload, partition }) = self.waiting.front() {
            if !self.send(*tag, key.as_deref(), payload.as_deref(), *partition)? {
                break;
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    fn write_one(&mut self, record: &impl IntoKafka, now_ns: u64) -> Result<()> {
        self.overflow.count();
        self.epoch = self.in_flight.sent();
        let tag = match self.mark.take() {
            Some((mark, step_ns)) if step_ns == now_ns => Tag::from_source(self.epoch, mark.sent_ns),
            // A record of a later step may have been taken long after the mark was sent.
            _ => Tag::new(self.epoch, now_ns),
        };
        let payload = (!record.is_tombstone()).then(|| record.payload());
        let (key, partition) = (record.key(), record.partition());
        if self.waiting.is_empty() && self.send(tag, key, payload, partition)? {
            return Ok(());
        }
        let (key, payload) = (key.map(Into::into), payload.map(Into::into));
        let waiting = Waiting { tag, key, payload, partition };
        // A record that is refused here counts as under way, so no barrier behind it ever arrives.
        self.overflow.wait(waiting.bytes())?;
        self.waiting.push_back(waiting);
        Ok(())
    }
}

impl<F: Family> SinkWriter<F> for KafkaWriter
where
    for<'s> F::Of<'s>: IntoKafka,
{
    #[inline]
    fn write<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        if let Err(error) = self.write_one(&record, ctx.now_ns()) {
            ctx.fail(error);
        }
    }

    fn room(&mut self) -> usize {
        let empty = self.waiting.is_empty();
        self.overflow.promise(if empty { self.queue.saturating_sub(self.in_flight.total()) } else { 0 })
    }

    fn flush(&mut self) -> Result<()> {
        self.serve()?;
        self.hand_over()
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.in_flight.barrier(barrier);
    }

    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        self.mark = Some((mark, now_ns));
    }

    fn acknowledged(&mut self) -> Acknowledged {
        self.in_flight.acknowledged()
    }
}
