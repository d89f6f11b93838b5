//! How long does a job take to read a whole topic? Claims nothing about Kafka: the broker is a mock in the
//! same process and on the same cores, and slower than a real one.
//!
//! 100,000 messages in 8 partitions, from the job's start to its end, with the first fetch and the last.

mod common;
#[path = "common/kafka.rs"]
mod kafka;

use std::time::Duration;

use criterion::{SamplingMode, Throughput};
use kafka::{MESSAGES, everything, full_broker};
use slotflow::io::kafka::{Message, MockKafka};
use slotflow::prelude::*;

fn drain(kafka: &MockKafka) -> Duration {
    let env = Environment::new().expect("the SLOTFLOW_* variables are right");
    let bytes = env.source(everything(kafka)).map(|line: Message<'_>| line.payload().len());
    bytes.sink(callback(|bytes: usize| {
        std::hint::black_box(bytes);
    }));
    let report = env.run("kafka_source").expect("the job reads the topic");
    assert_eq!(report.records, MESSAGES);
    report.took
}

fn main() {
    let kafka = full_broker().expect("the mock broker takes the messages");
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("kafka_source");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(MESSAGES));
    group.bench_function("drain", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| drain(&kafka)).sum());
    });
    group.finish();
    criterion.final_summary();
}
