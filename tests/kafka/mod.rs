//! Jobs from Kafka to Kafka, the same for the mock broker and for a real one.
#![allow(clippy::unwrap_used)]

pub mod files;
pub mod process;
pub mod standstill;

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use slotflow::io::kafka::{KafkaSink, KafkaSource, Message, fill_topic, read_topic};
use slotflow::runtime::IoCores;
use slotflow::{Environment, Error, Job, JobReport, Result};

/// How many partitions the input has.
pub const PARTITIONS: u32 = 8;

/// A job that is still waiting after this has lost something.
const LOST: Duration = Duration::from_secs(120);

/// A broker with an input and an output topic of our own.
pub struct Topics {
    pub brokers: String,
    pub input: String,
    pub output: String,
    /// How long a broker holds back an empty answer.
    pub fetch_wait_ms: u32,
}

impl Topics {
    /// Those that this process was started for, if it was.
    pub fn of_process() -> Option<Topics> {
        let topics = std::env::var("MEMBER_OF_TEST").ok()?;
        let topics: Vec<&str> = topics.split(' ').collect();
        let [brokers, input, output] = [0, 1, 2].map(|part| topics[part].to_owned());
        Some(Topics { brokers, input, output, fetch_wait_ms: 10 })
    }

    pub fn source(&self) -> KafkaSource {
        let source = KafkaSource::new(&self.brokers).topic(&self.input).group(&self.input);
        source.setting("fetch.wait.max.ms", self.fetch_wait_ms)
    }

    pub fn sink(&self) -> KafkaSink {
        KafkaSink::new(&self.brokers).topic(&self.output)
    }

    /// Writes lines with these numbers, spread over the partitions.
    pub fn fill(&self, numbers: Range<u32>) {
        let lines = numbers.map(|n| (n % PARTITIONS, format!("line {n}")));
        fill_topic(&IoCores::default(), &self.brokers, &self.input, lines).unwrap();
    }

    /// Writes so many bytes in lines of this length, spread over the partitions.
    pub fn fill_bytes(&self, bytes: usize, line_bytes: usize) {
        let line = "x".repeat(line_bytes);
        let lines = (0..(bytes / line_bytes) as u32).map(|n| (n % PARTITIONS, &line));
        fill_topic(&IoCores::default(), &self.brokers, &self.input, lines).unwrap();
    }

    /// How often each line is in the output.
    pub fn output(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for message in read_topic(&IoCores::default(), &self.brokers, &self.output).unwrap().concat() {
            *counts.entry(String::from_utf8(message.payload.to_vec()).unwrap()).or_default() += 1;
        }
        counts
    }

    /// The lines that are missing in the output, and those that are there more than once.
    pub fn compare(&self, numbers: impl Iterator<Item = u32>) -> (Vec<u32>, Vec<String>) {
        let output = self.output();
        let missing = numbers.filter(|n| !output.contains_key(&format!("LINE {n}"))).collect();
        let doubled = output.into_iter().filter(|(_, count)| *count > 1).map(|(line, _)| line);
        (missing, doubled.collect())
    }

    /// Starts the main job: source, uppercase in the step's arena, sink.
    pub fn uppercase(&self, source: KafkaSource) -> Job {
        self.uppercase_in(environment(), source)
    }

    /// As `uppercase`, in this environment.
    pub fn uppercase_in(&self, env: Environment, source: KafkaSource) -> Job {
        env.source(source).map_in(|line: Message<'_>, arena| upper(line.payload(), arena)).sink(self.sink());
        env.start("uppercase").unwrap()
    }

    /// Waits until this many records have come in since the job began.
    pub fn wait_for(&self, job: &Job, records: u64) {
        let began = Instant::now();
        while job.metrics().records_in() < records {
            assert!(!job.has_ended() && began.elapsed() < LOST, "{:?}", job.metrics());
            std::thread::yield_now();
        }
    }
}

fn upper<'s>(line: &[u8], arena: &'s slotflow::runtime::Arena) -> &'s [u8] {
    arena.slice_with(line.len(), |i| line[i].to_ascii_uppercase())
}

/// An environment that fits a test: few cores, and barriers often enough to matter.
pub fn environment() -> Environment {
    let mut env = Environment::new().unwrap().parallelism(4);
    let config = env.config_mut();
    config.job.commit_interval_ms = 20;
    env
}

