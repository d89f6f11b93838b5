//! The committer of a Kafka source: the group's offsets, one commit at a time.
//!
//! # How a commit goes
//!
//! 1. The job's own thread hands over offsets. They replace those that could not be stored yet.
//! 2. If no commit is under way they are sent. A second one is never sent before the first is
//!    answered, so an old commit cannot land on a new one.
//! 3. The answer is waited for, but not long: a coordinator that moves or is away must not keep the
//!    job's thread, which looks after draining too. A commit that is not answered stays under way.
//! 4. An answer that says "not now" keeps its offsets, unless newer ones have come. Any other refusal
//!    fails the job.
//! 5. Offsets that are stored already are not sent again while nothing comes in, but for one time in
//!    [`REFRESH`]: brokers forget the offsets of a group that has not committed for too long.
//! 6. At the end of the job there is more time, and then the last offsets are stored or it is an error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use slotflow_runtime::{Committer, Error, Offsets, Result};

use super::commit::{Commit, Refusal};
use super::failure;
use super::lookup::is_passing;
use super::source::Client;
use super::subscription::{Assigned, TopicPartition};

/// How long the job's thread waits for one answer (a guess: a hundred times what it takes).
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The pause after "not now".
const PAUSE: Duration = Duration::from_millis(100);

/// Offsets that stay the same are stored anew after this: half of the shortest time for which brokers can
/// be told to keep them (`offsets.retention.minutes`, by default a week).
const REFRESH: Duration = Duration::from_secs(30);

/// Stores offsets under a group.
pub(super) struct KafkaCommitter {
    pub client: Arc<Client>,
    pub group: String,
    /// The partitions; more may come.
    pub partitions: Assigned,
    /// How long the end of the job may wait.
    pub finish_timeout: Duration,
    under_way: Option<(Commit, Offsets)>,
    /// The newest offsets that are not under way.
    unsaved: Option<Offsets>,
    /// The last offsets that the brokers have, and since when.
    stored: Option<(Offsets, Instant)>,
}

impl KafkaCommitter {
    pub fn new(client: Arc<Client>, group: &str, partitions: Assigned, finish_timeout: Duration) -> Self {
        let (group, under_way, unsaved, stored) = (group.into(), None, None, None);
        KafkaCommitter { client, group, partitions, finish_timeout, under_way, unsaved, stored }
    }

    /// The first topic, for failures that are of none in particular.
    fn topic(&self) -> Arc<str> {
        self.partitions.first().map_or_else(|| "".into(), |first| first.topic)
    }

    /// Goes on until everything is stored, the time is over or the coordinator says "not now".
    fn go_on(&mut self, until: Instant) -> Result<Option<RDKafkaErrorCode>> {
        loop {
            if let Some(offsets) = self.unsaved.take_if(|_| self.under_way.is_none()) {
                let sent = Commit::send(&self.client, &self.list(&offsets)?);
                let commit = sent.map_err(|code| self.failed((None, code)))?;
                self.under_way = Some((commit, offsets));
            }
            let Some((commit, offsets)) = self.under_way.take() else { return Ok(None) };
            match commit.answer(until.saturating_duration_since(Instant::now())) {
                None => {
                    self.under_way = Some((commit, offsets));
                    return Ok(Some(RDKafkaErrorCode::OperationTimedOut));
                }
                Some(Ok(())) => self.stored = Some((offsets, Instant::now())),
                Some(Err((_, code))) if is_passing(code) => {
                    self.unsaved.get_or_insert(offsets);
                    return Ok(Some(code));
                }
                Some(Err(refusal)) => return Err(self.failed(refusal)),
            }
        }
    }

    /// Whether these offsets are on their way to the brokers, or there since not too long ago.
    fn knows(&self, offsets: &Offsets) -> bool {
        match (&self.unsaved, &self.under_way, &self.stored) {
            (Some(newest), _, _) | (None, Some((_, newest)), _) => newest == offsets,
            (None, None, Some((newest, since))) => newest == offsets && since.elapsed() < REFRESH,
            (None, None, None) => false,
        }
    }

    fn list(&self, offsets: &Offsets) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (split, offset) in offsets {
            let unknown = || Error::bug(format!("split {split} is none of this reader's"));
            let TopicPartition { topic, partition, .. } = self.partitions.of(*split).ok_or_else(unknown)?;
            let added = list.add_partition_offset(&topic, partition as i32, Offset::Offset(*offset));
            added.map_err(|error| Error::bug(format!("offset {offset} is not one: {error}")))?;
        }
        Ok(list)
    }

    fn failed(&self, (partition, code): Refusal) -> Error {
        use RDKafkaErrorCode as Code;
        match code {
            Code::GroupAuthorizationFailed => failure::group_refused(&self.group),
            Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress => {
                failure::group_in_use(&self.group, &self.topic(), partition)
            }
            _ => failure::group_failed(&self.group, &self.topic(), "committed", code),
        }
    }
}

impl Committer for KafkaCommitter {
    fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        if !self.knows(offsets) {
            self.unsaved = Some(offsets.clone());
        }
        if let Some(code) = self.go_on(Instant::now() + ANSWER_TIMEOUT)? {
            let (group, topic) = (&self.group, &*self.topic());
            tracing::warn!(group, topic, "offsets are not committed yet, which is tried again: {code}");
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let until = Instant::now() + self.finish_timeout;
        while let Some(code) = self.go_on(until)? {
            if Instant::now() >= until {
                return Err(failure::group_failed(&self.group, &self.topic(), "committed", code));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}
