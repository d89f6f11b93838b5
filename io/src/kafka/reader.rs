//! Reads the partitions of one source subtask, on its slot.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender};

use rdkafka::types::RDKafkaRespErr as Native;
use slotflow_runtime::{
    Committer, Context, Error, Offset, Offsets, Output, Polled, Result, SourceReader, SplitId, Untimed,
};

use super::batch::{Batch, RawMessage};
use super::beginning::Partition;
use super::committer::KafkaCommitter;
use super::failure::{self, Purpose};
use super::message::{Message, Messages};
use super::orders::Orders;
use super::positions::Positions;
use super::queue::QueueWaker;
use super::watch::Stand;

/// The queue is looked at again after this even if nobody wakes the slot: should a wake-up be lost
/// inside librdkafka, it costs 50 ms and not the stream.
const LOOK_AGAIN_NS: u64 = 50_000_000;

/// Reads the partitions of one source subtask.
pub struct KafkaReader {
    /// None where there is no partition to read, and none will come.
    batch: Option<Batch>,
    /// The batch was taken and not given yet.
    held: bool,
    positions: Positions,
    arrivals: Option<Arrivals>,
    committer: Option<KafkaCommitter>,
    /// None where there is no partition, or the group sees to them: it moves them as it likes.
    orders: Option<Orders>,
    /// Who watches over the consumer, while it waits to hear how far the partitions have come.
    asked: Option<Sender<Vec<Stand>>>,
}

/// Where a reader hears of partitions that come and go.
pub(super) struct Arrivals {
    pub changes: Receiver<Change>,
    /// Gone with the reader, which ends what goes on for it: the search for more, the watch over its consumer.
    pub _wanted: Vec<Sender<Infallible>>,
    /// Wakes the slot, where the client does not.
    pub _waker: Option<QueueWaker>,
}

/// What happens to the partitions of a reader.
pub(super) enum Change {
    /// It is read from here on.
    Come(Partition),
    /// It is not read any more; the answer is where the reader has come.
    Go(SplitId, Sender<(SplitId, Option<Offset>)>),
    /// How far they have come, once there is nothing more in the queue.
    Tell(Sender<Vec<Stand>>),
    /// The consumer stood still; this is the queue of a new one, which has no partition yet.
    Renewed(Batch),
    /// The partitions that were to come cannot be read.
    Failed(Error),
}

impl KafkaReader {
    pub(super) fn without_partitions(bounded: bool) -> KafkaReader {
        let positions = Positions::new(&[], bounded);
        KafkaReader {
            batch: None,
            held: false,
            positions,
            arrivals: None,
            committer: None,
            orders: None,
            asked: None,
        }
    }

    pub(super) fn new(
        batch: Batch,
        positions: Positions,
        committer: Option<KafkaCommitter>,
        arrivals: Option<Arrivals>,
        orders: Option<Orders>,
    ) -> KafkaReader {
        KafkaReader { batch: Some(batch), held: false, positions, arrivals, committer, orders, asked: None }
    }

    /// Takes in what has happened to the partitions meanwhile; whether anything has.
    fn take_in(&mut self) -> Result<bool> {
        let Some(arrivals) = &self.arrivals else { return Ok(false) };
        let Ok(mut change) = arrivals.changes.try_recv() else { return Ok(false) };
        loop {
            self.take_in_one(change)?;
            let Some(Ok(next)) = self.arrivals.as_ref().map(|arrivals| arrivals.changes.try_recv()) else {
                return Ok(true);
            };
            change = next;
        }
    }

