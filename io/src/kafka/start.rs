//! Where each partition begins, and where it ends for a bounded source.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use slotflow_runtime::{Error, Offset, Result, SplitId};

use super::failure::{self, Purpose};
use super::log::ClientLog;
use super::lookup::is_passing;

/// Between two questions to a coordinator that is not ready (a guess: a tenth of what choosing one takes).
const PAUSE: Duration = Duration::from_millis(50);

/// Where a Kafka source begins to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is still there, whatever the group has committed.
    Earliest,
    /// Behind the newest record, whatever the group has committed.
    Latest,
    /// Where the group has committed, else at the oldest record.
    #[default]
    GroupOrEarliest,
    /// Where the group has committed, else behind the newest record.
    GroupOrLatest,
}

impl Start {
    fn asks_group(self) -> bool {
        matches!(self, Start::GroupOrEarliest | Start::GroupOrLatest)
    }

    fn is_latest(self) -> bool {
        matches!(self, Start::Latest | Start::GroupOrLatest)
    }
}

/// One partition of a source subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    pub number: SplitId,
    /// The next offset to read; `None` for the oldest there is.
    pub next: Option<Offset>,
    /// Where a bounded source stops reading it.
    pub end: Option<Offset>,
}

/// What decides about the beginning; used on an I/O thread, as it waits for brokers.
pub(super) struct Beginning<'a> {
    pub topic: &'a str,
    /// The group whose offsets count, if any does.
    pub group: Option<&'a str>,
    pub start: Start,
    pub bounded: bool,
    /// How long each question to the brokers may take.
    pub timeout: Duration,
}

impl Beginning<'_> {
    /// Looks up where these partitions begin and end.
    pub fn find(&self, consumer: &BaseConsumer<ClientLog>, numbers: &[SplitId]) -> Result<Vec<Partition>> {
        let mut partitions: Vec<Partition> =
            numbers.iter().map(|number| Partition { number: *number, next: None, end: None }).collect();
        if let Some(group) = self.group.filter(|_| self.start.asks_group()) {
            self.committed(consumer, group, &mut partitions)?;
        }
        partitions.iter_mut().try_for_each(|partition| self.limits(consumer, partition))?;
        Ok(partitions)
    }

    /// Takes the offsets of the group, where it has any.
    fn committed(
        &self,
        consumer: &BaseConsumer<ClientLog>,
        group: &str,
        partitions: &mut [Partition],
    ) -> Result<()> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions.iter() {
            asked.add_partition(self.topic, partition.number as i32);
        }
        let answer = self.ask_group(consumer, &asked).map_err(|error| self.group_failed(group, &error))?;
        for (partition, found) in partitions.iter_mut().zip(answer.elements()) {
            partition.next = found.offset().to_raw().filter(|offset| *offset >= 0);
        }
        Ok(())
    }

    /// Asks until there is an answer for every partition. A group's coordinator that is being chosen, or has just
    /// moved, refuses for a moment.
    fn ask_group(
        &self,
        consumer: &BaseConsumer<ClientLog>,
        asked: &TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        let began = Instant::now();
        loop {
            let left = self.timeout.saturating_sub(began.elapsed());
            let answer = consumer.committed_offsets(asked.clone(), left).and_then(|answer| {
                answer.elements().iter().try_for_each(|found| found.error())?;
                Ok(answer)
            });
            match answer {
                Err(error) if error.rdkafka_error_code().is_some_and(is_passing) && left > PAUSE => {
                    std::thread::sleep(PAUSE);
                }
                answer => return answer,
            }
        }
    }

    fn group_failed(&self, group: &str, error: &KafkaError) -> Error {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => failure::group_refused(group),
            Some(code) => failure::group_failed(group, self.topic, "read", code),
            None => failure::group_failed(group, self.topic, "read", error),
        }
    }

    /// Asks for the ends of the log where they matter.
    fn limits(&self, consumer: &BaseConsumer<ClientLog>, partition: &mut Partition) -> Result<()> {
        let begins_at_end = partition.next.is_none() && self.start.is_latest();
        if !begins_at_end && !self.bounded {
            return Ok(());
        }
        let limits = consumer.fetch_watermarks(self.topic, partition.number as i32, self.timeout);
        let (low, high) = limits.map_err(|error| failure::topic_failed(self.topic, Purpose::Read, error))?;
        if begins_at_end || low == high {
            partition.next.get_or_insert(high);
        }
        if partition.next.is_some_and(|next| next < low || next > high) {
            return Err(failure::offset_gone(self.topic, partition.number, partition.next));
        }
        partition.end = self.bounded.then_some(high);
        Ok(())
    }
}

/// The list that assigns partitions to a consumer.
pub(super) fn assignment(topic: &str, partitions: &[Partition]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        let next = partition.next.map_or(KafkaOffset::Beginning, KafkaOffset::Offset);
        let added = list.add_partition_offset(topic, partition.number as i32, next);
        added.map_err(|error| Error::bug(format!("{partition:?} cannot be assigned: {error}")))?;
    }
    Ok(list)
}
