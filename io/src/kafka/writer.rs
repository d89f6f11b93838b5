//! Writes the records of one sink subtask, on its slot.
//!
//! # The way of a record
//!
//! 1. [`room`](SinkWriter::room) says how much the producer's queue still holds; at 0 the subtask
//!    takes no input, which is the backpressure.
//! 2. [`write`](SinkWriter::write) gives the record a tag with its epoch and hands it to librdkafka,
//!    which copies it.
//!    If the queue is full all the same (it is bounded in bytes, too, and an operator may give many
//!    records for one), the record waits here, and so does every later one, so that the order is kept.
//!    What waits is bounded by [`Overflow`].
//! 3. [`flush`](SinkWriter::flush), at the end of each step, takes delivery reports and hands over
//!    what waits.
//! 4. A report of success counts the record's epoch down; a barrier has arrived when all epochs before
//!    it are at zero. A report of failure fails the job, so the barrier never arrives; or, where it is the
//!    record's own and there is a sink for them, makes a dead letter of it (`dead_letter.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer as _};
use slotflow_runtime::{
    Acknowledged, Barrier, Clock, Context, Error, Family, InFlight, LatencyMark, Measures, Result,
    SinkWriter, SubtaskContext,
};

use super::dead_letter::{Letters, Undelivered};
use super::delivery::{AckMeters, Deliveries, Returned, Tag};
use super::failure;
use super::kafka_record::KafkaRecord;
use super::marks::Marks;
use super::off_slot::OffSlot;
use super::produce::Topics;
use super::queue::{Queue, QueueWaker};
use super::record::IntoKafka;
use crate::overflow::Overflow;

/// The producer of one sink subtask.
pub(super) type Producer = OffSlot<BaseProducer<Deliveries>>;

/// How many events one flush serves at most: a step must end (a guess; each holds the reports of a
/// whole produce request, tens to thousands of records).
const EVENTS: usize = 16;

/// Writes the records of one sink subtask.
pub struct KafkaWriter {
    topics: Topics,
    producer: Arc<Producer>,
    _waker: Option<QueueWaker>,
    bounds: Bounds,
    in_flight: InFlight,
    /// The last epoch that was given out.
    epoch: u64,
    /// Records that the producer's queue did not take yet.
    waiting: VecDeque<Waiting>,
    overflow: Overflow,
    returned: Returned,
    /// Where records go that Kafka refuses; without it they fail the job.
    letters: Option<Letters>,
    /// What it says of event time with each record, if it does.
    marks: Option<Marks>,
    latency: Arc<AckMeters>,
    /// A latency mark whose record has not come yet, and the time of the step it came in.
    mark: Option<(LatencyMark, u64)>,
    clock: Clock,
}

/// A record that waits for room in the producer's queue.
struct Waiting {
    tag: Tag,
    /// The number of its topic.
    topic: usize,
    record: KafkaRecord,
}

/// What a producer takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How many records its queue holds.
    pub queue: usize,
    /// The size from which it refuses a record.
    pub record_bytes: Option<usize>,
}

impl KafkaWriter {
    pub(super) fn new(
        producer: Arc<Producer>,
        topic: &str,
        bounds: Bounds,
        letters: Option<Letters>,
        subtask: &SubtaskContext,
        latency: Arc<AckMeters>,
    ) -> Result<KafkaWriter> {
        Ok(KafkaWriter {
            topics: Topics::new(producer.clone(), topic)?,
            _waker: Queue::of_producer(&producer)
                .map(|queue| QueueWaker::new(Arc::new(queue), subtask.waker.clone())),
            producer,
            bounds,
            in_flight: InFlight::default(),
            epoch: 0,
            waiting: VecDeque::new(),
            overflow: Overflow::new(subtask.overflow_bytes),
            returned: Returned::default(),
            letters,
            marks: None,
            latency,
            mark: None,
            clock: subtask.clock.clone(),
        })
    }

    /// Says with each record how far event time has come.
    pub(super) fn marking(self, marks: Option<Marks>) -> Self {
        KafkaWriter { marks, ..self }
    }

    /// A record does not arrive: that is a dead letter where it may be one, else a failure.
    #[cold]
    fn lose(&mut self, tag: Tag, undelivered: Undelivered) -> Result<()> {
        match &mut self.letters {
            Some(letters) if undelivered.is_of_record(self.topics.name(0)) => {
                letters.send(undelivered.record, tag.epoch(self.epoch))
            }
            _ => Err(self.failed(&undelivered)),
        }
    }

