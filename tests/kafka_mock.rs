//! The main job, Kafka to Kafka, against a broker inside the process.

mod kafka;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka::process::Process;
use kafka::{PARTITIONS, Topics, standstill};
use rdkafka::mocking::MockCluster;
use slotflow::io::kafka::{KafkaSink, KafkaSource, Keyed, Message, MockKafka};
use slotflow::prelude::*;
use slotflow::runtime::IoCores;

/// A broker of its own with both topics; it is gone when the first part is dropped.
fn topics() -> (MockKafka, Topics) {
    let kafka = MockKafka::start(&IoCores::default()).expect("the mock broker does as it is told");
    kafka.create_topic("words", PARTITIONS).expect("the mock broker does as it is told");
    kafka.create_topic("WORDS", 3).expect("the mock broker does as it is told");
    let (input, output) = ("words".into(), "WORDS".into());
    let topics = Topics { brokers: kafka.bootstrap().into(), input, output, fetch_wait_ms: 1 };
    (kafka, topics)
}

#[test]
fn every_line_arrives_exactly_once() {
    let (_kafka, topics) = topics();
    kafka::every_line_arrives_exactly_once(&topics);
}

#[test]
fn a_drained_job_is_resumed_without_loss_or_double() {
    let (_kafka, topics) = topics();
    kafka::a_drained_job_is_resumed_without_loss_or_double(&topics);
}

#[test]
fn a_job_that_stops_or_fails_anywhere_loses_nothing() {
    let (_kafka, topics) = topics();
    kafka::a_job_that_stops_or_fails_anywhere_loses_nothing(&topics);
}

#[test]
fn offsets_are_never_ahead_of_files_that_have_their_names() {
    let (_kafka, topics) = topics();
    kafka::files::offsets_are_never_ahead_of_files_that_have_their_names(&topics);
}

#[test]
fn what_expands_beyond_a_full_sink_is_held_back_or_fails() {
    let (_kafka, topics) = topics();
    kafka::what_expands_beyond_a_full_sink_is_held_back_or_fails(&topics);
}

#[test]
fn acknowledgements_are_timed_from_the_source() {
    let (_kafka, topics) = topics();
    kafka::acknowledgements_are_timed_from_the_source(&topics);
}

#[test]
fn an_oversize_record_fails_the_job() {
    let (_kafka, topics) = topics();
    kafka::an_oversize_record_fails_the_job(&topics).unwrap();
}

#[test]
fn a_job_whose_sink_has_stopped() {
    standstill::job();
}

/// The broker keeps what is fetched: 4 MiB of the 5 that it has for each partition.
#[test]
fn a_sink_that_has_stopped_costs_the_budget_and_no_more() {
    let (_kafka, topics) = topics();
    let job = || Process::start("a_job_whose_sink_has_stopped", &topics);
    standstill::costs_the_budget_and_no_more(&topics, job, 500, Duration::from_secs(1));
}

#[test]
fn topics_that_do_not_exist_are_told_with_the_settings_that_are_wrong() {
    let (_kafka, topics) = topics();
    let config = Config::from_toml("[edges]\ncapacity = 3").expect("the number is for the plan to refuse");
    let env = Environment::with(config);
    let source = |topic: &str| KafkaSource::new(&topics.brokers).topic(topic).group("g");
    let owned = |line: Message<'_>| line.payload().to_vec();
    env.source(source("wrods")).map(owned).sink(KafkaSink::new(&topics.brokers).topic("WRODS"));
    env.source(source("")).name("nameless").map(owned).sink(KafkaSink::new(&topics.brokers).topic("WORDS"));
    let text = env.start("refused").expect_err("nothing of it can run").to_string();
    let missing = |topic: &str| {
        let remedy = "create it, or correct the name given to .topic(..)";
        format!(
            "operator \"kafka({topic})\": topic \"{topic}\" does not exist on {}; {remedy}",
            topics.brokers
        )
    };
    let expected = [
        "4 problems before the start",
        "edges.capacity: is 3, no power of two; give 2 or 4",
        &missing("wrods"),
        &missing("WRODS"),
        "kafka(): has no topic; name one with .topic(..)",
    ];
    assert_eq!(text, expected.join("\n  - "));
}