    #[cold]
    fn take_in_one(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Come(partition) => {
                let split = partition.of.split;
                self.positions.add(&partition);
                // A group assigns by itself what it gives.
                if let (Some(orders), Some(from)) = (&mut self.orders, self.positions.read_from(split)) {
                    orders.read(from)?;
                }
            }
            // Who asked may be gone with its patience.
            Change::Go(split, answer) => drop(answer.send((split, self.positions.leave(split)))),
            Change::Tell(answer) => self.asked = Some(answer),
            Change::Renewed(batch) => self.renew(batch)?,
            Change::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Goes on with a new consumer, where the slot has come: what the old one has fetched and was not taken comes
    /// again.
    fn renew(&mut self, batch: Batch) -> Result<()> {
        let client = batch.client().clone();
        self.batch = Some(batch);
        self.orders.as_mut().map_or(Ok(()), |orders| orders.renew(client, self.positions.unfinished()))
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
        if let Some(batch) = self.batch.as_mut().filter(|_| !self.held) {
            batch.fill(budget);
        }
        // Behind the fill: what is in the batch was told of before it was fetched. Event time hears of it first.
        self.held = self.take_in()?;
        if self.held {
            return Ok(Polled::Until(ctx.now_ns()));
        }
        let KafkaReader { batch, positions, asked, orders, .. } = self;
        let (Some(batch), false) = (batch, positions.ended()) else {
            return Ok(if positions.is_bounded() { Polled::End } else { Polled::Idle });
        };
        let batch: &'s Batch = batch;
        let (mut taken, mut pushed, mut topic) = (0, 0, TopicOf::default());
        for raw in batch.messages() {
            taken += 1;
            if raw.error() != 0 {
                note(raw, positions)?;
            } else if let Some(split) =
                positions.pass(topic.of(raw, positions), raw.partition(), raw.offset())
            {
                ctx.set_split(split);
                out.push(Message::new(raw), ctx);
                pushed += 1;
            }
        }
        if taken == 0 {
            tell(asked, positions, orders.as_ref());
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
        self.positions.is_empty()
    }

    /// Until the brokers have said that there is nothing behind the last record: an outage is not idleness.
    fn is_behind(&self, split: SplitId) -> bool {
        self.positions.is_behind(split)
    }

    /// Partitions of a bounded source that have reached their end.
    fn ended_splits(&self) -> usize {
        self.positions.finished()
    }

    fn has_ended(&self, split: SplitId) -> bool {
        self.positions.is_finished(split)
    }

    fn pause(&mut self, split: SplitId) -> bool {
        let from = self.positions.read_from(split);
        self.orders.as_mut().zip(from).is_some_and(|(orders, from)| orders.pause(split, from))
    }

    fn resume(&mut self, split: SplitId) {
        if let (Some(orders), Some(from)) = (&mut self.orders, self.positions.read_from(split)) {
            orders.resume(split, from);
        }
    }

    fn splits_since(&self, state: u64) -> Option<(u64, Vec<SplitId>)> {
        self.positions.splits_since(state)
    }

    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        Some(Box::new(self.committer.take()?))
    }
}

/// The topic of the message before, as the next one mostly has the same. For one batch: as long as a message lives,
/// its topic's handle is nobody else's.
#[derive(Default)]
struct TopicOf {
    handle: usize,
    topic: usize,
}

impl TopicOf {
    #[inline]
    fn of(&mut self, raw: RawMessage<'_>, positions: &Positions) -> usize {
        if let Some(only) = positions.only_topic() {
            return only;
        }
        if self.handle != raw.topic_handle() {
            let topic = positions.topic(raw.topic()).unwrap_or(usize::MAX);
            *self = TopicOf { handle: raw.topic_handle(), topic };
        }
        self.topic
    }
}

/// The queue is empty: who watches over the consumer hears how far it has come.
#[inline]
fn tell(asked: &mut Option<Sender<Vec<Stand>>>, positions: &Positions, orders: Option<&Orders>) {
    if let Some((asked, orders)) = asked.take().zip(orders) {
        let stands = positions.stands().into_iter().filter(|it| !orders.is_paused(it.of.split));
        // In vain where the watch is over.
        drop(asked.send(stands.collect()));
    }
}

/// What came instead of a message: the end of a partition, or an error.
#[cold]
fn note(raw: RawMessage<'_>, positions: &mut Positions) -> Result<()> {
    let (partition, offset) = (raw.partition(), raw.offset());
    if raw.error() == Native::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32 {
        let topic = positions.topic(raw.topic()).unwrap_or(usize::MAX);
        positions.reach_end(topic, partition, offset);
        return Ok(());
    }
    let reason = String::from_utf8_lossy(raw.payload().unwrap_or(b"no reason given"));
    let (topic, partition) = (raw.topic(), partition as SplitId);
    let failure_of = if positions.passes_errors() { failure_of } else { failure_of_member };
    if let Some(error) = failure_of(raw.error(), topic, partition, offset, &reason) {
        return Err(error);
    }
    tracing::warn!(topic, partition, "Kafka tries again: {reason}");
    Ok(())
}

/// To a member every error at an offset is a failure: it would go on behind that.
fn failure_of_member(
    code: i32,
    topic: &str,
    partition: SplitId,
    offset: Offset,
    reason: &str,
) -> Option<Error> {
    let at_offset = || (offset >= 0).then(|| failure::partition_failed(topic, partition, offset, reason));
    failure_of(code, topic, partition, offset, reason).or_else(at_offset)
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
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::source::Client;
    use super::*;

    impl KafkaReader {
        /// What a test does things to that librdkafka does by itself elsewhere.
        pub(in super::super) fn client(&self) -> Arc<Client> {
            self.batch.as_ref().unwrap().client().clone()
        }
    }

    #[test]
    fn an_error_of_a_member_has_its_own_remedy_and_fails_at_an_offset_whatever_it_is() {
        let failure = |code, offset| {
            failure_of_member(code as i32, "words", 3, offset, "reason").map(|error| error.to_string())
        };
        let gone = failure(Native::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, 17).unwrap();
        assert!(gone.contains("reset the group's offsets"), "{gone}");
        let other = failure(Native::RD_KAFKA_RESP_ERR__TRANSPORT, 17).unwrap();
        assert!(other.contains("offset 17 cannot be read"), "{other}");
        assert!(failure(Native::RD_KAFKA_RESP_ERR__TRANSPORT, -1).is_none());
    }

    #[test]
    fn only_what_time_cannot_mend_is_a_failure() {
        let failure = |code| failure_of(code as i32, "words", 3, 17, "reason").map(|error| error.to_string());
        assert!(failure(Native::RD_KAFKA_RESP_ERR__TRANSPORT).is_none());
        assert!(failure(Native::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION).is_none());
        let not_built = failure(Native::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED).unwrap();
        assert!(not_built.contains("offset 17 cannot be read: reason; build with"), "{not_built}");
        assert!(failure(Native::RD_KAFKA_RESP_ERR__BAD_MSG).unwrap().contains("offset 17 cannot be read"));
        assert!(
            failure(Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap().contains("may not read")
        );
        assert!(failure(Native::RD_KAFKA_RESP_ERR__FATAL).unwrap().contains("cannot go on: reason"));
    }
}
