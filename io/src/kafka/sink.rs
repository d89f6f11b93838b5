//! Writes a Kafka topic.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};
use slotflow_runtime::{Error, Family, Guarantee, IoCores, Owned, Result, Sink, SubtaskContext};

use super::alike::told_alike;
use super::dead_letter::{DeadLetter, LetterSink};
use super::delivery::{AckLatency, Deliveries};
use super::failure::Purpose;
use super::lookup::{Answer, LEADERS_TIMEOUT, Lookup, ask};
use super::marks::Marks;
use super::off_slot::OffSlot;
use super::preset::Setting;
use super::record::IntoKafka;
use super::settings::Settings;
use super::subscription::Subscription;
use super::writer::{Bounds, KafkaWriter, Producer};

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

/// Which partition gets a record that names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partitioner {
    /// As Java's producer, Kafka Streams and Flink do it: by the murmur2 hash of the key; any without a key.
    #[default]
    Java,
    /// As librdkafka does it by default, and with it the clients for C, Go and Python: by the CRC32 of the key;
    /// any without a key.
    Librdkafka,
    /// Any, whatever the key.
    Random,
}

impl Partitioner {
    fn name(self) -> &'static str {
        match self {
            Partitioner::Java => "murmur2_random",
            Partitioner::Librdkafka => "consistent_random",
            Partitioner::Random => "random",
        }
    }
}

/// Writes records to a topic: whatever is [`IntoKafka`], at least once. Texts and bytes are payloads,
/// [`Keyed`](super::Keyed) adds a key, and a [`KafkaRecord`](super::KafkaRecord) headers, time, partition and topic.
///
/// Offsets of the sources are committed only when the brokers have acknowledged everything that was
/// made of the records before them. A full producer queue is backpressure, not an error.
///
/// Brokers may be away for as long as they like: what cannot be written meanwhile is backpressure, and so is what they
/// refuse for now, such as for want of replicas (NOT_ENOUGH_REPLICAS), for as long as they do. With the setting
/// `message.timeout.ms`, by default 0 for no limit, a record that has not arrived after that long fails the job.
///
/// ```no_run
/// use slotflow_io::kafka::{KafkaRecord, KafkaSink};
/// # use slotflow::prelude::*;
/// # let env = Environment::with(Config::default());
///
/// let words = KafkaSink::new("127.0.0.1:9092").topic("WORDS").setting("compression.type", "lz4");
/// env.source(from_iterator(["a", "b"])).map(|word| KafkaRecord::new(word).header("by", "me")).sink(words);
/// ```
///
/// Compression is the setting `compression.type`: `none`, `gzip`, `snappy` and `lz4` are built in; `zstd` needs the
/// feature `kafka-zstd`.
pub struct KafkaSink {
    settings: Settings,
    acks: Acks,
    letters: Option<Box<dyn LetterSink>>,
    with_watermarks: bool,
    latency: AckLatency,
}

told_alike!(KafkaSink);

