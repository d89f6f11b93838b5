//! Writes a Kafka topic.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use slotflow_runtime::{Error, Family, Guarantee, IoCores, Result, Sink, SubtaskContext};

use super::delivery::{AckLatency, Deliveries};
use super::failure::Purpose;
use super::lookup::Lookup;
use super::off_slot::OffSlot;
use super::record::IntoKafka;
use super::settings::Settings;
use super::writer::KafkaWriter;

/// Settings for low latency and bounded memory, each to be overridden by the user.
const PRESETS: [(&str, &str); 9] = [
    // How long a record waits for others to go with it. 0 sends each alone; 5, the default of
    // librdkafka, makes larger requests.
    ("linger.ms", "1"),
    // Equal keys go where Java's client sends them.
    ("partitioner", "murmur2_random"),
    // What one subtask may have under way: backpressure begins here.
    (QUEUE_RECORDS, "100000"),
    // 64 MiB of it, by default 1 GiB (a guess: 0.1 s at 640 MB/s).
    ("queue.buffering.max.kbytes", "65536"),
    ("message.max.bytes", "1000000"),
    // After an outage, by default up to 10 s go by before the next try.
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
    ("statistics.interval.ms", "0"),
];

const QUEUE_RECORDS: &str = "queue.buffering.max.messages";

/// What the sink decides by itself: its correctness stands on it.
const OWN: [&str; 8] = [
    // librdkafka's other names for some of these.
    "metadata.broker.list",
    "request.required.acks",
    "bootstrap.servers",
    "acks",
    "enable.idempotence",
    "allow.auto.create.topics",
    "transactional.id",
    "delivery.report.only.error",
];

/// Who must have a record before it counts as arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// Every replica in sync; the order of records for a partition is kept, and a repeated request
    /// writes nothing twice.
    #[default]
    All,
    /// The partition's leader. Quicker, but records can be lost with it, and doubled or reordered when
    /// a request is repeated: the job's guarantee is best effort.
    Leader,
}

/// Writes records to a topic: whatever is [`IntoKafka`], at least once.
///
/// Offsets of the sources are committed only when the brokers have acknowledged everything that was
/// made of the records before them. A full producer queue is backpressure, not an error.
///
/// ```no_run
/// use slotflow_io::kafka::KafkaSink;
///
/// let words = KafkaSink::new("127.0.0.1:9092").topic("WORDS").setting("linger.ms", 5);
/// ```
pub struct KafkaSink {
    settings: Settings,
    acks: Acks,
    latency: AckLatency,
}

impl KafkaSink {
    /// A sink on these brokers: `HOST:PORT`, several with commas between them.
    pub fn new(brokers: impl Into<String>) -> KafkaSink {
        KafkaSink { settings: Settings::new(brokers), acks: Acks::default(), latency: AckLatency::default() }
    }

    /// The topic; there is no default. It must exist.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.settings.topic = topic.into();
        self
    }

    /// Who must have a record before it counts as arrived; by default every replica in sync.
    #[must_use]
    pub fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// How long brokers may take to answer before the start (default 10 s).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// A setting of librdkafka by its own name, such as `compression.type`; the last value counts.
    /// Those that the sink's promises stand on are refused.
    #[must_use]
    pub fn setting(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.settings.set(key, value);
        self
    }

    /// How long acknowledgements take, since a record was handed to the producer and since its origin was
    /// taken by a source; to be read while the job runs.
    pub fn ack_latency(&self) -> AckLatency {
        self.latency.clone()
    }

    fn config(&self) -> Result<ClientConfig> {
        let problems = self.settings.problems(&OWN);
        if !problems.is_empty() {
            return Err(Error::plan(problems));
        }
        let (acks, idempotence) = match self.acks {
            Acks::All => ("all", "true"),
            Acks::Leader => ("1", "false"),
        };
        let own =
            [("acks", acks), ("enable.idempotence", idempotence), ("allow.auto.create.topics", "false")];
        self.settings.config(&PRESETS, &own)
    }

    /// Makes the producer of one subtask, once the topic has been seen.
    fn producer(&self, config: &ClientConfig) -> Result<BaseProducer<Deliveries>> {
        let producer: BaseProducer<Deliveries> = config
            .create_with_context(Deliveries::default())
            .map_err(|error| self.settings.refused(&error))?;
        let log = &producer.context().log;
        let lookup = Lookup { settings: &self.settings, purpose: Purpose::Write, log };
        // The first answer comes from the address that was given, the second from a broker of the cluster,
        // and with that the producer gets its id: 60 ms instead of 500 until the first record can go.
        for _ in 0..2 {
            lookup.partitions(producer.client(), || producer.poll(Duration::ZERO))?;
        }
        Ok(producer)
    }
}

impl<F: Family> Sink<F> for KafkaSink
where
    for<'s> F::Of<'s>: IntoKafka,
{
    type Writer = KafkaWriter;

    fn describe(&self) -> String {
        self.settings.describe()
    }

    fn guarantee(&self) -> Guarantee {
        match self.acks {
            Acks::All => Guarantee::AtLeastOnce,
            Acks::Leader => Guarantee::BestEffort,
        }
    }

    /// Looks for the topic with a producer of its own, which is gone before any slot is touched.
    fn check(&mut self) -> Result<()> {
        let config = self.config()?;
        IoCores::default().run(|| self.producer(&config).map(drop))?
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<KafkaWriter> {
        let config = self.config()?;
        let room = |key| config.get(key).and_then(|value| value.parse::<usize>().ok());
        // To librdkafka 0 is no bound.
        let queue = room(QUEUE_RECORDS).map_or(1, |records| if records == 0 { usize::MAX } else { records });
        let limit = room("message.max.bytes");
        let name = format!("{}, subtask {}", self.settings.describe(), subtask.index);
        let (producer, ()) = OffSlot::make(&subtask.io, &name, || Ok((self.producer(&config)?, ())))?;
        let (producer, topic) = (Arc::new(producer), &self.settings.topic);
        Ok(KafkaWriter::new(producer, topic, queue, limit, subtask, self.latency.meters()))
    }
}
