//! Opening a Kafka source: its consumers, with partitions of their own or as members of a group.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use slotflow_runtime::{Error, Result, SubtaskContext};

use super::assigned::Assigned;
use super::batch::Batch;
use super::beginning::{Beginning, Partition, assignment, gives_up};
use super::committer::{KafkaCommitter, Membership};
use super::current::Current;
use super::discovery::Discovery;
use super::failure::Purpose;
use super::group::{Member, keep_membership};
use super::log::ClientLog;
use super::lookup::{LEADERS_TIMEOUT, Lookup};
use super::off_slot::OffSlot;
use super::orders::Orders;
use super::positions::Positions;
use super::preset::Setting;
use super::queue::{Queue, QueueWaker};
use super::reader::{Arrivals, Change, KafkaReader};
use super::source::{KafkaSource, NO_GROUP};
use super::subscription::TopicPartition;
use super::watch::{Maker, Watch, batch};

/// What a member calls itself, so that a restart moves no partitions.
const INSTANCE: &str = "group.instance.id";

/// Who spreads the partitions: one of the members, as `classic` has it, or the brokers.
const PROTOCOL: &str = "group.protocol";

impl KafkaSource {
    /// What its promises stand on.
    pub(super) fn fixed(&self) -> [(&str, &str); 6] {
        [
            ("group.id", self.group_name().unwrap_or(NO_GROUP)),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // An offset that is not there is for the user to decide about.
            ("auto.offset.reset", "error"),
            // Also what tells a quiet partition from one that cannot be reached. It comes after an empty answer, so not
            // between records that flow.
            ("enable.partition.eof", if self.membership == Membership::Stranger { "true" } else { "false" }),
            ("allow.auto.create.topics", "false"),
        ]
    }

    /// What it begins with, unless it is set otherwise.
    pub(super) fn presets(&self) -> Vec<Setting> {
        let mut presets = self.settings.preset.of_source();
        if self.membership == Membership::Member && !self.settings.is_set(PROTOCOL) {
            presets.push(("partition.assignment.strategy", "cooperative-sticky"));
        }
        presets.extend(self.subscription.left_out().map(|names| ("topic.blacklist", names)));
        presets
    }

    /// The configuration of a consumer of `own` partitions.
    fn config(&self, own: usize) -> Result<ClientConfig> {
        let mut config = self.settings.config(&self.presets(), &self.fixed())?;
        let share = self.prefetch.share(own, self.found.len()).settings();
        for (key, value) in share.into_iter().filter(|(key, _)| !self.settings.is_set(key)) {
            config.set(key, value.to_string());
        }
        Ok(config)
    }

    fn client(&self, config: &ClientConfig) -> Result<BaseConsumer<ClientLog>> {
        let made = config.create_with_context(ClientLog::default());
        let client = made.map_err(|error| self.settings.refused(&error))?;
        self.settings.authorise(&client)?;
        Ok(client)
    }

    /// Asks for the topics with a client of its own, which is gone before any slot is touched: quickly, as it has no
    /// group, which it would look for and leave in 0.1 s.
    pub(super) fn topics_found(&self) -> Result<Vec<(Arc<str>, u32)>> {
        let mut config = self.config(0)?;
        config.remove("group.id");
        config.remove(INSTANCE);
        let client = self.client(&config)?;
        let log = client.context().clone();
        let lookup = Lookup { settings: &self.settings, purpose: Purpose::Read, log: &log };
        let serve = || drop(client.poll(Duration::ZERO));
        self.subscription.find(&self.settings, &lookup, client.client(), serve)
    }

    fn committer(&self, client: Current, assigned: Assigned) -> KafkaCommitter {
        let timeout = self.settings.connect_timeout;
        KafkaCommitter::new(client, &self.group, self.membership, assigned, timeout)
    }

