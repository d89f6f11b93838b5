//! Opening a Kafka source: its consumers, with partitions of their own or as members of a group.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use slotflow_runtime::{Error, Result, SubtaskContext};

use super::assigned::Assigned;
use super::batch::Batch;
use super::beginning::{Beginning, Partition, assignment};
use super::committer::{KafkaCommitter, Membership};
use super::discovery::Discovery;
use super::failure::Purpose;
use super::group::{Member, keep_membership};
use super::log::ClientLog;
use super::lookup::Lookup;
use super::off_slot::OffSlot;
use super::pausing::Pausing;
use super::positions::Positions;
use super::queue::{Queue, QueueWaker};
use super::reader::{Arrivals, KafkaReader};
use super::source::{Client, KafkaSource, NO_GROUP};
use super::subscription::TopicPartition;

impl KafkaSource {
    /// The configuration of a consumer of `own` partitions.
    fn config(&self, own: usize) -> Result<ClientConfig> {
        let fixed = [
            ("group.id", self.group_name().unwrap_or(NO_GROUP)),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // An offset that is not there is for the user to decide about.
            ("auto.offset.reset", "error"),
            // Also what tells a quiet partition from one that cannot be reached. It comes after an empty answer, so not
            // between records that flow.
            ("enable.partition.eof", if self.membership == Membership::Stranger { "true" } else { "false" }),
            ("allow.auto.create.topics", "false"),
        ];
        let mut presets = self.settings.preset.of_source();
        if self.membership == Membership::Member && !self.settings.is_set("group.protocol") {
            presets.push(("partition.assignment.strategy", "cooperative-sticky"));
        }
        presets.extend(self.subscription.left_out().map(|names| ("topic.blacklist", names)));
        let mut config = self.settings.config(&presets, &fixed)?;
        let share = self.prefetch.share(own, self.found.len()).settings();
        for (key, value) in share.into_iter().filter(|(key, _)| !self.settings.is_set(key)) {
            config.set(key, value.to_string());
        }
        Ok(config)
    }

    fn client(&self, own: usize) -> Result<BaseConsumer<ClientLog>> {
        let made = self.config(own)?.create_with_context(ClientLog::default());
        let client = made.map_err(|error| self.settings.refused(&error))?;
        self.settings.authorise(&client)?;
        Ok(client)
    }

    /// Asks for the topics with a client of its own, which is gone before any slot is touched.
    pub(super) fn topics_found(&self) -> Result<Vec<(Arc<str>, u32)>> {
        let client = self.client(0)?;
        let log = client.context().clone();
        let lookup = Lookup { settings: &self.settings, purpose: Purpose::Read, log: &log };
        let serve = || drop(client.poll(Duration::ZERO));
        self.subscription.find(&self.settings, &lookup, client.client(), serve)
    }

    fn committer(&self, client: &Arc<Client>, assigned: Assigned) -> KafkaCommitter {
        let timeout = self.settings.connect_timeout;
        KafkaCommitter::new(client.clone(), &self.group, self.membership, assigned, timeout)
    }

