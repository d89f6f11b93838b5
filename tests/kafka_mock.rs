//! The main job, Kafka to Kafka, against a broker inside the process.

mod kafka;

use kafka::{PARTITIONS, Topics};
use slotflow::io::kafka::MockKafka;
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
fn an_oversize_record_fails_the_job() {
    let (_kafka, topics) = topics();
    kafka::an_oversize_record_fails_the_job(&topics).unwrap();
}
