//! Where each partition begins, and where it ends for a bounded source, as the brokers know it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use slotflow_runtime::{Error, Offset, Result};

use super::commit::commit_within;
use super::committer::{is_evicted, is_of_membership};
use super::failure::{self, Purpose};
use super::log::ClientLog;
use super::lookup::is_passing;
use super::start::{PartitionOffset, Start, Stop};
use super::subscription::TopicPartition;

/// Between two questions to a coordinator that is not ready (a guess: a tenth of what choosing one takes).
const PAUSE: Duration = Duration::from_millis(50);

/// One partition of a source subtask, and its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    pub of: TopicPartition,
    /// The next offset to read; `None` for the oldest there is.
    pub next: Option<Offset>,
    /// Where a bounded source stops reading it.
    pub end: Option<Offset>,
    /// Whether that is the end of its log, for want of an offset of the group, and the group is yet to know.
    pub is_news: bool,
}

impl Partition {
    /// One that is read whole.
    pub fn whole(of: &TopicPartition) -> Partition {
        Partition { of: of.clone(), next: None, end: None, is_news: false }
    }
}

/// What decides about the beginning; used on an I/O thread, as it waits for brokers.
pub(super) struct Beginning<'a> {
    pub consumer: &'a BaseConsumer<ClientLog>,
    /// The group whose offsets count, if any does.
    pub group: Option<&'a str>,
    pub start: &'a Start,
    pub stop: Option<&'a Stop>,
    /// How long each question to the brokers may take.
    pub timeout: Duration,
    /// Whether it is asked again after that, as long as what is wrong may pass.
    pub goes_on: &'a dyn Fn() -> bool,
}

/// Who waits for the answer has no more time than that.
pub(super) fn gives_up() -> bool {
    false
}