    /// Makes one subtask a member of the group, which gives it partitions later.
    pub(super) fn open_member(&self, subtask: &SubtaskContext) -> Result<KafkaReader> {
        let name = format!("{}, subtask {}", self.settings.describe(), subtask.index);
        // A fair share, whatever the group makes of it.
        let share = self.found.len().div_ceil(subtask.parallelism);
        let (client, ()) = OffSlot::make(&subtask.io, &name, || Ok((self.client(share)?, ())))?;
        let client = Arc::new(client);
        self.settings.keep_authorised(&client, client.context(), &subtask.io)?;
        let queue = Queue::apart(&client).ok_or_else(|| Error::bug("a Kafka consumer makes no queue"))?;
        let (queue, assigned, (sender, changes)) = (Arc::new(queue), Assigned::default(), mpsc::channel());
        client.context().join(Member {
            group: self.group.clone(),
            start: self.start.clone(),
            timeout: self.settings.connect_timeout,
            assigned: assigned.clone(),
            changes: sender,
            waker: subtask.waker.clone(),
            queue: Arc::downgrade(&queue),
            known: Mutex::default(),
        })?;
        let names = self.subscription.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        client.subscribe(&names).map_err(|error| self.settings.refused(&error))?;
        keep_membership(client.clone(), Arc::downgrade(&queue), &subtask.io)?;
        let committer = Some(self.committer(&client, assigned));
        let waker = QueueWaker::new(queue.clone(), subtask.waker.clone());
        let arrivals = Some(Arrivals { changes, _wanted: None, _waker: Some(waker) });
        Ok(KafkaReader::new(Batch::new(client, queue), Positions::of_member(), committer, arrivals, None))
    }

    /// Notes a subtask that may be given new partitions; the last one starts the search.
    fn join_discovery(
        &mut self,
        subtask: &SubtaskContext,
        client: &Arc<Client>,
        assigned: &Assigned,
    ) -> Result<Option<Arrivals>> {
        let Some(period) = self.discover_every else { return Ok(None) };
        let members = self.members.get_mut().unwrap_or_else(PoisonError::into_inner);
        let arrivals = members.add(client.clone(), assigned.clone(), subtask.waker.clone());
        if members.count() == subtask.parallelism {
            let (members, known) = (std::mem::take(members), self.found.clone());
            let (subscription, timeout) = (self.subscription.clone(), self.settings.connect_timeout);
            Discovery { subscription, period, timeout, known }.start(members, &subtask.io)?;
        }
        Ok(Some(arrivals))
    }

    /// Makes the consumer of one subtask, with its partitions assigned.
    fn consumer(
        &self,
        subtask: &SubtaskContext,
        own: &[TopicPartition],
    ) -> Result<(BaseConsumer<ClientLog>, Vec<Partition>)> {
        let mut consumer = self.client(own.len())?;
        let waker = subtask.waker.clone();
        consumer.set_nonempty_callback(move || waker.wake());
        let beginning = Beginning {
            consumer: &consumer,
            group: self.group_name(),
            start: &self.start,
            stop: self.stop.as_ref(),
            timeout: self.settings.connect_timeout,
        };
        let partitions = beginning.find(own)?;
        let assigned = consumer.assign(&assignment(&partitions)?);
        assigned.map_err(|error| self.settings.refused(&error))?;
        Ok((consumer, partitions))
    }

    /// Opens one subtask that reads its own partitions, and those found later.
    pub(super) fn open_static(
        &mut self,
        subtask: &SubtaskContext,
        own: Vec<TopicPartition>,
    ) -> Result<KafkaReader> {
        if own.is_empty() && self.discover_every.is_none() {
            return Ok(KafkaReader::without_partitions(self.stop.is_some()));
        }
        let name = format!("{}, subtask {}", self.settings.describe(), subtask.index);
        let (client, partitions) = OffSlot::make(&subtask.io, &name, || self.consumer(subtask, &own))?;
        tracing::debug!("{name} reads {partitions:?}");
        let (client, assigned) = (Arc::new(client), Assigned::new(own));
        self.settings.keep_authorised(&client, client.context(), &subtask.io)?;
        let arrivals = self.join_discovery(subtask, &client, &assigned)?;
        let committer = self.commits.then(|| self.committer(&client, assigned));
        let queue = Queue::of_consumer(&client).ok_or_else(|| Error::bug("a Kafka consumer has no queue"))?;
        let pausing = Pausing::new(client.clone(), subtask.io.clone());
        let batch = Batch::new(client, Arc::new(queue));
        let positions = Positions::new(&partitions, self.stop.is_some());
        Ok(KafkaReader::new(batch, positions, committer, arrivals, Some(pausing)))
    }
}
