//! How long does the main job take, Kafka to uppercase to Kafka? Claims nothing about Kafka: the broker is a
//! mock in the same process and on the same cores, and slower than a real one; the numbers are for comparing
//! our own versions.
//!
//! 100,000 messages in 8 partitions, from the job's start until the last one is acknowledged.

mod common;
#[path = "common/kafka.rs"]
mod kafka;

use std::time::Duration;

use criterion::{SamplingMode, Throughput};
use kafka::{MESSAGES, everything, full_broker};
use slotflow::io::kafka::{Message, MockKafka};
use slotflow::prelude::*;

fn uppercase(kafka: &MockKafka) -> Duration {
    let env = Environment::new().expect("the SLOTFLOW_* variables are right");
    let upper = env.source(everything(kafka)).map_in(|line: Message<'_>, arena| {
        let line = line.payload();
        arena.slice_with(line.len(), |i| line[i].to_ascii_uppercase())
    });
    upper.sink(kafka.sink().topic("WORDS"));
    let report = env.run("main_job").expect("every message is acknowledged");
    assert_eq!(report.records, MESSAGES);
    report.took
}

fn main() {
    let kafka = full_broker().expect("the mock broker takes the messages");
    kafka.create_topic("WORDS", 8).expect("the topic is new");
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("main_job");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(MESSAGES));
    group.bench_function("uppercase", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| uppercase(&kafka)).sum());
    });
    group.finish();
    criterion.final_summary();
}