impl Beginning<'_> {
    /// Looks up where these partitions begin and end.
    pub fn find(&self, partitions: &[TopicPartition]) -> Result<Vec<Partition>> {
        // A group may have nothing to give, and for nothing nobody is asked.
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let mut partitions: Vec<Partition> = partitions.iter().map(Partition::whole).collect();
        self.begin(&mut partitions)?;
        if let Some(Stop::Timestamp(timestamp_ms)) = self.stop {
            let ends = self.at_time(&partitions, *timestamp_ms)?;
            partitions.iter_mut().zip(ends).for_each(|(partition, end)| partition.end = end);
        }
        if self.stop.is_some() || partitions.iter().any(|partition| self.begins_at_end(partition)) {
            self.limits(&mut partitions)?;
        }
        Ok(partitions)
    }

    fn begin(&self, partitions: &mut [Partition]) -> Result<()> {
        let next = match (self.start, self.group) {
            (Start::Timestamp(timestamp_ms), _) => self.at_time(partitions, *timestamp_ms)?,
            (Start::Offsets(offsets), _) => {
                let of = |it: &Partition| PartitionOffset::find(offsets, &it.of.topic, it.of.partition);
                partitions.iter().map(of).collect()
            }
            (start, Some(group)) if start.asks_group() => self.committed(group, partitions)?,
            _ => return Ok(()),
        };
        partitions.iter_mut().zip(next).for_each(|(partition, next)| partition.next = next);
        Ok(())
    }

    /// The offsets of the group, where it has any.
    fn committed(&self, group: &str, partitions: &[Partition]) -> Result<Vec<Option<Offset>>> {
        let asked = list(partitions, |_| KafkaOffset::Invalid)?;
        let failed = |error: KafkaError| group_failed(group, &partitions[0].of.topic, "read", &error);
        let answer = self.ask(|left| self.consumer.committed_offsets(asked.clone(), left)).map_err(failed)?;
        let found = offsets(&answer, partitions);
        if *self.start == Start::Group
            && let Some(lacking) = found.iter().position(Option::is_none)
        {
            let TopicPartition { topic, partition, .. } = &partitions[lacking].of;
            return Err(failure::not_committed(group, topic, *partition));
        }
        Ok(found)
    }

    /// The offsets of the first records with this time or a later one, where there are any.
    fn at_time(&self, partitions: &[Partition], timestamp_ms: i64) -> Result<Vec<Option<Offset>>> {
        self.at(partitions, KafkaOffset::Offset(timestamp_ms.max(0)))
    }

    /// The offsets at a time, which may also be Kafka's word for the beginning or the end.
    ///
    /// librdkafka's own question for both at once (`rd_kafka_query_watermark_offsets`) may say that all is well
    /// although a broker has refused one, and give the other twice: a partition that looks empty.
    fn at(&self, partitions: &[Partition], time: KafkaOffset) -> Result<Vec<Option<Offset>>> {
        let asked = list(partitions, |_| time)?;
        let failed = |error| failure::topic_failed(&partitions[0].of.topic, Purpose::Read, error);
        let answer = self.ask(|left| self.consumer.offsets_for_times(asked.clone(), left)).map_err(failed)?;
        Ok(offsets(&answer, partitions))
    }

    /// Asks until there is an answer for every partition. A coordinator or leader that is being chosen, or has just
    /// moved, refuses for a moment.
    fn ask(
        &self,
        ask: impl Fn(Duration) -> Result<TopicPartitionList, KafkaError>,
    ) -> Result<TopicPartitionList, KafkaError> {
        self.ask_while(is_passing, ask)
    }

    /// Asks as long as a refusal may pass within the time for it, or anyhow.
    fn ask_while(
        &self,
        may_pass: impl Fn(RDKafkaErrorCode) -> bool,
        ask: impl Fn(Duration) -> Result<TopicPartitionList, KafkaError>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut began = Instant::now();
        loop {
            let left = self.timeout.saturating_sub(began.elapsed());
            let answer = ask(left).and_then(|answer| {
                answer.elements().iter().try_for_each(|found| found.error())?;
                Ok(answer)
            });
            let code = answer.as_ref().err().and_then(KafkaError::rdkafka_error_code);
            match code.filter(|code| may_pass(*code)) {
                Some(_) if left > PAUSE => {}
                Some(code) if is_passing(code) && (self.goes_on)() => {
                    tracing::warn!("where partitions begin is asked again, as nobody says so now: {code}");
                    began = Instant::now();
                }
                _ => return answer,
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Has the group know where these begin, where it is [news](Partition::is_news) to it: who starts again before the
    /// first commit would find another end, and leave out what came in between. It stays news if the group spreads
    /// partitions anew already; `false` if it has gone on without this member.
    pub fn keep(&self, partitions: &mut [Partition]) -> Result<bool> {
        let news: Vec<Partition> = partitions.iter().filter(|it| it.is_news).cloned().collect();
        let (Some(group), Some(first)) = (self.group, news.first()) else { return Ok(true) };
        let Err(error) = self.commit(&assignment(&news)?) else {
            partitions.iter_mut().for_each(|it| it.is_news = false);
            return Ok(true);
        };
        match error.rdkafka_error_code() {
            Some(code) if is_of_membership(code) => Ok(!is_evicted(code)),
            _ => Err(group_failed(group, &first.of.topic, "committed", &error)),
        }
    }

    /// Commits; a coordinator that has just begun may not know of a topic yet.
    fn commit(&self, begins: &TopicPartitionList) -> Result<(), KafkaError> {
        let commit = |left| {
            let committed = commit_within(self.consumer, begins, left);
            committed.map(|()| begins.clone()).map_err(KafkaError::ConsumerCommit)
        };
        let may_pass = |code| is_passing(code) || code == RDKafkaErrorCode::UnknownTopicOrPartition;
        self.ask_while(may_pass, commit).map(drop)
    }

    fn begins_at_end(&self, partition: &Partition) -> bool {
        let by_time = matches!(self.start, Start::Timestamp(_));
        partition.next.is_none() && (self.start.is_latest() || by_time)
    }

    /// Asks for the ends of the logs, and keeps each partition within its own.
    fn limits(&self, partitions: &mut [Partition]) -> Result<()> {
        let low = self.at(partitions, KafkaOffset::Beginning)?;
        let high = self.at(partitions, KafkaOffset::End)?;
        let mut limits = low.into_iter().zip(high);
        partitions.iter_mut().try_for_each(|partition| match limits.next() {
            Some((Some(low), Some(high))) => self.limit(partition, low, high),
            _ => Err(failure::topic_failed(
                &partition.of.topic,
                Purpose::Read,
                "a leader does not tell its ends",
            )),
        })
    }

    fn limit(&self, partition: &mut Partition, low: Offset, high: Offset) -> Result<()> {
        let begins_at_end = self.begins_at_end(partition);
        if !begins_at_end && self.stop.is_none() {
            return Ok(());
        }
        let TopicPartition { topic, partition: number, .. } = &partition.of;
        partition.is_news = begins_at_end && self.group.is_some() && *self.start == Start::GroupOrLatest;
        if begins_at_end || low == high {
            partition.next.get_or_insert(high);
        }
        if partition.next.is_some_and(|next| next < low || next > high) {
            return Err(failure::offset_gone(topic, *number, partition.next));
        }
        partition.end = match self.stop {
            Some(Stop::Offsets(offsets)) => PartitionOffset::find(offsets, topic, *number).or(Some(high)),
            Some(_) => partition.end.or(Some(high)),
            None => None,
        };
        Ok(())
    }
}

/// Where the logs of these partitions end for a reader, in their order.
pub(super) fn ends(
    consumer: &BaseConsumer<ClientLog>,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<Offset>>> {
    let start = &Start::Latest;
    let ask = Beginning { consumer, group: None, start, stop: None, timeout, goes_on: &gives_up };
    ask.at(&partitions.iter().map(Partition::whole).collect::<Vec<_>>(), KafkaOffset::End)
}

/// What the brokers answered for each partition, in the order of the partitions.
fn offsets(answer: &TopicPartitionList, partitions: &[Partition]) -> Vec<Option<Offset>> {
    let of = |it: &Partition| {
        let found = answer.find_partition(&it.of.topic, it.of.partition as i32)?;
        found.offset().to_raw().filter(|offset| *offset >= 0)
    };
    partitions.iter().map(of).collect()
}

fn group_failed(group: &str, topic: &str, what: &str, error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => failure::group_refused(group),
        Some(code) => failure::group_failed(group, topic, what, code),
        None => failure::group_failed(group, topic, what, error),
    }
}

/// The list that assigns partitions to a consumer.
pub(super) fn assignment(partitions: &[Partition]) -> Result<TopicPartitionList> {
    list(partitions, |it| it.next.map_or(KafkaOffset::Beginning, KafkaOffset::Offset))
}

fn list(partitions: &[Partition], offset: impl Fn(&Partition) -> KafkaOffset) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        let TopicPartition { topic, partition: number, .. } = &partition.of;
        let added = list.add_partition_offset(topic, *number as i32, offset(partition));
        added.map_err(|error| Error::bug(format!("{partition:?} cannot be named: {error}")))?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use slotflow_runtime::IoCores;

    use super::super::MockKafka;
    use super::*;

    #[test]
    fn no_partition_begins_nowhere_and_no_broker_is_asked() {
        let config = ClientConfig::new().set("group.id", "g").set("bootstrap.servers", "127.0.0.1:1").clone();
        let consumer: BaseConsumer<ClientLog> = config.create_with_context(ClientLog::default()).unwrap();
        let timeout = Duration::from_millis(50);
        let (consumer, start) = (&consumer, &Start::GroupOrEarliest);
        let goes_on = &gives_up;
        let beginning = Beginning { consumer, group: Some("g"), start, stop: None, timeout, goes_on };
        assert_eq!(beginning.find(&[]).unwrap(), []);
    }

    #[test]
    fn a_group_that_refuses_does_not_know_where_a_partition_begins() {
        use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
        let kafka = MockKafka::start(&IoCores::default()).unwrap();
        kafka.create_topic("words", 1).unwrap();
        let config =
            ClientConfig::new().set("group.id", "g").set("bootstrap.servers", kafka.bootstrap()).clone();
        let consumer: BaseConsumer<ClientLog> = config.create_with_context(ClientLog::default()).unwrap();
        let (consumer, start, goes_on) = (&consumer, &Start::GroupOrLatest, &gives_up);
        let timeout = Duration::from_secs(60);
        let beginning = Beginning { consumer, group: Some("g"), start, stop: None, timeout, goes_on };
        let words = TopicPartition { split: 0, topic: "words".into(), partition: 0 };
        let mut found = beginning.find(&[words]).unwrap();
        assert!(found[0].is_news);
        let mut kept = |errors: &'static [Native]| {
            kafka.with(move |cluster| cluster.request_errors(Api::OffsetCommit, errors)).unwrap();
            (beginning.keep(&mut found).unwrap(), found[0].is_news)
        };
        assert_eq!(kept(&[Native::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS]), (true, true));
        assert_eq!(kept(&[Native::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]), (false, true), "it is evicted");
        // Once more than librdkafka asks again by itself, which does so twice.
        let unknown = &[Native::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART; 3];
        assert_eq!(kept(unknown), (true, false), "a broker that has just begun is asked again");
    }
}
