//! Writing: what a record may say of itself, and where it goes.

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow_io::kafka::{
    Header, KafkaRecord, KafkaSink, KafkaWriter, MockKafka, OwnedHeader, OwnedMessage, Partitioner, Preset,
};
use slotflow_runtime::{Owned, Sink};

use crate::harness::{flush_all, kafka, subtask, wait_for, write};

fn open(mut sink: KafkaSink) -> KafkaWriter {
    Sink::<Owned<KafkaRecord>>::open(&mut sink, &subtask(0, 1)).unwrap()
}

/// The partition in which each key has arrived.
fn places(kafka: &MockKafka, partitioner: Partitioner, keys: &[&str]) -> Vec<u32> {
    let mut writer = open(kafka.sink().topic("WORDS").partitioner(partitioner));
    for key in keys {
        write(&mut writer, KafkaRecord::new("x").key(key.as_bytes().to_vec())).unwrap();
    }
    flush_all(&mut writer).unwrap();
    let messages = kafka.read("WORDS").unwrap().concat();
    let place = |key: &&str| messages.iter().find(|it| it.key.as_deref() == Some(key.as_bytes())).unwrap();
    keys.iter().map(|key| place(key).partition).collect()
}

/// The hashes are those of `UtilsTest.testMurmur2` of Apache Kafka; the empty key is hashed as well.
#[test]
fn keys_go_where_javas_producer_puts_them() {
    const KNOWN: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let kafka = kafka("WORDS", 31, 0);
    let java = |hash: i32| (hash & i32::MAX) as u32 % 31;
    let found = places(&kafka, Partitioner::Java, &KNOWN.map(|(key, _)| key));
    assert_eq!(found, KNOWN.map(|(_, hash)| java(hash)));
    assert_eq!(places(&kafka, Partitioner::Java, &[""]), [java(275_646_681)]);
}

/// CRC32 of the key, as `zlib.crc32` gives it.
#[test]
fn keys_go_where_librdkafkas_other_clients_put_them() {
    let kafka = kafka("WORDS", 31, 0);
    let found = places(&kafka, Partitioner::Librdkafka, &["kafka", "flink"]);
    assert_eq!(found, [1_539_077_399 % 31, 3_350_737_693 % 31]);
}

fn all(kafka: &MockKafka, topic: &str) -> Vec<OwnedMessage> {
    kafka.read(topic).unwrap().concat()
}

#[test]
fn a_record_says_everything_about_itself() {
    let kafka = kafka("WORDS", 3, 0);
    let mut writer = open(kafka.sink().topic("WORDS"));
    let record = KafkaRecord::new("payload").key("key").partition(2).timestamp_ms(1_700_000_000_123);
    write(&mut writer, record.header("a", "1").header("b", "").header("a", "2")).unwrap();
    flush_all(&mut writer).unwrap();
    let message = all(&kafka, "WORDS").pop().unwrap();
    assert_eq!((&message.payload[..], message.key.as_deref()), (&b"payload"[..], Some(&b"key"[..])));
    assert_eq!((message.partition, message.timestamp_ms), (2, Some(1_700_000_000_123)));
    let headers: Vec<Header<'_>> = message.headers.iter().map(OwnedHeader::borrow).collect();
    assert_eq!(headers, [Header::new("a", "1"), Header::new("b", ""), Header::new("a", "2")]);
}

#[test]
fn a_record_may_be_a_tombstone_with_headers_and_one_for_another_topic() {
    let kafka = kafka("WORDS", 1, 0);
    kafka.create_topic("other", 1).unwrap();
    let mut writer = open(kafka.sink().topic("WORDS"));
    write(&mut writer, KafkaRecord::tombstone("gone").header("by", "me")).unwrap();
    write(&mut writer, KafkaRecord::new("there").topic("other")).unwrap();
    flush_all(&mut writer).unwrap();
    let [here, there] = ["WORDS", "other"].map(|topic| all(&kafka, topic));
    assert!(here[0].tombstone && here[0].headers.len() == 1 && here.len() == 1);
    assert_eq!((&there[0].payload[..], &*there[0].topic, there.len()), (&b"there"[..], "other", 1));
}

