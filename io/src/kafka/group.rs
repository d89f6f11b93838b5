//! Reading as a member of a consumer group: Kafka spreads the partitions over all members, in whatever process.
//!
//! # How a partition comes
//!
//! 1. Each source subtask is a member, with a thread on the I/O cores that polls its consumer's own queue. So a job
//!    that is held up stays a member: messages do not come through that queue.
//! 2. The group gives a partition. The thread looks up where it begins, forwards its messages into the reader's queue,
//!    tells the committer and the reader, and assigns it.
//!
//! # How a partition goes
//!
//! 3. The group takes a partition back. The thread tells the reader, which passes on no more of it and answers where it
//!    has come.
//! 4. The next barrier carries that offset. When everything before it has arrived, the committer stores it; until then,
//!    or for [`LET_GO_TIMEOUT`], the thread does not let go, and the group waits for it.
//! 5. It is removed from the committer's partitions and unassigned. An offset of it that is committed later is left
//!    out; when the partition comes back, so is one in front of where it came back.
//!
//! A member that was evicted lets go at once, also if that happens while it drains, which the answer to a commit tells:
//! its partitions have another reader already, which begins at the last offsets that were stored. What lies between is
//! read twice.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::types::RDKafkaRespErr as Native;
use slotflow_runtime::{Error, IoCores, Offsets, Result, Waker};

use super::assigned::Assigned;
use super::beginning::{Beginning, Partition, assignment};
use super::log::ClientLog;
use super::queue::Queue;
use super::reader::Change;
use super::source::Client;
use super::start::Start;
use super::subscription::TopicPartition;

/// How long a partition may take to be drained when the group takes it back (a guess: what a container has to stop in;
/// the group gives a member `max.poll.interval.ms`, by default five minutes).
const LET_GO_TIMEOUT: Duration = Duration::from_secs(25);

/// How often the thread looks whether its reader is gone, and one that lets go whether it still need wait.
const POLL: Duration = Duration::from_millis(100);

/// What a consumer does when its group gives it partitions or takes some; called by the member's thread, and by the one
/// that closes the client.
pub(super) struct Member {
    pub group: String,
    pub start: Start,
    pub timeout: Duration,
    pub assigned: Assigned,
    pub changes: Sender<Change>,
    pub waker: Waker,
    /// Where messages go; gone with the reader.
    pub queue: Weak<Queue>,
    /// Each partition that ever came keeps its number.
    pub known: Mutex<Vec<TopicPartition>>,
}

/// Starts the thread that keeps the membership, until the reader is gone.
pub(super) fn keep_membership(client: Arc<Client>, queue: Weak<Queue>, io: &IoCores) -> Result<()> {
    let poll = move || {
        while queue.strong_count() > 0 {
            if let Some(Err(error)) = client.poll(POLL) {
                tracing::warn!("a member of a Kafka group: {error}");
            }
        }
    };
    io.spawn("slotflow-group", poll).map(drop)
}

impl Member {
    pub fn rebalance(&self, consumer: &BaseConsumer<ClientLog>, what: Native, list: &TopicPartitionList) {
        let partitions = self.numbered(list);
        self.assigned.begin_round();
        if what != Native::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.let_go(consumer, &partitions);
            told(unassign(consumer, list));
        } else if let Err(error) = self.take(consumer, &partitions) {
            self.tell(Change::Failed(error));
        }
    }

    fn numbered(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbered = Vec::new();
        for it in list.elements() {
            let (topic, partition) = (it.topic(), it.partition() as u32);
            let split = known.iter().position(|known| *known.topic == *topic && known.partition == partition);
            let split = split.unwrap_or_else(|| {
                let split = known.len();
                known.push(TopicPartition { split: split as u32, topic: topic.into(), partition });
                split
            });
            numbered.push(known[split].clone());
        }
        numbered
    }

    /// Takes partitions that the group gives.
    fn take(&self, consumer: &BaseConsumer<ClientLog>, partitions: &[TopicPartition]) -> Result<()> {
        let Member { group, start, timeout, .. } = self;
        let beginning = Beginning { consumer, group: Some(group), start, stop: None, timeout: *timeout };
        let found = beginning.find(partitions)?;
        let list = assignment(&found)?;
        found.into_iter().try_for_each(|partition| self.expect(consumer, partition))?;
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&list),
            _ => consumer.assign(&list),
        };
        assigned.map_err(|error| Error::bug(format!("partitions of a group are not assigned: {error}")))
    }

    /// Makes everything ready for the messages of a partition.
    fn expect(&self, consumer: &BaseConsumer<ClientLog>, partition: Partition) -> Result<()> {
        let TopicPartition { topic, partition: number, .. } = &partition.of;
        tracing::info!("{topic}-{number} comes to this member of group \"{}\"", self.group);
        let forwarded = self
            .queue
            .upgrade()
            .and_then(|queue| queue.forward(consumer.client().native_ptr(), topic, *number as i32));
        forwarded.ok_or_else(|| Error::bug(format!("{topic}-{number} has no queue")))?;
        self.assigned.add(partition.of.clone(), Some(partition.next.unwrap_or(0)));
        self.tell(Change::Come(partition));
        Ok(())
    }

    /// Lets partitions go that the group takes back, drained if there is time.
    fn let_go(&self, consumer: &BaseConsumer<ClientLog>, partitions: &[TopicPartition]) {
        let until = Instant::now() + LET_GO_TIMEOUT;
        let (answer, answers) = mpsc::channel();
        for TopicPartition { split, topic, partition } in partitions {
            tracing::info!("{topic}-{partition} leaves this member of group \"{}\"", self.group);
            self.tell(Change::Go(*split, answer.clone()));
        }
        drop(answer);
        let goes_on = || !consumer.assignment_lost() && !self.assigned.is_evicted() && Instant::now() < until;
        let mut left_at = Offsets::new();
        loop {
            match answers.recv_timeout(POLL) {
                Ok((split, offset)) => left_at.extend(offset.map(|offset| (split, offset))),
                Err(RecvTimeoutError::Timeout) if goes_on() => {}
                Err(_) => break,
            }
        }
        let mut stored = self.assigned.wait_stored(&left_at, Instant::now());
        while !stored && goes_on() {
            stored = self.assigned.wait_stored(&left_at, Instant::now() + POLL);
        }
        if !stored {
            tracing::warn!(
                "partitions leave before all of them has arrived: their new reader reads some again"
            );
        }
        partitions.iter().for_each(|partition| self.assigned.remove(partition.split));
    }

    /// In vain where the reader is gone.
    fn tell(&self, change: Change) {
        if self.changes.send(change).is_ok() {
            self.waker.wake();
        }
    }
}

fn unassign(
    consumer: &BaseConsumer<ClientLog>,
    list: &TopicPartitionList,
) -> rdkafka::error::KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    }
}

fn told(outcome: rdkafka::error::KafkaResult<()>) {
    if let Err(error) = outcome {
        tracing::warn!("partitions that leave a member of a Kafka group: {error}");
    }
}