    /// Makes one subtask a member of the group, which gives it partitions later.
    pub(super) fn open_member(&self, subtask: &SubtaskContext) -> Result<KafkaReader> {
        let name = format!("{}, subtask {}", self.settings.describe(), subtask.index);
        // A fair share, whatever the group makes of it.
        let mut config = self.config(self.found.len().div_ceil(subtask.parallelism))?;
        name_member(&mut config, subtask.index);
        let (client, ()) = OffSlot::make(&subtask.io, &name, || Ok((self.client(&config)?, ())))?;
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
            at_start: self.found.clone(),
            is_classic: !config.get(PROTOCOL).is_some_and(|name| name.eq_ignore_ascii_case("consumer")),
        })?;
        let names = self.subscription.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        client.subscribe(&names).map_err(|error| self.settings.refused(&error))?;
        keep_membership(client.clone(), Arc::downgrade(&queue), &subtask.io)?;
        let committer = self.committer(Current::new(client.clone()), assigned);
        let leaves = config.get(INSTANCE).is_none();
        let committer = if leaves { committer.leaving_with(self.departures.clone()) } else { committer };
        let waker = QueueWaker::new(queue.clone(), subtask.waker.clone());
        let arrivals = Some(Arrivals { changes, _wanted: Vec::new(), _waker: Some(waker) });
        let positions = Positions::of_member();
        Ok(KafkaReader::new(Batch::new(client, queue), positions, Some(committer), arrivals, None))
    }

    /// Notes a subtask that may be given new partitions, which it wants as long as it has what is given back; the last
    /// one starts the search.
    fn join_discovery(
        &mut self,
        subtask: &SubtaskContext,
        client: &Current,
        assigned: &Assigned,
        changes: &Sender<Change>,
    ) -> Result<Option<Sender<Infallible>>> {
        let Some(period) = self.discover_every else { return Ok(None) };
        let members = self.members.get_mut().unwrap_or_else(PoisonError::into_inner);
        let wanted = members.add(client.clone(), assigned.clone(), changes.clone(), subtask.waker.clone());
        if members.count() == subtask.parallelism {
            let (members, known) = (std::mem::take(members), self.found.clone());
            let (subscription, timeout) = (self.subscription.clone(), self.settings.connect_timeout);
            Discovery { subscription, period, timeout, known }.start(members, &subtask.io)?;
        }
        Ok(Some(wanted))
    }

    /// Has the consumer of a subtask watched over, as long as it has what is given back.
    fn watched(
        &self,
        maker: Maker,
        current: &Current,
        changes: Sender<Change>,
    ) -> Result<Option<Sender<Infallible>>> {
        let Some(after) = self.watch_period(&maker.config) else { return Ok(None) };
        let (current, counts) = (current.clone(), self.counts.clone());
        Watch { maker, current, changes, counts, after }.start().map(Some)
    }

    /// A broker that holds back an answer for this long has not fallen silent.
    fn watch_period(&self, config: &ClientConfig) -> Option<Duration> {
        let held_back_ms = config.get("fetch.wait.max.ms").and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let after = Some(self.renew_after).filter(|after| !after.is_zero())?;
        Some(after.max(Duration::from_millis(held_back_ms) * 2))
    }

    /// Finds where the partitions of one subtask begin, and assigns them.
    fn begin(&self, consumer: &BaseConsumer<ClientLog>, own: &[TopicPartition]) -> Result<Vec<Partition>> {
        self.learn_leaders(consumer, own)?;
        let beginning = Beginning {
            consumer,
            group: self.group_name(),
            start: &self.start,
            stop: self.stop.as_ref(),
            timeout: self.settings.connect_timeout,
            goes_on: &gives_up,
        };
        let mut partitions = beginning.find(own)?;
        if self.commits {
            beginning.keep(&mut partitions)?;
        }
        let assigned = consumer.assign(&assignment(&partitions)?);
        assigned.map_err(|error| self.settings.refused(&error))?;
        Ok(partitions)
    }

    /// Has the consumer hear who leads the partitions. If it does not know when they are assigned, librdkafka looks for
    /// leaders once a second, and the first record is that late. Of many topics the rest is left to that.
    fn learn_leaders(&self, consumer: &BaseConsumer<ClientLog>, own: &[TopicPartition]) -> Result<()> {
        let lookup = Lookup { settings: &self.settings, purpose: Purpose::Read, log: consumer.context() };
        let topics: BTreeSet<&str> = own.iter().map(|of| &*of.topic).collect();
        let began = Instant::now();
        for topic in topics.into_iter().take_while(|_| began.elapsed() < LEADERS_TIMEOUT) {
            lookup.partitions(topic, consumer.client(), || drop(consumer.poll(Duration::ZERO)))?;
        }
        Ok(())
    }

    fn maker(&self, subtask: &SubtaskContext, own: usize) -> Result<Maker> {
        let name = format!("{}, subtask {}", self.settings.describe(), subtask.index);
        let (settings, config) = (self.settings.clone(), self.config(own)?);
        Ok(Maker { settings, config, name, io: subtask.io.clone(), waker: subtask.waker.clone() })
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
        let maker = self.maker(subtask, own.len())?;
        let (client, partitions) = maker.client(|consumer| self.begin(consumer, &own))?;
        tracing::debug!("{} reads {partitions:?}", maker.name);
        let (current, assigned, (sender, changes)) =
            (Current::new(client.clone()), Assigned::new(own), mpsc::channel());
        let search = self.join_discovery(subtask, &current, &assigned, &sender)?;
        let watch = self.watched(maker, &current, sender.clone())?;
        let committer = self.commits.then(|| self.committer(current.clone(), assigned));
        let counts = self.counts.clone();
        let orders = Orders::new(subtask.io.clone(), subtask.waker.clone(), counts, current, sender);
        let positions = Positions::new(&partitions, self.stop.is_some());
        let wanted = search.into_iter().chain(watch).collect();
        let arrivals = Some(Arrivals { changes, _wanted: wanted, _waker: None });
        Ok(KafkaReader::new(batch(client)?, positions, committer, arrivals, Some(orders)))
    }
}

/// Each subtask is a member by itself: were all called alike, they would fence one another.
fn name_member(config: &mut ClientConfig, subtask: usize) {
    if let Some(id) = config.get(INSTANCE) {
        let own = format!("{id}-{subtask}");
        config.set(INSTANCE, own);
    }
}

#[cfg(test)]
mod tests {
    use slotflow_runtime::testing::subtask;

    use super::*;

    /// What is known to nobody but its name is known again when it is back; who leaves is forgotten.
    #[test]
    fn a_member_with_a_name_of_its_own_does_not_leave_at_the_end_of_its_job() {
        let leaves = |source: KafkaSource| {
            let source = source.topic("words").group("g").spread_by_group();
            let reader = source.open_member(&subtask()).unwrap();
            let leaving = Arc::strong_count(&source.departures) - 1;
            drop(reader);
            leaving == 1
        };
        let nameless = || KafkaSource::new("127.0.0.1:1");
        assert!(leaves(nameless()));
        assert!(!leaves(nameless().setting(INSTANCE, "here")));
    }

    #[test]
    fn members_of_one_source_have_names_of_their_own_where_they_have_any() {
        let name = |mut config: ClientConfig, subtask| {
            name_member(&mut config, subtask);
            config.get(INSTANCE).map(str::to_owned)
        };
        let named = ClientConfig::new().set(INSTANCE, "here").clone();
        assert_eq!(
            [0, 1].map(|it| name(named.clone(), it)),
            ["here-0", "here-1"].map(|it| Some(it.to_owned()))
        );
        assert_eq!(name(ClientConfig::new(), 0), None);
    }
}
