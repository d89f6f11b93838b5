//! Reads Kafka topics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use slotflow_runtime::{Error, Problem, Result, Source, SplitId, Splits, SubtaskContext};

use super::alike::told_alike;
use super::committer::Membership;
use super::counts::SourceCounts;
use super::departures::Departures;
use super::discovery::Members;
use super::log::ClientLog;
use super::off_slot::OffSlot;
use super::prefetch::Prefetch;
use super::reader::KafkaReader;
use super::settings::Settings;
use super::start::{PartitionOffset, Start, Stop};
use super::subscription::{Subscription, TopicPartition, numbered};

/// The consumer of one source subtask.
pub(super) type Client = OffSlot<BaseConsumer<ClientLog>>;

/// How long a consumer may stand still (a guess: three times what an election of leaders takes; those it happened to
/// stood for days).
const RENEW_AFTER: Duration = Duration::from_secs(30);

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

/// How many of them, the last ones, a member of a group may set.
const OF_MEMBERS: usize = 2;

/// A librdkafka consumer must have a group, even where nothing is asked of it.
pub(super) const NO_GROUP: &str = "slotflow-without-group";

/// Reads the records of one topic or several, as [`Messages`](super::Messages): borrowed, without a copy.
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
///     .prefetch_bytes(256 << 20);
/// ```
///
/// Before the job starts, brokers, topics, rights and offsets are checked; what fails is an error of
/// `run` that names the remedy. In a running job brokers may go away for as long as they like.
pub struct KafkaSource {
    pub(super) settings: Settings,
    pub(super) subscription: Subscription,
    pub(super) group: String,
    pub(super) start: Start,
    pub(super) stop: Option<Stop>,
    pub(super) commits: bool,
    /// What the source is to its group.
    pub(super) membership: Membership,
    pub(super) prefetch: Prefetch,
    pub(super) discover_every: Option<Duration>,
    pub(super) renew_after: Duration,
    pub(super) counts: SourceCounts,
    /// Those of its subtasks that are members of a group.
    pub(super) departures: Arc<Departures>,
    /// The subtasks that were opened, where new partitions are looked for.
    pub(super) members: Mutex<Members>,
    /// What there is to read, once the brokers have been asked.
    pub(super) found: Vec<TopicPartition>,
}

told_alike!(KafkaSource);

impl KafkaSource {
    /// A source on these brokers: `HOST:PORT`, several with commas between them.
    pub fn new(brokers: impl Into<String>) -> KafkaSource {
        KafkaSource {
            settings: Settings::new(brokers),
            subscription: Subscription::Topics(Vec::new()),
            group: String::new(),
            start: Start::default(),
            stop: None,
            commits: true,
            membership: Membership::Stranger,
            prefetch: Prefetch::default(),
            discover_every: None,
            renew_after: RENEW_AFTER,
            counts: SourceCounts::default(),
            departures: Arc::default(),
            members: Mutex::default(),
            found: Vec::new(),
        }
    }