/// Three brokers, of which each leads some of the partitions, then others; one at a time is slow.
#[test]
fn leaders_that_change_and_brokers_that_are_slow_cost_no_line() {
    const BROKERS: i32 = 3;
    let cluster = MockCluster::new(BROKERS).expect("the mock brokers do as they are told");
    let led = [("words", PARTITIONS as i32), ("WORDS", 3)];
    led.iter().for_each(|(topic, partitions)| cluster.create_topic(topic, *partitions, BROKERS).unwrap());
    let (input, output) = ("words".into(), "WORDS".into());
    let topics = Topics { brokers: cluster.bootstrap_servers(), input, output, fetch_wait_ms: 1 };
    let job = topics.uppercase(topics.source());
    for turn in 0..BROKERS {
        let slow = |broker| Duration::from_millis(if broker == turn { 50 } else { 0 });
        (0..BROKERS).for_each(|broker| cluster.broker_round_trip_time(broker + 1, slow(broker)).unwrap());
        for (topic, partitions) in led {
            let lead = |partition| {
                let leader = Some((partition + turn) % BROKERS + 1);
                cluster.partition_leader(topic, partition, leader).unwrap();
            };
            (0..partitions).for_each(lead);
        }
        let from = turn as u32 * 2_000;
        topics.fill(from..from + 2_000);
        // The leaders change while the second half is on its way.
        topics.wait_for(&job, u64::from(from) + 1_000);
    }
    topics.wait_for(&job, 6_000);
    job.drain(Duration::from_secs(60)).unwrap();
    assert_eq!(topics.compare(0..6_000).0, [0; 0]);
}

/// What a line `n` is, ten times that.
fn time_of(line: &Message<'_>) -> i64 {
    line.text().ok().and_then(|n| n.parse().ok()).map_or(0, |n: i64| n * 10)
}

/// Writes each line by its key, with how far event time has come.
fn write_with_watermarks(topics: &Topics) -> Result<()> {
    let env = Environment::with(Config::default()).parallelism(2);
    let keyed = |line: Message<'_>| Keyed { key: line.payload().to_vec(), payload: line.payload().to_vec() };
    let lines = env.source(topics.source().bounded()).with_timestamps(time_of, Watermarks::monotonous());
    lines.map(keyed).sink(topics.sink().with_watermarks());
    env.run("first stage").map(drop)
}

#[test]
fn event_time_crosses_a_topic_by_its_producers() {
    let (kafka, topics) = topics();
    kafka.fill("words", (0..4_000_u32).map(|n| (n % PARTITIONS, n.to_string()))).unwrap();
    write_with_watermarks(&topics).unwrap();
    let (env, heard) = (Environment::with(Config::default()), Collected::new());
    let mark = |it: &Message<'_>| it.producer_watermark();
    let producers = Watermarks::per_producer(mark, Duration::from_secs(600));
    let lines = env.source(kafka.source().topic("WORDS").no_commit().bounded());
    let lines = lines.with_timestamps(time_of, producers);
    lines.map(|it: Message<'_>| (it.producer_watermark().unwrap(), time_of(&it))).sink(heard.sink());
    env.run("second stage").unwrap();
    let mut furthest = BTreeMap::new();
    for ((producer, watermark), time) in heard.take() {
        assert!(watermark < time, "the record at {time} is late where it was written: {watermark}");
        let known = furthest.entry(producer).or_insert(i64::MIN);
        *known = watermark.max(*known);
    }
    assert_eq!(furthest.len(), 2, "a producer for each subtask of the sink");
    assert!(furthest.values().all(|watermark| *watermark > 0), "none has come far: {furthest:?}");
}
