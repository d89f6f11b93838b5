//! What goes wrong before the start and on the way, with its golden text.

use std::net::TcpListener;
use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow_io::kafka::{KafkaSink, KafkaSource, MockKafka};
use slotflow_runtime::{Error, Owned, Sink, Source, SourceReader};

use crate::harness::{Reading, kafka};

/// What the start of a job says about this source.
fn start_of(mut source: KafkaSource) -> String {
    source.splits().unwrap_err().to_string()
}

/// What the start of a job says about this sink.
fn start_of_sink(mut sink: KafkaSink) -> String {
    Sink::<Owned<String>>::check(&mut sink).unwrap_err().to_string()
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn with_topic_error(error: Native) -> MockKafka {
    let kafka = kafka("words", 1, 1);
    kafka.with(move |cluster| cluster.topic_error("words", error)).unwrap().unwrap();
    kafka
}

#[test]
fn an_unreachable_broker_is_named_within_the_timeout() {
    let (address, timeout) = (nobody(), Duration::from_millis(300));
    let source = KafkaSource::new(&address).topic("words").group("g").connect_timeout(timeout);
    let sink = KafkaSink::new(&address).topic("WORDS").connect_timeout(timeout);
    for text in [start_of(source), start_of_sink(sink)] {
        let begin = format!("no broker of {address} answered within 0.3 s");
        let end = "; check the address, that the broker runs and that it can be reached from here, and whether \
                   it wants TLS or SASL: the setting `security.protocol`; .connect_timeout(..) gives it longer";
        assert!(text.starts_with(&begin) && text.ends_with(end), "{text}");
        assert!(text.contains("Connection refused"), "the reason is told: {text}");
    }
}

#[test]
fn a_broker_that_accepts_and_says_nothing_is_unreachable_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let source = KafkaSource::new(&address).topic("words").group("g");
    let text = start_of(source.connect_timeout(Duration::from_millis(300)));
    assert!(text.starts_with(&format!("no broker of {address} answered within 0.3 s")), "{text}");
}

#[test]
fn an_unknown_topic_is_named_and_not_made() {
    let kafka = kafka("words", 1, 1);
    let expected = format!(
        "topic \"wrods\" does not exist on {}; create it, or correct the name given to .topic(..)",
        kafka.bootstrap()
    );
    assert_eq!(start_of(kafka.source().topic("wrods").group("g")), expected);
    assert_eq!(start_of_sink(kafka.sink().topic("wrods")), expected);
    assert_eq!(start_of(kafka.source().topic("wrods").group("g")), expected);
}

#[test]
fn a_topic_that_must_not_be_used_is_named() {
    let kafka = with_topic_error(Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(
        start_of(kafka.source().topic("words").group("g")),
        "this principal may not read topic \"words\"; allow it the operations Read and Describe on the topic"
    );
    assert_eq!(
        start_of_sink(kafka.sink().topic("words")),
        "this principal may not write topic \"words\"; allow it the operations Write and Describe on the \
         topic"
    );
}

#[test]
fn a_group_that_must_not_be_used_is_named() {
    let kafka = kafka("words", 1, 1);
    let refused = [Native::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 8];
    kafka.with(move |cluster| cluster.request_errors(Api::OffsetFetch, &refused)).unwrap();
    let error = Reading::open(kafka.source().topic("words").group("g"), 0, 1).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this principal may not use group \"g\"; allow it the operation Read on the group, or read without \
         committing: .no_commit()"
    );
}

#[test]
fn a_coordinator_that_is_not_ready_is_asked_again() {
    let kafka = kafka("words", 1, 1);
    let away = [
        Native::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        Native::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        Native::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    ];
    kafka.with(move |cluster| cluster.request_errors(Api::OffsetFetch, &away)).unwrap();
    Reading::open(kafka.source().topic("words").group("g"), 0, 1).map(|_| ()).unwrap();
}

#[test]
fn a_source_that_commits_has_a_group() {
    assert_eq!(
        start_of(KafkaSource::new("b:9092").topic("words")),
        "kafka(words): has no group to commit offsets under; name one with .group(..), or read without \
         committing: .no_commit()"
    );
}

#[test]
fn settings_that_the_promises_stand_on_are_refused() {
    let source = KafkaSource::new("b:9092").topic("words").group("g");
    assert_eq!(
        start_of(source.setting("auto.offset.reset", "latest").setting("enable.auto.commit", true)),
        "2 problems before the start\n  \
         - kafka(words): sets `auto.offset.reset` by itself; leave that setting out\n  \
         - kafka(words): sets `enable.auto.commit` by itself; leave that setting out"
    );
    assert_eq!(
        start_of_sink(KafkaSink::new("b:9092").topic("words").setting("acks", 0)),
        "kafka(words): sets `acks` by itself; leave that setting out"
    );
}

#[test]
fn settings_that_do_not_fit_together_are_told() {
    let sink = KafkaSink::new("b:9092").topic("words").setting("max.in.flight", 100);
    assert_eq!(
        start_of_sink(sink),
        "kafka(words): its settings do not fit together: `max.in.flight` must be set <= 5 when \
         `enable.idempotence` is true; change those named here"
    );
}

/// Commits this offset for the only partition, then reads on from there.
fn read_from(kafka: &MockKafka, offset: i64, bounded: bool) -> Error {
    let source = || kafka.source().topic("words").group("g");
    let mut committer = Reading::open(source(), 0, 1).unwrap().reader.committer().unwrap();
    committer.commit(&vec![(0, offset)]).unwrap();
    committer.finish().unwrap();
    let source = if bounded { source().bounded() } else { source() };
    Reading::open(source, 0, 1).and_then(|mut reading| reading.read(1)).unwrap_err()
}

#[test]
fn an_offset_that_is_not_there_is_told_and_not_passed_over() {
    let kafka = kafka("words", 1, 3);
    for bounded in [false, true] {
        assert_eq!(
            read_from(&kafka, 17, bounded).to_string(),
            "topic \"words\", partition 0: offset 17 is no longer there, or not yet; the topic's retention \
             was shorter than the pause, or it was made anew: start with .starting(Start::Earliest) or reset \
             the group's offsets (kafka-consumer-groups --reset-offsets)"
        );
    }
}

/// A bounded source that took the answer to one question for both would find the partition empty.
#[test]
fn ends_that_a_leader_does_not_tell_make_no_partition_empty() {
    let kafka = kafka("words", 2, 3);
    kafka
        .with(|cluster| cluster.request_errors(Api::ListOffsets, &[Native::RD_KAFKA_RESP_ERR_UNKNOWN]))
        .unwrap();
    let open = || Reading::open(kafka.source().topic("words").no_commit().bounded(), 0, 1);
    let mut reading = match open() {
        Ok(reading) => reading,
        Err(error) => {
            assert!(error.to_string().starts_with("cannot read topic \"words\": "), "{error}");
            open().unwrap()
        }
    };
    reading.read_to_end().unwrap();
    assert_eq!(reading.got.0.len(), 6);
}

#[test]
fn a_topic_of_the_mock_is_made_once() {
    let error = kafka("words", 1, 1).create_topic("words", 1).unwrap_err().to_string();
    assert!(
        error.starts_with("topic \"words\" cannot be made: ") && error.ends_with("; rename it"),
        "{error}"
    );
}
