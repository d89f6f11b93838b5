//! Reads the partitions of one source subtask, on its slot.

use std::sync::Arc;

use rdkafka::types::RDKafkaRespErr as Native;
use slotflow_runtime::{
    Committer, Context, Error, Offset, Offsets, Output, Polled, Result, SourceReader, SplitId, Untimed,
};

use super::batch::{Batch, RawMessage};
use super::committer::KafkaCommitter;
use super::failure::{self, Purpose};
use super::message::{Message, Messages};
use super::source::Client;
use super::start::Partition;

/// The queue is looked at again after this even if nobody wakes the slot: should a wake-up be lost
/// inside librdkafka, it costs 50 ms and not the stream.
const LOOK_AGAIN_NS: u64 = 50_000_000;

/// Reads the partitions of one source subtask.
pub struct KafkaReader {
    /// None where there is no partition to read.
    batch: Option<Batch>,
    topic: Arc<str>,
    positions: Positions,
    committer: Option<KafkaCommitter>,
}

impl KafkaReader {
    pub(super) fn without_partitions(topic: &str, bounded: bool) -> KafkaReader {
        KafkaReader {
            batch: None,
            topic: topic.into(),
            positions: Positions::new(&[], bounded),
            committer: None,
        }
    }

    pub(super) fn new(
        client: Arc<Client>,
        topic: &str,
        partitions: &[Partition],
        bounded: bool,
        committer: Option<KafkaCommitter>,
    ) -> Result<KafkaReader> {
        let batch = Batch::new(client).ok_or_else(|| Error::bug("a Kafka consumer has no queue"))?;
        let positions = Positions::new(partitions, bounded);
        Ok(KafkaReader { batch: Some(batch), topic: topic.into(), positions, committer })
    }
}

impl SourceReader for KafkaReader {
    type Item = Messages;
    type Time = Untimed;

    #[inline]
    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Messages>,
    ) -> Result<Polled> {
        let KafkaReader { batch, topic, positions, .. } = self;
        let (Some(batch), false) = (batch, positions.ended()) else {
            return Ok(if positions.bounded { Polled::End } else { Polled::Idle });
        };
        batch.fill(budget);
        let (batch, topic): (&'s Batch, &'s Arc<str>) = (batch, topic);
        let (mut taken, mut pushed) = (0, 0);
        for raw in batch.messages() {
            taken += 1;
            if raw.error() != 0 {
                positions.note(raw, topic)?;
            } else if positions.pass(raw.partition(), raw.offset()) {
                ctx.set_split(raw.partition() as SplitId);
                out.push(Message::new(raw, topic), ctx);
                pushed += 1;
            }
        }
        Ok(match (taken, pushed) {
            (0, _) => Polled::Until(ctx.now_ns() + LOOK_AGAIN_NS),
            (_, 0) => Polled::Until(ctx.now_ns()),
            _ => Polled::Records(pushed),
        })
    }

    fn offsets(&self) -> Offsets {
        self.positions.offsets()
    }

    fn idle(&self) -> bool {
        self.batch.is_none()
    }

    /// Until the brokers have said that there is nothing behind the last record: an outage is not idleness.
    fn is_behind(&self, split: SplitId) -> bool {
        self.positions.is_behind(split)
    }

    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        Some(Box::new(self.committer.take()?))
    }
}

/// How far each partition is.
struct Positions {
    bounded: bool,
    /// By partition number; those of other subtasks stay unused.
    places: Vec<Place>,
    /// How many partitions have not reached their end.
    unfinished: usize,
}

/// How far one partition is.
#[derive(Clone, Copy)]
struct Place {
    /// The next offset to read; negative as long as none is known.
    next: Offset,
    /// Reading stops in front of this.
    end: Offset,
    finished: bool,
    /// The last that the brokers have said of it is that there is nothing more.
    at_end: bool,
}

impl Positions {
    fn new(partitions: &[Partition], bounded: bool) -> Positions {
        let unused = Place { next: -1, end: Offset::MAX, finished: true, at_end: false };
        let mut positions = Positions { bounded, places: Vec::new(), unfinished: partitions.len() };
        for partition in partitions {
            let number = partition.number as usize;
            positions.places.resize(positions.places.len().max(number + 1), unused);
            let (next, end) = (partition.next.unwrap_or(-1), partition.end.unwrap_or(Offset::MAX));
            positions.places[number] = Place { next, end, finished: false, at_end: false };
            if next >= end {
                positions.finish(number);
            }
        }
        positions
    }

    /// Whether there is nothing left to read.
    #[inline]
    fn ended(&self) -> bool {
        self.unfinished == 0
    }

    /// Moves behind a message, if it is one to push: not those behind a bounded source's end.
    #[inline]
    fn pass(&mut self, partition: i32, offset: Offset) -> bool {
        let Some(place) = self.places.get_mut(partition as usize) else { return false };
        if place.finished {
            return false;
        }
        place.at_end = false;
        if offset < place.end {
            place.next = offset + 1;
        }
        let (pushed, finished) = (offset < place.end, offset + 1 >= place.end);
        if finished {
            self.finish(partition as usize);
        }
        pushed
    }

    /// The brokers have nothing more for now, perhaps behind entries of the log that are no records.
    fn reach_end(&mut self, number: SplitId, offset: Offset) {
        let Some(place) = self.places.get_mut(number as usize) else { return };
        place.at_end = true;
        if self.bounded && offset >= place.end {
            self.finish(number as usize);
        }
    }

    fn is_behind(&self, number: SplitId) -> bool {
        self.places.get(number as usize).is_some_and(|place| !place.finished && !place.at_end)
    }

