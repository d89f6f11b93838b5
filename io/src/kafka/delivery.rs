//! What comes back from the brokers for each record: the way of acknowledgements to the writer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use slotflow_runtime::metrics::{Latencies, LatencyMeter};

use super::dead_letter::Undelivered;
use super::log::ClientLog;
use super::produce::{Place, place};

/// Bits of a tag for the epoch; barriers under way are few, so the lowest bits tell them apart.
const EPOCH_BITS: u32 = 16;

/// The clock of a tag counts in units of 64 ns, so that it takes 104 days to go round.
const TICK_SHIFT: u32 = 6;

/// The bit between epoch and clock says whether the clock is that of the source.
const FROM_SOURCE: u64 = 1 << (63 - EPOCH_BITS);

const TICK_MASK: u64 = FROM_SOURCE - 1;

/// What travels with a record: the epoch it was written in and when; or, for a few, when a source took
/// the record that it was made of. It fits in the pointer that librdkafka carries, so nothing is
/// allocated for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub usize);

const _: () = assert!(usize::BITS == 64, "a tag needs 64 bits");

impl Tag {
    pub fn new(epoch: u64, now_ns: u64) -> Tag {
        Tag((epoch << (64 - EPOCH_BITS) | (now_ns >> TICK_SHIFT) & TICK_MASK) as usize)
    }

    /// The tag of a record whose origin a source took at `taken_ns`.
    pub fn from_source(epoch: u64, taken_ns: u64) -> Tag {
        Tag(Tag::new(epoch, taken_ns).0 | FROM_SOURCE as usize)
    }

    pub fn is_from_source(self) -> bool {
        self.0 as u64 & FROM_SOURCE != 0
    }

    /// The epoch, of which `latest` is the last one given out.
    pub fn epoch(self, latest: u64) -> u64 {
        let low = self.0 as u64 >> (64 - EPOCH_BITS);
        latest - (latest.wrapping_sub(low) & ((1 << EPOCH_BITS) - 1))
    }

    /// How long ago the record was written, or its origin taken.
    pub fn age_ns(self, now_ns: u64) -> u64 {
        ((now_ns >> TICK_SHIFT).wrapping_sub(self.0 as u64) & TICK_MASK) << TICK_SHIFT
    }
}

/// What has come back since the writer last looked.
#[derive(Default)]
pub(super) struct Returned {
    pub delivered: Vec<Tag>,
    /// All of them where there are dead letters, else the first.
    pub failed: Vec<(Tag, Undelivered)>,
}

impl Returned {
    pub fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.failed.is_empty()
    }
}

/// After this a broker may have forgotten a producer that has not written to a partition (a guess, to be safe: by
/// default, `producer.id.expiration.ms`, it is a day).
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The partitions of which a broker knows the producer.
///
/// Where an earlier request failed and a later one succeeded, librdkafka concludes that the earlier one has arrived,
/// too, as the broker would have refused the later one otherwise; such a record comes back without an offset. But a
/// broker that does not know the producer yet takes any request as the first. So the conclusion is right only behind
/// an acknowledgement: in front of the first one it loses records. Seen with Apache Kafka 4, on a topic that was just
/// made.
#[derive(Default)]
struct KnownPartitions {
    acknowledged: HashMap<Place, Instant>,
    /// The one that was noted last since the writer looked.
    last: Option<Place>,
}

impl KnownPartitions {
    #[inline]
    fn acknowledged(&mut self, place: Place) {
        if self.last != Some(place) {
            self.acknowledged.insert(place, Instant::now());
            self.last = Some(place);
        }
    }

    fn contains(&self, place: Place) -> bool {
        self.acknowledged.get(&place).is_some_and(|since| since.elapsed() < FORGOTTEN)
    }
}

/// Receives delivery reports. librdkafka calls it inside the writer's own `poll`, on the same thread,
/// so its lock is never waited for.
#[derive(Default)]
pub(super) struct Deliveries {
    pub log: ClientLog,
    /// Whether every record that fails is wanted, and not only the first.
    every_failure: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    returned: Returned,
    known: KnownPartitions,
}

impl Deliveries {
    pub fn with_every_failure(every_failure: bool) -> Deliveries {
        Deliveries { every_failure, ..Deliveries::default() }
    }

