//! What a running job says when a record, a closure or a broker spoils it, to the letter; and that nothing is lost
//! by it: a second run, with the reason gone, brings every line.
//!
//! What is found before the start has its texts in `io/tests/kafka/failures.rs` and in `kafka_uppercase.rs`.
#![allow(clippy::unwrap_used)]

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow::io::kafka::{KafkaSettings, KafkaSink, Message, MockKafka};
use slotflow::runtime::IoCores;
use slotflow::{Config, Environment, Error, Result};

/// A broker with these lines in partition 0 of `words`.
fn broker(lines: &[&[u8]]) -> MockKafka {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    kafka.create_topic("words", 1).unwrap();
    kafka.create_topic("WORDS", 1).unwrap();
    kafka.fill("words", lines.iter().map(|line| (0, line))).unwrap();
    kafka
}

/// Runs `read -> upper -> write` to the end of `words`.
fn run(
    kafka: &MockKafka,
    sink: KafkaSink,
    upper: impl Fn(Message<'_>) -> Result<Vec<u8>> + Clone + Send + 'static,
) -> Result<()> {
    let mut config = Config::default();
    config.job.commit_interval_ms = 10;
    let env = Environment::with(config);
    let source = kafka.source().topic("words").group("upper").bounded();
    env.source(source).name("read").try_map(upper).name("upper").sink(sink.topic("WORDS")).name("write");
    env.run("messages").map(drop)
}

fn upper(line: Message<'_>) -> Result<Vec<u8>> {
    Ok(line.payload().to_ascii_uppercase())
}

/// Runs the job again, with nothing in its way: then every line must be there.
fn nothing_is_lost(kafka: &MockKafka, lines: &[&[u8]]) {
    run(kafka, kafka.sink(), upper).unwrap();
    let written = kafka.read("WORDS").unwrap().concat();
    for line in lines {
        let line = line.to_ascii_uppercase();
        assert!(written.iter().any(|message| message.payload == line), "{line:?} is not in {written:?}");
    }
}

/// The next requests of this kind are refused.
fn refuse(kafka: &MockKafka, requests: Api, error: Native) {
    kafka.with(move |cluster| cluster.request_errors(requests, &[error])).unwrap();
}

const LINES: [&[u8]; 3] = [b"one", b"two", b"three"];

#[test]
fn poison_bytes_are_named_by_partition_and_offset() {
    let lines: [&[u8]; 3] = [b"one", b"tw\xff", b"three"];
    let kafka = broker(&lines);
    let error = run(&kafka, kafka.sink(), |line| Ok(line.text()?.to_uppercase().into_bytes())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "operator \"upper\", subtask 0: bad record in words-0 at offset 1: invalid utf-8 sequence of 1 bytes \
         from index 2"
    );
    nothing_is_lost(&kafka, &lines);
}

#[test]
fn a_panic_is_told_with_its_text() {
    let kafka = broker(&LINES);
    let error = run(&kafka, kafka.sink(), |line| {
        assert_ne!(line.payload(), b"two", "not today");
        upper(line)
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "operator \"upper\", subtask 0: panicked: assertion `left != right` failed: not today\n  \
         left: [116, 119, 111]\n right: [116, 119, 111]"
    );
    nothing_is_lost(&kafka, &LINES);
}

#[test]
fn an_oversize_record_is_told_with_size_and_settings() {
    let long = [b'x'; 3_000];
    let lines: [&[u8]; 3] = [b"one", &long, b"three"];
    let kafka = broker(&lines);
    let error = run(&kafka, kafka.sink().setting("message.max.bytes", 2_000), upper).unwrap_err();
    assert_eq!(
        error.to_string(),
        "operator \"write\", subtask 0: a record of 3000 bytes is too large for topic \"WORDS\"; raise the \
         sink's setting `message.max.bytes` (now 2000 bytes) and the topic's `max.message.bytes`, or split the \
         record"
    );
    nothing_is_lost(&kafka, &lines);
}

#[test]
fn a_right_to_write_that_is_taken_away_is_named() {
    let kafka = broker(&LINES);
    refuse(&kafka, Api::Produce, Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(
        run(&kafka, kafka.sink(), upper).unwrap_err().to_string(),
        "operator \"write\", subtask 0: a record for topic \"WORDS\", partition 0 was not delivered: \
         TopicAuthorizationFailed (Broker: Topic authorization failed); allow this principal the operations \
         Write and Describe on the topic"
    );
    nothing_is_lost(&kafka, &LINES);
}

#[test]
fn a_right_to_read_that_is_taken_away_is_named() {
    let kafka = broker(&LINES);
    refuse(&kafka, Api::Fetch, Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(
        run(&kafka, kafka.sink(), upper).unwrap_err().to_string(),
        "operator \"read\", subtask 0: this principal may not read topic \"words\"; allow it the operations \
         Read and Describe on the topic"
    );
    nothing_is_lost(&kafka, &LINES);
}

#[test]
fn a_right_to_commit_that_is_taken_away_is_named() {
    let kafka = broker(&LINES);
    refuse(&kafka, Api::OffsetCommit, Native::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    assert_eq!(
        run(&kafka, kafka.sink(), upper).unwrap_err().to_string(),
        "this principal may not use group \"upper\"; allow it the operation Read on the group, or read without \
         committing: .no_commit()"
    );
    nothing_is_lost(&kafka, &LINES);
}

/// What a password says is in no text that a job gives: its explanation in any form, its error, its metrics.
#[test]
fn no_text_of_a_job_holds_a_password() {
    let kafka = broker(&LINES);
    let secret = KafkaSettings::new().set("sasl.password", "canary").set("sasl.username", "canary");
    let env = Environment::with(Config::default());
    let source = kafka.source().with_settings(&secret).topic("words").group("upper").bounded();
    let fails =
        |line: Message<'_>| if line.payload() == b"two" { Err(Error::user("no")) } else { upper(line) };
    env.source(source).try_map(fails).sink(kafka.sink().with_settings(&secret).topic("WORDS"));
    let explained = env.explain().unwrap();
    let mut told = format!("{explained}{explained:?}{}{}", explained.dot(), explained.json());
    let job = env.start("secret").unwrap();
    told += &format!("{:?}", job.metrics());
    let error = job.wait().unwrap_err();
    told += &format!("{error}{error:?}{secret:?}");
    assert!(told.contains("sasl.password") && !told.contains("canary"), "{told}");
}
