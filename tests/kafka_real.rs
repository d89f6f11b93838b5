//! The main job against the Kafka that `KAFKA_BOOTSTRAP` names (`scripts/kafka up` starts one). Without
//! the variable nothing is checked, and the tests say so.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod kafka;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka::{PARTITIONS, Topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// What a broker may take for a transaction.
const PATIENCE: Duration = Duration::from_secs(60);

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
fn what_expands_beyond_a_full_sink_is_held_back_or_fails() {
    with_topics("expands", kafka::what_expands_beyond_a_full_sink_is_held_back_or_fails);
}

#[test]
fn acknowledgements_are_timed_from_the_source() {
    with_topics("timed", kafka::acknowledgements_are_timed_from_the_source);
}

#[test]
fn an_oversize_record_fails_the_job() {
    with_topics("oversize", |topics| kafka::an_oversize_record_fails_the_job(topics).unwrap());
}

/// Writes lines with these numbers to partition 0 in one transaction, which is committed or aborted.
fn write_in_transaction(topics: &Topics, numbers: std::ops::Range<u32>, commit: bool) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &topics.brokers)
        .set("transactional.id", format!("{}-writer", topics.input))
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    for n in numbers {
        let line = format!("line {n}");
        producer.send(BaseRecord::<(), str>::to(&topics.input).partition(0).payload(&line)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let ended =
        if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) };
    ended.unwrap();
}

/// The mock broker has no real transactions, so this is for a real one alone.
#[test]
fn only_what_transactions_committed_is_read_and_their_markers_hold_up_no_end() {
    with_topics("transactions", |topics| {
        write_in_transaction(topics, 0..5, true);
        write_in_transaction(topics, 5..9, false);
        write_in_transaction(topics, 9..12, true);
        let report = topics.uppercase(topics.source().bounded()).wait().unwrap();
        assert_eq!((report.records, topics.output().len()), (8, 8));
        assert_eq!(topics.compare((0..5).chain(9..12)), (vec![], vec![]));
        write_in_transaction(topics, 20..22, false);
        let report = topics.uppercase(topics.source().bounded()).wait().unwrap();
        assert_eq!(report.records, 0, "an aborted transaction is nothing to read");
    });
}
