//! Formats over Kafka: the same as over files and sockets.

use slotflow::io::formats::{decode, decode_or_skip, encode, json};
use slotflow::io::kafka::MockKafka;
use slotflow::prelude::*;
use slotflow::runtime::IoCores;

use super::folder::environment;

#[test]
fn a_payload_of_kafka_is_decoded_encoded_and_named_where_it_is_malformed() {
    let kafka = MockKafka::start(&IoCores::default()).unwrap();
    for topic in ["numbers", "doubled"] {
        kafka.create_topic(topic, 1).unwrap();
    }
    kafka.fill("numbers", ["1", "x", "3"].map(|line| (0, line.to_owned()))).unwrap();
    let numbers = || kafka.source().topic("numbers").no_commit().bounded();

    let env = environment();
    env.source(numbers()).then("json", decode(json::<u32>())).sink(callback(|_| ()));
    let error = env.run("fails").unwrap_err().to_string();
    assert!(error.contains("bad record in numbers-0 at offset 1: expected value"), "{error}");

    let env = environment();
    env.source(numbers())
        .then("json", decode_or_skip(json::<u32>()))
        .map(|n| n * 2)
        .then("json", encode(json::<u32>()))
        .sink(kafka.sink().topic("doubled"));
    env.run("doubled").unwrap();
    let doubled = kafka.source().topic("doubled").no_commit().bounded();
    let (env, results) = (environment(), Collected::new());
    env.source(doubled).then("json", decode(json::<u32>())).sink(results.sink());
    env.run("read").unwrap();
    assert_eq!(results.take(), [2, 6]);
}