    /// The end was reached, perhaps behind entries of the log that are no records.
    fn finish(&mut self, number: usize) {
        let place = &mut self.places[number];
        if !place.finished {
            place.finished = true;
            place.next = place.next.max(place.end);
            self.unfinished -= 1;
        }
    }

    /// What came instead of a message: the end of a partition, or an error.
    #[cold]
    fn note(&mut self, raw: RawMessage<'_>, topic: &str) -> Result<()> {
        let (partition, offset) = (raw.partition() as SplitId, raw.offset());
        if raw.error() == Native::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32 {
            self.reach_end(partition, offset);
            return Ok(());
        }
        let reason = String::from_utf8_lossy(raw.payload().unwrap_or(b"no reason given"));
        failure_of(raw.error(), topic, partition, offset, &reason).map_or(Ok(()), Err)
    }

    fn offsets(&self) -> Offsets {
        let known = self.places.iter().enumerate().filter(|(_, place)| place.next >= 0);
        known.map(|(number, place)| (number as SplitId, place.next)).collect()
    }
}

/// The errors of a partition that librdkafka cannot mend by trying again; the others only take time.
fn failure_of(code: i32, topic: &str, partition: SplitId, offset: Offset, reason: &str) -> Option<Error> {
    const OFFSET_GONE: i32 = Native::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET as i32;
    const REFUSED: i32 = Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as i32;
    const NOT_BUILT: i32 = Native::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED as i32;
    const FATAL: i32 = Native::RD_KAFKA_RESP_ERR__FATAL as i32;
    const PERMANENT: [i32; 7] = [
        Native::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC as i32,
        Native::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION as i32,
        Native::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as i32,
        Native::RD_KAFKA_RESP_ERR__BAD_MSG as i32,
        Native::RD_KAFKA_RESP_ERR__BAD_COMPRESSION as i32,
        Native::RD_KAFKA_RESP_ERR_INVALID_MSG as i32,
        Native::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as i32,
    ];
    match code {
        OFFSET_GONE => Some(failure::offset_gone(topic, partition, (offset >= 0).then_some(offset))),
        REFUSED => Some(failure::topic_refused(topic, Purpose::Read)),
        NOT_BUILT => Some(failure::not_decompressed(topic, partition, offset, reason)),
        FATAL => Some(failure::client_failed(topic, reason)),
        code if PERMANENT.contains(&code) => {
            Some(failure::partition_failed(topic, partition, offset, reason))
        }
        _ => {
            tracing::warn!(topic, partition, "Kafka tries again: {reason}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two partitions of a bounded source, both to be read from 3 to 6.
    fn positions() -> Positions {
        let partition = |number| Partition { number, next: Some(3), end: Some(6) };
        Positions::new(&[partition(1), partition(4)], true)
    }

    #[test]
    fn a_gap_across_the_end_ends_the_partition_and_lets_nothing_through() {
        let mut positions = positions();
        assert!(positions.pass(1, 3));
        // 4 and 5 are a transaction's markers, 6 was written after the start.
        assert!(!positions.pass(1, 6));
        assert_eq!((positions.offsets(), positions.unfinished), (vec![(1, 6), (4, 3)], 1));
        assert!(!positions.pass(1, 7));
        assert_eq!(positions.offsets(), [(1, 6), (4, 3)]);
    }

    #[test]
    fn the_last_record_before_the_end_ends_the_partition() {
        let mut positions = positions();
        assert!([3, 4, 5].into_iter().all(|offset| positions.pass(4, offset)));
        assert!((3..6).all(|offset| positions.pass(1, offset)) && positions.ended());
        assert_eq!(positions.offsets(), [(1, 6), (4, 6)]);
    }

    #[test]
    fn an_endless_source_knows_no_end() {
        let mut positions = Positions::new(&[Partition { number: 0, next: None, end: None }], false);
        assert!(positions.offsets().is_empty());
        assert!(positions.pass(0, 1 << 40) && !positions.ended());
        assert_eq!(positions.offsets(), [(0, (1 << 40) + 1)]);
    }

    #[test]
    fn a_partition_is_behind_until_the_brokers_have_nothing_more() {
        let mut positions = Positions::new(&[Partition { number: 0, next: None, end: None }], false);
        assert!(positions.is_behind(0), "nobody has answered yet");
        positions.reach_end(0, 5);
        assert!(!positions.is_behind(0));
        assert!(positions.pass(0, 5) && positions.is_behind(0));
        positions.reach_end(0, 9);
        assert!(!positions.is_behind(0) && !positions.ended());
        let mut bounded = self::positions();
        bounded.reach_end(4, 6);
        assert!(bounded.is_behind(1) && !bounded.is_behind(4) && !bounded.is_behind(7));
    }

    #[test]
    fn a_partition_of_somebody_else_is_not_passed_on() {
        let mut positions = positions();
        assert!(!positions.pass(0, 3) && !positions.pass(9, 3) && !positions.pass(-1, 3));
    }

    #[test]
    fn only_what_time_cannot_mend_is_a_failure() {
        let failure = |code| failure_of(code as i32, "words", 3, 17, "reason").map(|error| error.to_string());
        assert!(failure(Native::RD_KAFKA_RESP_ERR__TRANSPORT).is_none());
        assert!(failure(Native::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION).is_none());
        let not_built = failure(Native::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED).unwrap();
        assert!(not_built.contains("offset 17 cannot be read: reason; build librdkafka with"), "{not_built}");
        assert!(failure(Native::RD_KAFKA_RESP_ERR__BAD_MSG).unwrap().contains("offset 17 cannot be read"));
        assert!(
            failure(Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap().contains("may not read")
        );
        assert!(failure(Native::RD_KAFKA_RESP_ERR__FATAL).unwrap().contains("cannot go on: reason"));
    }
}
