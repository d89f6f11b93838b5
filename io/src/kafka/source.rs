//! Reads a Kafka topic.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use slotflow_runtime::{Problem, Result, Source, SplitId, Splits, SubtaskContext};

use super::committer::KafkaCommitter;
use super::failure::Purpose;
use super::log::ClientLog;
use super::lookup::Lookup;
use super::off_slot::OffSlot;
use super::reader::KafkaReader;
use super::settings::Settings;
use super::start::{Beginning, Partition, Start, assignment};

/// The consumer of one source subtask.
pub(super) type Client = OffSlot<BaseConsumer<ClientLog>>;

/// What the source decides by itself: its correctness stands on it.
const OWN: [&str; 11] = [
    // librdkafka's other names for some of these.
    "metadata.broker.list",
    "auto.commit.enable",
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "allow.auto.create.topics",
    "group.instance.id",
    "group.protocol",
];

/// A librdkafka consumer must have a group, even where nothing is asked of it.
const NO_GROUP: &str = "slotflow-without-group";

/// Reads the records of a topic, as [`Messages`](super::Messages): borrowed, without a copy.
///
/// Partition `i` is read by subtask `i % parallelism`, so equal partitions of two topics meet on one
/// subtask; subtasks beyond the partitions are idle. Offsets are committed under the group once
/// everything before them was acknowledged by the sinks: at least once.
///
/// ```no_run
/// use slotflow_io::kafka::{KafkaSource, Start};
///
/// let words = KafkaSource::new("127.0.0.1:9092")
///     .topic("words")
///     .group("upper")
///     .starting(Start::GroupOrLatest)
///     .setting("queued.max.messages.kbytes", 65_536);
/// ```
///
/// Before the job starts, brokers, topic, rights and offsets are checked; what fails is an error of
/// `run` that names the remedy. In a running job brokers may go away for as long as they like.
pub struct KafkaSource {
    settings: Settings,
    group: String,
    start: Start,
    bounded: bool,
    commits: bool,
}

impl KafkaSource {
    /// A source on these brokers: `HOST:PORT`, several with commas between them.
    pub fn new(brokers: impl Into<String>) -> KafkaSource {
        KafkaSource {
            settings: Settings::new(brokers),
            group: String::new(),
            start: Start::default(),
            bounded: false,
            commits: true,
        }
    }

    /// The topic; there is no default.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.settings.topic = topic.into();
        self
    }

    /// The group under which offsets are committed. Needed unless [`no_commit`](Self::no_commit); two
    /// jobs that run at once must have different ones.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Where to begin; by default where the group has committed, else at the oldest record.
    #[must_use]
    pub fn starting(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Ends at what is the end of the topic when the job starts; by default it never ends.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.bounded = true;
        self
    }

    /// Commits nothing: each start begins where [`starting`](Self::starting) says.
    #[must_use]
    pub fn no_commit(mut self) -> Self {
        self.commits = false;
        self
    }

    /// How long brokers may take to answer before the start, and at the end to store the last offsets
    /// (default 10 s).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// A setting of librdkafka by its own name, such as `sasl.username`; the last value counts. Those
    /// that the source's promises stand on are refused.
    #[must_use]
    pub fn setting(mut self, key: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.settings.set(key, value);
        self
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.settings.problems(&OWN);
        if self.commits && self.group.is_empty() {
            let remedy = "name one with .group(..), or read without committing: .no_commit()";
            problems.push(Problem::new(self.describe(), "has no group to commit offsets under", remedy));
        }
        problems
    }

    fn config(&self, more: &[(&str, &str)]) -> Result<ClientConfig> {
        let own = [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // An offset that is not there is for the user to decide about.
            ("auto.offset.reset", "error"),
            // Also what tells a quiet partition from one that cannot be reached. It comes after an empty answer, so not
            // between records that flow.
            ("enable.partition.eof", "true"),
            ("allow.auto.create.topics", "false"),
        ];
        self.settings.config(&self.settings.preset.of_source(), &[&own, more].concat())
    }

    /// Asks for the topic with a client of its own, which is gone before any slot is touched.
    fn partitions(&self) -> Result<u32> {
        let config = self.config(&[])?;
        let client: BaseConsumer<ClientLog> = config
            .create_with_context(ClientLog::default())
            .map_err(|error| self.settings.refused(&error))?;
        let log = client.context().clone();
        let lookup = Lookup { settings: &self.settings, purpose: Purpose::Read, log: &log };
        lookup.partitions(client.client(), || drop(client.poll(Duration::ZERO)))
    }

    /// Makes the consumer of one subtask, with its partitions assigned.
    fn consumer(
        &self,
        subtask: &SubtaskContext,
        splits: &[SplitId],
    ) -> Result<(BaseConsumer<ClientLog>, Vec<Partition>)> {
        let group = Some(self.group.as_str()).filter(|group| !group.is_empty());
        let config = self.config(&[("group.id", group.unwrap_or(NO_GROUP))])?;
        let mut consumer: BaseConsumer<ClientLog> = config
            .create_with_context(ClientLog::default())
            .map_err(|error| self.settings.refused(&error))?;
        let waker = subtask.waker.clone();
        consumer.set_nonempty_callback(move || waker.wake());
        let Settings { topic, connect_timeout, .. } = &self.settings;
        let (start, bounded, timeout) = (self.start, self.bounded, *connect_timeout);
        let partitions = Beginning { topic, group, start, bounded, timeout }.find(&consumer, splits)?;
        let assigned = consumer.assign(&assignment(topic, &partitions)?);
        assigned.map_err(|error| self.settings.refused(&error))?;
        Ok((consumer, partitions))
    }
}

impl Source for KafkaSource {
    type Reader = KafkaReader;

    fn describe(&self) -> String {
        self.settings.describe()
    }

    fn commits(&self) -> bool {
        self.commits
    }

    fn splits(&mut self) -> Result<Splits> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(slotflow_runtime::Error::plan(problems));
        }
        Ok(Splits::Count(self.partitions()?))
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<KafkaReader> {
        let Settings { topic, connect_timeout, .. } = &self.settings;
        if splits.is_empty() {
            return Ok(KafkaReader::without_partitions(topic, self.bounded));
        }
        let name = format!("{}, subtask {}", self.describe(), subtask.index);
        let (client, partitions) = OffSlot::make(&subtask.io, &name, || self.consumer(subtask, splits))?;
        tracing::debug!("{name} reads {partitions:?}");
        let client = Arc::new(client);
        let committer =
            self.commits.then(|| KafkaCommitter::new(client.clone(), &self.group, topic, *connect_timeout));
        KafkaReader::new(client, topic, &partitions, self.bounded, committer)
    }
}