    /// Takes what has come back, leaving the empty `spare` in its place.
    pub fn take(&self, spare: &mut Returned) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.returned, spare);
        state.known.last = None;
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.log.log(level, facility, text);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { returned, known } = &mut *state;
        let (code, message) = match result {
            Ok(message) if message.offset() >= 0 => {
                known.acknowledged(place(message));
                return returned.delivered.push(Tag(tag));
            }
            Ok(message) if known.contains(place(message)) => return returned.delivered.push(Tag(tag)),
            // It was only concluded that the record has arrived, and wrongly so, perhaps.
            Ok(message) => (RDKafkaErrorCode::Inconsistent, message),
            Err((error, message)) => {
                (error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown), message)
            }
        };
        if self.every_failure || returned.failed.is_empty() {
            returned.failed.push((Tag(tag), Undelivered::returned(code, message)));
        }
    }
}

/// How long acknowledgements take, over all subtasks of a Kafka sink: until the step that saw the
/// acknowledgement, counted from two beginnings.
///
/// Taken from [`KafkaSink::ack_latency`](super::KafkaSink::ack_latency) and read at any time, from any
/// thread.
#[derive(Clone, Default)]
pub struct AckLatency(Arc<Mutex<Vec<Arc<AckMeters>>>>);

/// What one subtask has measured.
#[derive(Default)]
pub(super) struct AckMeters {
    pub since_write: LatencyMeter,
    pub since_dequeue: LatencyMeter,
}

impl AckMeters {
    /// A record with this tag has been acknowledged.
    pub fn add(&self, tag: Tag, now_ns: u64) {
        let meter = if tag.is_from_source() { &self.since_dequeue } else { &self.since_write };
        meter.add(tag.age_ns(now_ns));
    }
}

impl AckLatency {
    /// Meters for one more subtask.
    pub(super) fn meters(&self) -> Arc<AckMeters> {
        let meters = Arc::<AckMeters>::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(meters.clone());
        meters
    }

    /// Counted from the beginning of the step that handed the record to the producer; every record but
    /// those of [`since_dequeue`](AckLatency::since_dequeue).
    pub fn since_write(&self) -> Latencies {
        self.merged(|meters| &meters.since_write)
    }

    /// Counted from the beginning of the step in which a source took the record that this one was made
    /// of. A sample of some thousand a second: the first record behind each of the source's latency
    /// marks, if it reaches the sink in one step with the mark. Where a source found nothing behind its
    /// mark the wait for the next record is part of the sample, so it is never too low.
    pub fn since_dequeue(&self) -> Latencies {
        self.merged(|meters| &meters.since_dequeue)
    }

    fn merged(&self, which: impl Fn(&AckMeters) -> &LatencyMeter) -> Latencies {
        let mut all = Latencies::default();
        let subtasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        subtasks.iter().for_each(|meters| all.merge(&which(meters).snapshot()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_gives_back_epoch_and_age() {
        for (epoch, latest) in [(0, 0), (3, 5), (65_535, 65_537), (1 << 40, (1 << 40) + 4)] {
            let tag = Tag::new(epoch, 1_000_000);
            assert_eq!(tag.epoch(latest), epoch);
            assert_eq!(tag.age_ns(3_000_000), 2_000_000 / 64 * 64);
            let marked = Tag::from_source(epoch, 1_000_000);
            assert_eq!((marked.epoch(latest), marked.age_ns(3_000_000)), (epoch, tag.age_ns(3_000_000)));
            assert_eq!((tag.is_from_source(), marked.is_from_source()), (false, true));
        }
    }

    #[test]
    fn the_clock_of_a_tag_may_go_round() {
        let round = 1 << (63 - EPOCH_BITS + TICK_SHIFT);
        assert_eq!(Tag::new(7, round - 64).age_ns(round + 128), 192);
    }

    #[test]
    fn latencies_of_all_subtasks_are_one_histogram() {
        let latency = AckLatency::default();
        let meters = [latency.meters(), latency.meters()];
        meters.iter().for_each(|meters| meters.add(Tag::new(1, 1_000), 2_000));
        meters[0].add(Tag::from_source(1, 1_000), 2_000);
        assert_eq!((latency.since_write().count(), latency.clone().since_dequeue().count()), (2, 1));
    }
}