#[test]
fn what_waits_for_room_keeps_everything_it_says() {
    let kafka = kafka("WORDS", 2, 0);
    kafka.create_topic("other", 2).unwrap();
    let mut writer = open(kafka.sink().topic("WORDS").setting("queue.buffering.max.messages", 1));
    let record = |n: i64| {
        let topic = ["WORDS", "other"][n as usize % 2];
        KafkaRecord::new(n.to_string())
            .topic(topic)
            .timestamp_ms(n + 1)
            .header("n", n.to_string())
            .partition(1)
    };
    (0..20).for_each(|n| write(&mut writer, record(n)).unwrap());
    flush_all(&mut writer).unwrap();
    for (topic, first) in [("WORDS", 0), ("other", 1)] {
        for (message, n) in all(&kafka, topic).iter().zip((first..20).step_by(2)) {
            assert_eq!((&message.payload[..], message.timestamp_ms), (n.to_string().as_bytes(), Some(n + 1)));
            assert_eq!(message.headers[0].value.as_deref(), Some(n.to_string().as_bytes()));
            assert_eq!(message.partition, 1);
        }
        assert_eq!(all(&kafka, topic).len(), 10);
    }
}

/// A broker that does not know the producer takes the second request although it has refused the first, and librdkafka
/// concludes that both have arrived.
#[test]
fn a_first_record_that_was_only_concluded_to_have_arrived_fails_the_job() {
    let kafka = kafka("WORDS", 1, 0);
    let not_yet = [Native::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION];
    let mut writer = open(kafka.sink().topic("WORDS").setting("batch.num.messages", 1));
    kafka.with(move |cluster| cluster.request_errors(Api::Produce, &not_yet)).unwrap();
    // So long that the later requests are under way when the first is refused.
    let round_trip = std::time::Duration::from_millis(100);
    kafka.with(move |cluster| cluster.broker_round_trip_time(1, round_trip)).unwrap().unwrap();
    (0..5).for_each(|n| write(&mut writer, KafkaRecord::new(n.to_string())).unwrap());
    let outcome = flush_all(&mut writer);
    let arrived = all(&kafka, "WORDS").len();
    match outcome {
        Ok(()) => assert_eq!(arrived, 5),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("may have lost this one") && arrived < 5, "{arrived}: {text}");
        }
    }
}

#[test]
fn a_topic_that_cannot_be_one_is_told() {
    let kafka = kafka("WORDS", 1, 0);
    let mut writer = open(kafka.sink().topic("WORDS"));
    let text = write(&mut writer, KafkaRecord::new("x").topic("a\0b")).unwrap_err().to_string();
    assert_eq!(text, "a record names the topic \"a\\0b\", which cannot be one; correct its `topic`");
}

#[test]
fn more_topics_than_a_sink_may_have_are_told() {
    let kafka = kafka("WORDS", 1, 0);
    let mut writer = open(kafka.sink().topic("WORDS"));
    let mut named = (1..2_000).map(|n| write(&mut writer, KafkaRecord::new("x").topic(format!("t{n}"))));
    let error = named.find_map(|written| written.err()).unwrap();
    assert_eq!(error.to_string(), "records name more than 1024 topics; write fewer topics with one sink");
}

#[test]
fn a_record_for_a_topic_that_is_not_there_fails_the_job_and_names_it() {
    let kafka = kafka("WORDS", 1, 0);
    let sink = kafka.sink().topic("WORDS").setting("topic.metadata.propagation.max.ms", 50);
    let mut writer = open(sink.setting("topic.metadata.refresh.interval.ms", 50));
    let unknown = Native::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    kafka.with(move |cluster| cluster.topic_error("nowhere", unknown)).unwrap().unwrap();
    write(&mut writer, KafkaRecord::new("x").topic("nowhere")).unwrap();
    let text = wait_for(|| flush_all(&mut writer).err()).to_string();
    assert!(text.starts_with("a record for topic \"nowhere\" was not delivered: Unknown"), "{text}");
    assert!(text.ends_with("check that the topic was not deleted or made anew"), "{text}");
}

#[test]
fn the_settings_in_force_are_explained() {
    let sink =
        KafkaSink::new("b:9092").topic("WORDS").setting("linger.ms", 3).setting("sasl.password", "canary");
    let lines = Sink::<Owned<String>>::settings(&sink);
    assert!(lines[0].starts_with("low latency: linger.ms = 3, compression.type = none, "), "{lines:?}");
    assert_eq!(lines[2], "also set: sasl.password");
    let throughput = KafkaSink::new("b:9092").topic("WORDS").preset(Preset::Throughput);
    let lines = Sink::<Owned<String>>::settings(&throughput);
    assert!(lines[0].starts_with("throughput: linger.ms = 20, compression.type = lz4, "), "{lines:?}");
}