    fn failed(&self, undelivered: &Undelivered) -> Error {
        let (topic, bytes) = (&undelivered.record.topic, undelivered.bytes());
        match (undelivered.code, self.producer.client().fatal_error()) {
            (RDKafkaErrorCode::MessageSizeTooLarge, _) => {
                failure::too_large(topic, bytes, self.bounds.record_bytes)
            }
            (_, Some((_, reason))) => failure::client_failed(topic, &reason),
            (code, None) => failure::not_delivered(topic, undelivered.record.partition, code),
        }
    }

    /// Serves events of the producer, and counts the records that have arrived.
    fn serve(&mut self) -> Result<()> {
        for _ in 0..EVENTS {
            self.producer.poll(Duration::ZERO);
            self.producer.context().take(&mut self.returned);
            if self.returned.is_empty() {
                break;
            }
            self.count_arrived();
            for (tag, undelivered) in std::mem::take(&mut self.returned.failed) {
                self.lose(tag, undelivered)?;
            }
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
        while let Some(Waiting { tag, topic, record }) = self.waiting.pop_front() {
            if !self.send(tag, topic, &record)? {
                self.waiting.push_front(Waiting { tag, topic, record });
                break;
            }
        }
        Ok(())
    }

    /// Hands a record to librdkafka; `false` when its queue is full.
    #[inline]
    fn send(&mut self, tag: Tag, topic: usize, record: &impl IntoKafka) -> Result<bool> {
        match self.topics.send(topic, record, tag.0) {
            Ok(()) => Ok(true),
            Err(RDKafkaErrorCode::QueueFull) => Ok(false),
            Err(code) => {
                let undelivered = Undelivered::refused(code, record, self.topics.name(topic));
                self.lose(tag, undelivered).map(|()| true)
            }
        }
    }

    /// Letters that have arrived settle the records they were made of.
    fn settle(&mut self) -> Result<()> {
        if let Some(letters) = &mut self.letters {
            letters.flush()?.for_each(|epoch| self.in_flight.acknowledged_one(epoch));
        }
        Ok(())
    }

    fn tag(&mut self, now_ns: u64) -> Tag {
        self.epoch = self.in_flight.sent();
        match self.mark.take() {
            Some((mark, step_ns)) if step_ns == now_ns => Tag::from_source(self.epoch, mark.sent_ns),
            // A record of a later step may have been taken long after the mark was sent.
            _ => Tag::new(self.epoch, now_ns),
        }
    }

    fn write_one(&mut self, record: &impl IntoKafka, now_ns: u64) -> Result<()> {
        self.overflow.count();
        let tag = self.tag(now_ns);
        let topic = record.topic().map_or(Ok(0), |name| self.topics.find(name))?;
        if self.waiting.is_empty() && self.send(tag, topic, record)? {
            return Ok(());
        }
        let record = KafkaRecord::copy_of(record);
        // A record that is refused here counts as under way, so no barrier behind it ever arrives.
        self.overflow.wait(size_of::<Waiting>() + record.bytes())?;
        self.waiting.push_back(Waiting { tag, topic, record });
        Ok(())
    }
}

impl<F: Family> SinkWriter<F> for KafkaWriter
where
    for<'s> F::Of<'s>: IntoKafka,
{
    #[inline]
    fn write<'s>(&mut self, record: F::Of<'s>, ctx: &mut Context<'s>) {
        let written = match self.marks {
            None => self.write_one(&record, ctx.now_ns()),
            Some(marks) => self.write_one(&marks.on(&record, ctx.watermark()), ctx.now_ns()),
        };
        if let Err(error) = written {
            ctx.fail(error);
        }
    }

    fn room(&mut self) -> usize {
        let letters = self.letters.as_mut().map_or(usize::MAX, Letters::room);
        let queue = self.bounds.queue.saturating_sub(self.in_flight.total());
        self.overflow.promise(if self.waiting.is_empty() { queue.min(letters) } else { 0 })
    }

    fn flush(&mut self) -> Result<()> {
        self.serve()?;
        self.hand_over()?;
        self.settle()
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.in_flight.barrier(barrier);
    }

    fn mark(&mut self, mark: LatencyMark, now_ns: u64) {
        self.mark = Some((mark, now_ns));
    }

    fn close(&mut self) {
        self.letters.iter_mut().for_each(Letters::close);
    }

    fn acknowledged(&mut self) -> Acknowledged {
        self.in_flight.acknowledged()
    }

    fn measure(&self, measures: &mut Measures<'_>) {
        let whom = || format!("acknowledgements of Kafka topic {}", self.topics.name(0));
        measures.waiting(self.in_flight.total(), whom);
    }
}
