//! The main job against the Kafka that `KAFKA_BOOTSTRAP` names (`scripts/kafka up` starts one). Without
//! the variable nothing is checked, and the tests say so.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod kafka;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use kafka::{PARTITIONS, Topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

/// Runs a test with topics of its own, if there is a broker.
fn with_topics(name: &str, test: impl FnOnce(&Topics)) {
    let Ok(brokers) = std::env::var("KAFKA_BOOTSTRAP") else {
        println!("checked nothing: KAFKA_BOOTSTRAP names no broker (scripts/kafka up starts one)");
        return;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let (input, output) = (format!("{name}-{now}-in"), format!("{name}-{now}-out"));
    let new = [(&input, PARTITIONS), (&output, 3)];
    let new = new.map(|(name, count)| NewTopic::new(name, count as i32, TopicReplication::Fixed(1)));
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let made = block_on(admin.create_topics(&new, &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|topic| drop(topic.unwrap()));
    let topics = Topics { brokers, input, output, fetch_wait_ms: 10 };
    test(&topics);
    let gone = block_on(admin.delete_topics(&[&topics.input, &topics.output], &AdminOptions::new()));
    gone.unwrap().into_iter().for_each(|topic| drop(topic.unwrap()));
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}

#[test]
fn every_line_arrives_exactly_once() {
    with_topics("once", kafka::every_line_arrives_exactly_once);
}

#[test]
fn a_drained_job_is_resumed_without_loss_or_double() {
    with_topics("drained", kafka::a_drained_job_is_resumed_without_loss_or_double);
}

#[test]
fn a_job_that_stops_or_fails_anywhere_loses_nothing() {
    with_topics("stopped", kafka::a_job_that_stops_or_fails_anywhere_loses_nothing);
}

#[test]
fn an_oversize_record_fails_the_job() {
    with_topics("oversize", |topics| kafka::an_oversize_record_fails_the_job(topics).unwrap());
}