impl KafkaSink {
    /// A sink on these brokers: `HOST:PORT`, several with commas between them.
    pub fn new(brokers: impl Into<String>) -> KafkaSink {
        let (settings, latency) = (Settings::new(brokers), AckLatency::default());
        KafkaSink { settings, acks: Acks::default(), letters: None, with_watermarks: false, latency }
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

    /// Which partition gets a record that names none; by default as Java's producer does it.
    #[must_use]
    pub fn partitioner(mut self, partitioner: Partitioner) -> Self {
        self.settings.set("partitioner", partitioner.name());
        self
    }

    /// Writes the records that Kafka refuses for themselves to another sink, instead of failing the job: those that
    /// are too large, have a time or a partition that cannot be, are against a policy of the topic, or name a topic
    /// that does not exist or must not be written. What is wrong with the sink's own topic, or with the brokers,
    /// fails the job as ever.
    ///
    /// A record counts as arrived when its letter has. Where a broker refuses a whole request, all its records
    /// become letters, as nobody knows which of them it was. Order holds for letters among themselves.
    ///
    /// ```no_run
    /// use slotflow_io::kafka::KafkaSink;
    ///
    /// let refused = KafkaSink::new("127.0.0.1:9092").topic("refused").setting("message.max.bytes", 10_000_000);
    /// let words = KafkaSink::new("127.0.0.1:9092").topic("WORDS").dead_letters(refused);
    /// ```
    #[must_use]
    pub fn dead_letters(mut self, sink: impl Sink<Owned<DeadLetter>>) -> Self {
        self.letters = Some(Box::new(sink));
        self
    }

    /// Writes with each record how far event time has come here, in the header `slotflow-watermark`: so that the event
    /// time of a job that reads the topic goes on from there; see
    /// [`producer_watermark`](super::Message::producer_watermark). A header costs a record allocations of librdkafka's.
    /// In a job without event time it says that time has not begun, and the readers' does not while it writes.
    #[must_use]
    pub fn with_watermarks(mut self) -> Self {
        self.with_watermarks = true;
        self
    }

    /// How long acknowledgements take, since a record was handed to the producer and since its origin was
    /// taken by a source; to be read while the job runs.
    pub fn ack_latency(&self) -> AckLatency {
        self.latency.clone()
    }

    fn config(&self) -> Result<ClientConfig> {
        let mut problems = self.settings.problems(&OWN);
        let own = Subscription::Topics(vec![self.settings.topic.clone()]);
        problems.extend(own.problems(&self.settings.describe()));
        if !problems.is_empty() {
            return Err(Error::plan(problems));
        }
        self.settings.config(&self.settings.preset.of_sink(), &self.fixed())
    }

    /// What its promises stand on.
    fn fixed(&self) -> [Setting; 3] {
        let (acks, idempotence) = match self.acks {
            Acks::All => ("all", "true"),
            Acks::Leader => ("1", "false"),
        };
        [("acks", acks), ("enable.idempotence", idempotence), ("allow.auto.create.topics", "false")]
    }

    fn deliveries(&self) -> Deliveries {
        Deliveries::with_every_failure(self.letters.is_some())
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
        let letters = self.letters.as_ref().map(|letters| letters.guarantee());
        match self.acks {
            Acks::All if letters != Some(Guarantee::BestEffort) => Guarantee::AtLeastOnce,
            _ => Guarantee::BestEffort,
        }
    }

    fn settings(&self) -> Vec<String> {
        let mut lines = self.settings.explain(&self.settings.preset.of_sink(), &self.fixed());
        lines.extend(self.letters.as_ref().map(|letters| format!("dead letters to {}", letters.describe())));
        lines
    }

    /// Looks for the topic with a producer of its own, which is gone before any slot is touched.
    fn check(&mut self) -> Result<()> {
        let config = self.config()?;
        let (settings, deliveries) = (&self.settings, self.deliveries());
        find_topic(settings, &config, deliveries)?;
        self.letters.as_mut().map_or(Ok(()), |letters| letters.check())
    }

    fn open(&mut self, subtask: &SubtaskContext) -> Result<KafkaWriter> {
        let config = self.config()?;
        let number = |key| config.get(key).and_then(|value| value.parse::<usize>().ok());
        // To librdkafka 0 is no bound.
        let queue =
            number(QUEUE_RECORDS).map_or(1, |records| if records == 0 { usize::MAX } else { records });
        let bounds = Bounds { queue, record_bytes: number("message.max.bytes") };
        let name = format!("{}, subtask {}", self.settings.describe(), subtask.index);
        let (settings, deliveries) = (&self.settings, self.deliveries());
        let make = || Ok((producer(settings, &config, deliveries)?, ()));
        let (producer, ()) = OffSlot::make(&subtask.io, &name, make)?;
        let letters = self.letters.as_mut().map(|letters| letters.open(subtask)).transpose()?;
        let (topic, latency) = (&self.settings.topic, self.latency.meters());
        let producer = Arc::new(producer);
        self.settings.keep_authorised(&producer, &producer.context().log, &subtask.io)?;
        learn_leaders(&producer, topic, &subtask.io)?;
        let marks = self.with_watermarks.then(Marks::new);
        let writer = KafkaWriter::new(producer, topic, bounds, letters, subtask, latency)?;
        Ok(writer.marking(marks))
    }
}

/// Makes a producer.
fn producer(
    settings: &Settings,
    config: &ClientConfig,
    deliveries: Deliveries,
) -> Result<BaseProducer<Deliveries>> {
    let producer: BaseProducer<Deliveries> =
        config.create_with_context(deliveries).map_err(|error| settings.refused(&error))?;
    settings.authorise(&producer)?;
    Ok(producer)
}

fn find_topic(settings: &Settings, config: &ClientConfig, deliveries: Deliveries) -> Result<()> {
    let producer = producer(settings, config, deliveries)?;
    let lookup = Lookup { settings, purpose: Purpose::Write, log: &producer.context().log };
    // The first answer comes from the address that was given, the second from a broker that was named there: it has to
    // be in reach, too.
    for _ in 0..2 {
        lookup.partitions(&settings.topic, producer.client(), || producer.poll(Duration::ZERO))?;
    }
    Ok(())
}

/// Has a producer hear who leads its topic, while what else the job has is opened. Nobody waits for it: the topic was
/// there when the job was planned, and if the brokers are away now librdkafka asks them by itself. If it has gone since
/// then, that is told at once, and records for it fail.
fn learn_leaders(producer: &Arc<Producer>, topic: &str, io: &IoCores) -> Result<()> {
    let (producer, topic) = (producer.clone(), topic.to_owned());
    // With the second answer, a broker's own, the producer gets its id. Without, it looks for one after 500 ms.
    let learn = move || {
        let answers = (0..2).map(|_| ask(producer.client(), &topic, LEADERS_TIMEOUT));
        // Both are asked for, whatever the first one says.
        if answers.fold(false, |gone, answer| gone | matches!(answer, Answer::Unknown | Answer::Refused)) {
            tracing::warn!(
                "topic \"{topic}\", which the job writes to, has gone or may be written to no more"
            );
        }
    };
    io.spawn("slotflow-kafka", learn).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_tried_for_as_long_as_it_takes_unless_the_user_says_otherwise() {
        let sink = || KafkaSink::new("b:9092").topic("WORDS");
        let tried_ms = |sink: KafkaSink| sink.config().unwrap().get("message.timeout.ms").map(str::to_owned);
        assert_eq!(tried_ms(sink()), Some("0".into()));
        for name in ["message.timeout.ms", "delivery.timeout.ms"] {
            assert_eq!(tried_ms(sink().setting(name, 7_000)), Some("7000".into()), "{name}");
        }
    }
}