    /// The topic; there is no default.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        self.topics([topic])
    }

    /// The topics. A message says which it is from.
    #[must_use]
    pub fn topics(self, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subscribe(Subscription::Topics(topics.into_iter().map(Into::into).collect()))
    }

    /// All topics whose name fits, where `*` stands for any text: `orders-*`. Kafka's own, which begin with two
    /// underscores, only fit a pattern that begins so, too. Those that there are when the job starts; at least one.
    #[must_use]
    pub fn topics_like(self, pattern: impl Into<String>) -> Self {
        self.subscribe(Subscription::Pattern(pattern.into()))
    }

    fn subscribe(mut self, subscription: Subscription) -> Self {
        self.settings.topic = subscription.describe();
        self.subscription = subscription;
        self
    }

    /// The group under which offsets are committed. Needed unless [`no_commit`](Self::no_commit); two
    /// jobs that run at once must have different ones.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Lets the group spread the partitions over all who read in it, in this process and others: start the job twice,
    /// and the load splits. By default this source reads all partitions by itself, and has the lowest latency.
    ///
    /// Each subtask is a member. A partition that the group takes back is drained first: a barrier follows at once what
    /// was read of it, and its offset is stored when that has arrived, or after 25 s it is let go all the same, and its
    /// next reader reads some again. So sinks that keep records for longer than that, as a file sink with a long
    /// `.roll_after(..)` does, make each such move take 25 s. A member that the group has evicted
    /// (`session.timeout.ms` without a heartbeat) lets go at once. Partitions move one by one (the setting
    /// `partition.assignment.strategy` is `cooperative-sticky`; with `group.protocol` set to `consumer` the brokers
    /// decide, from Kafka 4 on). The group finds new partitions by itself; a process that was there before they came
    /// reads them from their oldest record.
    ///
    /// A job that ends leaves the group before it is over, so that others read on at once, unless it is aborted or its
    /// members have names of their own (`group.instance.id`). What a group refuses for good fails the job.
    ///
    /// Event time takes a partition for idle that is silent, also while its brokers are away: a member is not told when
    /// it has read everything.
    ///
    /// State does not move: what a keyed operator has kept of a partition that leaves stays here, and begins anew
    /// there. So key by something only behind a repartition topic, or where beginning anew is right.
    #[must_use]
    pub fn spread_by_group(mut self) -> Self {
        self.membership = Membership::Member;
        self
    }

    /// Where to begin; by default where the group has committed, else at the oldest record.
    #[must_use]
    pub fn starting(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Ends at what is the end of the topics when the job starts; by default it never ends.
    #[must_use]
    pub fn bounded(self) -> Self {
        self.until(Stop::Latest)
    }

    /// Ends there; by default it never ends.
    ///
    /// ```no_run
    /// use slotflow_io::kafka::{KafkaSource, Start, Stop};
    ///
    /// // One day of each partition, whatever was read before.
    /// let source = KafkaSource::new("127.0.0.1:9092").topic("words").no_commit();
    /// let day = source.starting(Start::Timestamp(1_767_225_600_000)).until(Stop::Timestamp(1_767_312_000_000));
    /// ```
    #[must_use]
    pub fn until(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Commits nothing: each start begins where [`starting`](Self::starting) says.
    #[must_use]
    pub fn no_commit(mut self) -> Self {
        self.commits = false;
        self
    }

    /// Looks for new partitions, and with [`topics_like`](Self::topics_like) for new topics, this often while the job
    /// runs; by default never. They are spread as at the start and read from their oldest record. Event time waits for
    /// a new partition until it has given something or is idle; what is older there than what event time has reached
    /// already is late.
    #[must_use]
    pub fn discover_every(mut self, period: Duration) -> Self {
        self.discover_every = Some(period);
        self
    }

    /// After how long a consumer that stands still is closed and another one goes on where the job has come (default
    /// 30 s; zero for never): that is, a partition gives nothing although the job waits for it and the brokers have
    /// more of it. Nothing is lost or read twice by it; see [`counts`](Self::counts). Brokers that are away are no
    /// reason. A member of a group ([`spread_by_group`](Self::spread_by_group)) is not watched over.
    #[must_use]
    pub fn renew_after(mut self, silence: Duration) -> Self {
        self.renew_after = silence;
        self
    }

    /// What the source has got over; to be read while the job runs.
    pub fn counts(&self) -> SourceCounts {
        self.counts.clone()
    }

    /// How much may be fetched ahead of the job, in bytes over all partitions of the source (default 64 MiB, at least
    /// 64 KiB for each partition). Each partition has an equal share. It is what librdkafka takes, all in all:
    /// payloads, some 400 bytes besides for each message, and the fetch that is under way when the rest is full.
    /// Records of far less than 100 bytes, or that a batch holds compressed, may take more: what they come to is seen
    /// when they are here.
    #[must_use]
    pub fn prefetch_bytes(mut self, bytes: usize) -> Self {
        self.prefetch = Prefetch { bytes };
        self
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.settings.problems(match self.membership {
            Membership::Stranger => &OWN,
            Membership::Member => &OWN[..OWN.len() - OF_MEMBERS],
        });
        problems.extend(self.subscription.problems(&self.describe()));
        if self.commits && self.group.is_empty() {
            let remedy = "name one with .group(..), or read without committing: .no_commit()";
            problems.push(Problem::new(self.describe(), "has no group to commit offsets under", remedy));
        } else if self.group.is_empty() && self.start == Start::Group {
            let remedy = "name one with .group(..), or begin elsewhere";
            problems.push(Problem::new(self.describe(), "begins where a group is, and has none", remedy));
        }
        problems.extend(self.discovery_problem());
        problems.extend(self.membership_problem());
        problems
    }

    fn membership_problem(&self) -> Option<Problem> {
        let (what, remedy) = match self.membership {
            Membership::Stranger => return None,
            _ if !self.commits => ("and commits nothing", "leave out .no_commit() or .spread_by_group()"),
            _ if self.stop.is_some() => ("and has an end", "leave out its end or .spread_by_group()"),
            _ if self.discover_every.is_some() => {
                ("and looks for partitions", "leave out .discover_every(..): the group does so")
            }
            _ if !self.start.asks_group() => (
                "and does not begin where the group is",
                "begin with Start::Group, GroupOrEarliest or GroupOrLatest",
            ),
            _ => return None,
        };
        Some(Problem::new(self.describe(), format!("is spread by its group {what}"), remedy))
    }

    fn discovery_problem(&self) -> Option<Problem> {
        let (what, remedy) = match self.discover_every? {
            Duration::ZERO => {
                ("looks for new partitions every 0 s", "give .discover_every(..) more, or leave it out")
            }
            _ if self.stop.is_some() => (
                "looks for new partitions, and has an end that does not move",
                "leave out .discover_every(..) or the end",
            ),
            _ => return None,
        };
        Some(Problem::new(self.describe(), what, remedy))
    }

    /// Offsets that would be passed over in silence: a name that is mistyped, a number that is none.
    fn offset_problems(&self) -> Vec<Problem> {
        let named = self.start.named().iter().chain(self.stop.iter().flat_map(Stop::named));
        let is_read = |it: &PartitionOffset| {
            self.found.iter().any(|found| *found.topic == *it.topic && found.partition == it.partition)
        };
        let wrong = named.filter(|it| it.offset < 0 || !is_read(it));
        let problem = |PartitionOffset { topic, partition, offset }: &PartitionOffset| {
            let what = format!("names offset {offset} of {topic}-{partition}, which it cannot read");
            Problem::new(self.describe(), what, "name partitions that there are, and offsets from 0")
        };
        wrong.map(problem).collect()
    }

    pub(super) fn group_name(&self) -> Option<&str> {
        Some(self.group.as_str()).filter(|group| !group.is_empty())
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

    fn settings(&self) -> Vec<String> {
        let mut lines = self.settings.explain(&self.presets(), &self.fixed());
        lines.push(self.prefetch.to_string());
        lines
    }

    fn splits(&mut self) -> Result<Splits> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Error::plan(problems));
        }
        self.found = numbered(&self.topics_found()?);
        let problems = self.offset_problems();
        if !problems.is_empty() {
            return Err(Error::plan(problems));
        }
        if self.membership == Membership::Member {
            return Ok(Splits::Spread(Vec::new()));
        }
        Ok(Splits::Spread(self.found.iter().map(|it| it.partition).collect()))
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<KafkaReader> {
        let own = splits.iter().map(|split| self.found.get(*split as usize).cloned());
        let own: Option<Vec<TopicPartition>> = own.collect();
        let own =
            own.ok_or_else(|| Error::bug("a Kafka source was opened with splits that it did not name"))?;
        match self.membership {
            Membership::Member => self.open_member(subtask),
            Membership::Stranger => self.open_static(subtask, own),
        }
    }
}