/// A bounded job ends by itself with every line in its place, once, also when the sink has a
/// parallelism of its own.
pub fn every_line_arrives_exactly_once(topics: &Topics) {
    topics.fill(0..20_000);
    let env = environment();
    let lines = env.source(topics.source().bounded()).map(|line: Message<'_>| line.to_bytes());
    let upper = lines.map(|line: Bytes| line.to_ascii_uppercase());
    upper.sink(topics.sink()).parallelism(2);
    let report = env.run("uppercase").unwrap();
    assert_eq!(report.records, 20_000);
    assert_eq!(topics.compare(0..20_000), (vec![], vec![]));
    let again = topics.uppercase(topics.source().bounded()).wait().unwrap();
    assert_eq!(again.records, 0, "everything was committed at the end");
}

/// A drained job is followed by another that reads on exactly where it ended.
pub fn a_drained_job_is_resumed_without_loss_or_double(topics: &Topics) {
    topics.fill(0..10_000);
    let first = topics.uppercase(topics.source());
    topics.wait_for(&first, 5_000);
    first.drain(LOST).unwrap();
    let second = topics.uppercase(topics.source());
    topics.fill(10_000..12_000);
    topics.wait_for(&second, 2_000);
    second.drain(LOST).unwrap();
    topics.uppercase(topics.source().bounded()).wait().unwrap();
    assert_eq!(topics.compare(0..12_000), (vec![], vec![]));
}

/// A job that is stopped, and one that fails, lose nothing: what was not acknowledged is read again.
pub fn a_job_that_stops_or_fails_anywhere_loses_nothing(topics: &Topics) {
    topics.fill(0..10_000);
    let stopped = topics.uppercase(topics.source());
    topics.wait_for(&stopped, 1_000);
    stopped.stop().unwrap();
    assert!(fails_at(topics, "line 9000").to_string().contains("not today"));
    topics.uppercase(topics.source().bounded()).wait().unwrap();
    assert_eq!(topics.compare(0..10_000).0, Vec::<u32>::new());
}

/// Runs the job with an operator that fails at this line.
fn fails_at(topics: &Topics, bad: &'static str) -> Error {
    let env = environment();
    let lines = env.source(topics.source().bounded()).map(move |line: Message<'_>| {
        assert_ne!(line.payload(), bad.as_bytes(), "not today");
        line.to_bytes().to_ascii_uppercase()
    });
    lines.sink(topics.sink());
    env.run("failing").unwrap_err()
}

/// Acknowledgements are timed from where a source took the record, in one chain and over an edge.
pub fn acknowledgements_are_timed_from_the_source(topics: &Topics) {
    for parallelism in [4, 2] {
        let (env, sink) = (environment(), topics.sink());
        let latency = sink.ack_latency();
        let lines = env.source(topics.source()).map(|line: Message<'_>| line.to_bytes());
        lines.sink(sink).parallelism(parallelism);
        let job = env.start("timed").unwrap();
        let began = Instant::now();
        while latency.since_dequeue().count() == 0 {
            assert!(!job.has_ended() && began.elapsed() < LOST, "{:?}", job.metrics());
            topics.fill(0..1_000);
        }
        job.drain(LOST).unwrap();
        assert!(latency.since_write().count() > latency.since_dequeue().count());
    }
}

/// How many lines the expanding job makes of one.
const EXPANSION: u32 = 50;

/// Runs a job whose operator makes many lines of each in front of a sink that has room for ten, until it ends.
fn expand(topics: &Topics, overflow_bytes: usize) -> Result<JobReport> {
    let mut env = environment();
    env.config_mut().edges.overflow_bytes = overflow_bytes;
    let lines = env.source(topics.source().bounded()).name("read").flat_map(|line: Message<'_>| {
        let line = String::from_utf8(line.payload().to_vec()).unwrap();
        let number: u32 = line.trim_start_matches("line ").parse().unwrap();
        (number * EXPANSION..(number + 1) * EXPANSION).map(|n| format!("LINE {n}"))
    });
    lines.sink(topics.sink().setting("queue.buffering.max.messages", 10)).name("write");
    env.run("expanding")
}

/// An expanding operator in front of a full sink is held back; one that goes too far fails the job, which
/// loses nothing.
pub fn what_expands_beyond_a_full_sink_is_held_back_or_fails(topics: &Topics) {
    topics.fill(0..400);
    let text = expand(topics, 500).unwrap_err().to_string();
    assert!(text.starts_with("operator \"write\", subtask "), "{text}");
    assert!(
        text.contains("wait for room in the sink, more than edges.overflow_bytes = 500 allows"),
        "{text}"
    );
    let report = expand(topics, EXPANSION as usize * 200).unwrap();
    assert!(report.records > 0, "what the failed job read was not committed");
    assert_eq!(topics.compare(0..400 * EXPANSION).0, Vec::<u32>::new());
}

/// A record that Kafka will not take fails the job, and the error says where.
pub fn an_oversize_record_fails_the_job(topics: &Topics) -> Result<()> {
    let line = [(0, "x".repeat(5_000))];
    fill_topic(&IoCores::default(), &topics.brokers, &topics.input, line)?;
    let env = environment();
    let lines = env.source(topics.source().bounded()).map(|line: Message<'_>| line.to_bytes());
    lines.sink(topics.sink().setting("message.max.bytes", 2_000)).name("write");
    let text = env.run("oversize").unwrap_err().to_string();
    assert!(text.contains("a record of 5000 bytes is too large for topic"), "{text}");
    assert!(text.starts_with("operator \"") && text.contains("subtask 0"), "{text}");
    Ok(())
}
