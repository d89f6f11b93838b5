//! How long does a job take to write to a topic, until all of it is acknowledged? Claims nothing about Kafka: the
//! broker is a mock in the same process and on the same cores, and slower than a real one.

mod common;

use std::time::Duration;

use criterion::{SamplingMode, Throughput};
use slotflow::io::kafka::MockKafka;
use slotflow::prelude::*;
use slotflow::runtime::IoCores;

/// As many as `kafka_source` reads.
const MESSAGES: u64 = 100_000;

/// As `kafka_source`'s topic.
const PARTITIONS: u32 = 8;

fn write(kafka: &MockKafka) -> Duration {
    let env = Environment::new().expect("the SLOTFLOW_* variables are right");
    let lines = env
        .source(generate(MESSAGES, |i| i))
        .map_in(|i: u64, arena| arena.slice_with(8, |place| b'0' + (i / 10u64.pow(place as u32) % 10) as u8));
    lines.sink(kafka.sink().topic("WORDS"));
    let report = env.run("kafka_sink").expect("every message is acknowledged");
    assert_eq!(report.records, MESSAGES);
    report.took
}

fn main() {
    let kafka = MockKafka::start(&IoCores::default()).expect("the mock broker starts");
    kafka.create_topic("WORDS", PARTITIONS).expect("the topic is new");
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("kafka_sink");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(MESSAGES));
    group.bench_function("write", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| write(&kafka)).sum());
    });
    group.finish();
    criterion.final_summary();
}
