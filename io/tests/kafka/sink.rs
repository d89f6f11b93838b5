//! Writing: order, acknowledgements, backpressure, what is refused.

use std::sync::Arc;

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow_io::kafka::{Acks, IntoKafka, KafkaSink, KafkaWriter, Keyed, MockKafka, OwnedMessage};
use slotflow_runtime::metrics::Latencies;
use slotflow_runtime::slot::Park;
use slotflow_runtime::{
    Acknowledged, Barrier, Clock, Guarantee, LatencyMark, Owned, Sink, SinkWriter, SubtaskContext, Waker,
};

use crate::harness::{acknowledged, flush_all, kafka, lines, subtask, wait_for, write, write_at};

type Lines = Owned<String>;

fn open(mut sink: KafkaSink) -> KafkaWriter {
    Sink::<Lines>::open(&mut sink, &subtask(0, 1)).unwrap()
}

fn room(writer: &mut KafkaWriter) -> usize {
    SinkWriter::<Lines>::room(writer)
}

fn flush(writer: &mut KafkaWriter) -> slotflow_runtime::Result<()> {
    SinkWriter::<Lines>::flush(writer)
}

fn texts(messages: &[OwnedMessage]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8(message.payload.to_vec()).unwrap()).collect()
}

/// A writer that waits long for others to go with a record, so that nothing arrives at once.
fn lazy(kafka: &MockKafka) -> KafkaWriter {
    open(kafka.sink().topic("WORDS").setting("linger.ms", 60_000))
}

#[test]
fn records_arrive_in_order_and_are_acknowledged() {
    let kafka = kafka("WORDS", 1, 0);
    let sink = kafka.sink().topic("WORDS");
    let latency = sink.ack_latency();
    assert_eq!(Sink::<Lines>::guarantee(&sink), Guarantee::AtLeastOnce);
    let mut writer = open(sink);
    for line in lines(0, 0..500) {
        write(&mut writer, line).unwrap();
    }
    assert_ne!(acknowledged(&mut writer), Acknowledged::Everything);
    flush_all(&mut writer).unwrap();
    assert_eq!(texts(&kafka.read("WORDS").unwrap()[0]), lines(0, 0..500));
    assert_eq!((latency.since_write().count(), latency.since_dequeue().count()), (500, 0));
}

#[test]
fn the_record_behind_a_mark_is_timed_from_the_source_to_the_acknowledgement() {
    const SECOND_NS: u64 = 1_000_000_000;
    let kafka = kafka("WORDS", 1, 0);
    let mut sink = kafka.sink().topic("WORDS");
    let latency = sink.ack_latency();
    let place = SubtaskContext { clock: Clock::manual(), ..subtask(0, 1) };
    let mut writer = Sink::<Lines>::open(&mut sink, &place).unwrap();
    let mark = |writer: &mut KafkaWriter, sent_ns, now_ns| {
        SinkWriter::<Lines>::mark(writer, LatencyMark { sent_ns }, now_ns);
    };
    place.clock.advance(10 * SECOND_NS);
    // Taken by a source at 1 s, here at 9 s, acknowledged at 10 s; the second one is no longer the mark's.
    mark(&mut writer, SECOND_NS, 9 * SECOND_NS);
    write_at(&mut writer, "first".to_owned(), 9 * SECOND_NS).unwrap();
    write_at(&mut writer, "second".to_owned(), 9 * SECOND_NS).unwrap();
    // Nobody knows when the record of a later step was taken.
    mark(&mut writer, SECOND_NS, 8 * SECOND_NS);
    write_at(&mut writer, "later".to_owned(), 9 * SECOND_NS).unwrap();
    flush_all(&mut writer).unwrap();
    // A quantile is the upper end of a bucket, which is a quarter wide.
    let within = |latencies: &Latencies, seconds: u64| {
        (seconds * SECOND_NS..seconds * SECOND_NS * 5 / 4).contains(&latencies.quantile_ns(0.5))
    };
    let (from_source, from_here) = (latency.since_dequeue(), latency.since_write());
    assert!(from_source.count() == 1 && within(&from_source, 9), "{from_source:?}");
    assert!(from_here.count() == 2 && within(&from_here, 1), "{from_here:?}");
}

#[test]
fn a_barrier_has_arrived_when_everything_before_it_has() {
    let kafka = kafka("WORDS", 1, 0);
    let mut writer = lazy(&kafka);
    write(&mut writer, "before".to_owned()).unwrap();
    SinkWriter::<Lines>::barrier(&mut writer, Barrier { id: 1 });
    write(&mut writer, "behind".to_owned()).unwrap();
    assert_eq!(acknowledged(&mut writer), Acknowledged::UpTo(0));
    drop(writer);
    let mut writer = open(kafka.sink().topic("WORDS"));
    write(&mut writer, "before".to_owned()).unwrap();
    SinkWriter::<Lines>::barrier(&mut writer, Barrier { id: 1 });
    flush_all(&mut writer).unwrap();
    assert_eq!(acknowledged(&mut writer), Acknowledged::Everything);
}

#[test]
fn a_full_queue_is_backpressure_and_neither_loses_nor_reorders() {
    let kafka = kafka("WORDS", 1, 0);
    let mut writer = open(kafka.sink().topic("WORDS").setting("queue.buffering.max.messages", 10));
    assert_eq!(room(&mut writer), 1, "whether what is let in expands is not known yet");
    let mut waiting = lines(0, 0..500).into_iter();
    // A step may expand to more than the room there was: those wait in the writer.
    (0..25).for_each(|_| write(&mut writer, waiting.next().unwrap()).unwrap());
    assert_eq!(room(&mut writer), 0);
    wait_for(|| {
        flush(&mut writer).unwrap();
        let room = room(&mut writer);
        waiting.by_ref().take(room).for_each(|line| write(&mut writer, line).unwrap());
        (waiting.len() == 0).then_some(())
    });
    flush_all(&mut writer).unwrap();
    assert_eq!(room(&mut writer), 10);
    assert_eq!(texts(&kafka.read("WORDS").unwrap()[0]), lines(0, 0..500));
}

#[test]
fn what_waits_beyond_the_promised_room_is_bounded_and_its_barrier_never_arrives() {
    let kafka = kafka("WORDS", 1, 0);
    let sink = kafka.sink().topic("WORDS").setting("linger.ms", 60_000);
    let place = SubtaskContext { overflow_bytes: 10_000, ..subtask(0, 1) };
    let mut writer =
        Sink::<Lines>::open(&mut sink.setting("queue.buffering.max.messages", 5), &place).unwrap();
    assert_eq!(room(&mut writer), 1);
    let refused = (0..1_000).find_map(|_| write(&mut writer, "x".repeat(100)).err());
    let text = refused.unwrap().to_string();
    assert!(
        text.contains("wait for room in the sink, more than edges.overflow_bytes = 10000 allows"),
        "{text}"
    );
    SinkWriter::<Lines>::barrier(&mut writer, Barrier { id: 1 });
    assert_eq!(acknowledged(&mut writer), Acknowledged::UpTo(0));
}

#[test]
fn a_queue_that_is_full_of_bytes_is_backpressure_too() {
    let kafka = kafka("WORDS", 1, 0);
    let mut writer = open(kafka.sink().topic("WORDS").setting("queue.buffering.max.kbytes", 1));
    let line = |n: u32| format!("{n:0>400}");
    (0..40).for_each(|n| write(&mut writer, line(n)).unwrap());
    assert_eq!(room(&mut writer), 0);
    flush_all(&mut writer).unwrap();
    assert_eq!(texts(&kafka.read("WORDS").unwrap()[0]), (0..40).map(line).collect::<Vec<_>>());
}

#[test]
fn a_small_record_does_not_overtake_a_large_one_that_waits() {
    let kafka = kafka("WORDS", 1, 0);
    let mut writer = open(kafka.sink().topic("WORDS").setting("queue.buffering.max.kbytes", 1));
    let written: Vec<String> = [900, 800, 1, 700, 2].map(|size| "x".repeat(size)).into();
    written.iter().for_each(|line| write(&mut writer, line.clone()).unwrap());
    flush_all(&mut writer).unwrap();
    assert_eq!(texts(&kafka.read("WORDS").unwrap()[0]), written);
}

#[test]
fn an_acknowledgement_wakes_the_slot() {
    let kafka = kafka("WORDS", 1, 0);
    let park = Arc::new(Park::default());
    let place = SubtaskContext { waker: Waker::new(park.clone()), ..subtask(0, 1) };
    let mut writer = Sink::<Lines>::open(&mut kafka.sink().topic("WORDS"), &place).unwrap();
    park.prepare();
    write(&mut writer, "one".to_owned()).unwrap();
    wait_for(|| (!park.is_asleep()).then_some(()));
    flush_all(&mut writer).unwrap();
}

#[test]
fn keys_choose_the_partition_as_javas_client_does() {
    let kafka = kafka("WORDS", 8, 0);
    let mut writer = open(kafka.sink().topic("WORDS"));
    for key in ["kafka", "flink", "slot", "edge"] {
        write(&mut writer, Keyed { key, payload: "x" }).unwrap();
    }
    flush_all(&mut writer).unwrap();
    let partitions = kafka.read("WORDS").unwrap();
    let place = |key: &str| {
        let holds = |messages: &Vec<OwnedMessage>| {
            messages.iter().any(|it| it.key.as_deref() == Some(key.as_bytes()))
        };
        partitions.iter().position(holds).unwrap()
    };
    // Java's `toPositive(murmur2(key)) % 8`, worked out by hand.
    assert_eq!(["kafka", "flink", "slot", "edge"].map(place), [4, 0, 0, 5]);
}

/// A record that says everything by itself.
struct Tombstone(&'static str, u32);

impl IntoKafka for Tombstone {
    fn payload(&self) -> &[u8] {
        &[]
    }
    fn key(&self) -> Option<&[u8]> {
        Some(self.0.as_bytes())
    }
    fn partition(&self) -> Option<u32> {
        Some(self.1)
    }
    fn is_tombstone(&self) -> bool {
        true
    }
}

#[test]
fn a_record_may_name_its_partition_and_be_a_tombstone() {
    let kafka = kafka("WORDS", 3, 0);
    let mut writer = open(kafka.sink().topic("WORDS"));
    write(&mut writer, Tombstone("gone", 2)).unwrap();
    write(&mut writer, Keyed { key: "empty", payload: "" }).unwrap();
    flush_all(&mut writer).unwrap();
    let messages = kafka.read("WORDS").unwrap().concat();
    let tombstone = |key: &str| messages.iter().find(|it| it.key.as_deref() == Some(key.as_bytes())).unwrap();
    assert_eq!((tombstone("gone").tombstone, tombstone("gone").partition), (true, 2));
    assert!(!tombstone("empty").tombstone);
}

#[test]
fn an_oversize_record_is_told_with_size_topic_and_setting() {
    let kafka = kafka("WORDS", 1, 0);
    let mut writer = open(kafka.sink().topic("WORDS").setting("message.max.bytes", 2_000));
    assert_eq!(
        write(&mut writer, "x".repeat(3_000)).unwrap_err().to_string(),
        "a record of 3000 bytes is too large for topic \"WORDS\"; raise the sink's setting \
         `message.max.bytes` (now 2000 bytes) and the topic's `max.message.bytes`, or split the record"
    );
}

#[test]
fn a_record_that_the_broker_finds_too_large_is_told_alike() {
    let kafka = kafka("WORDS", 1, 0);
    let refused = [Native::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE];
    kafka.with(move |cluster| cluster.request_errors(Api::Produce, &refused)).unwrap();
    let mut writer = open(kafka.sink().topic("WORDS"));
    write(&mut writer, "x".repeat(3_000)).unwrap();
    let text = flush_all(&mut writer).unwrap_err().to_string();
    assert!(text.starts_with("a record of 3000 bytes is too large for topic \"WORDS\"; raise "), "{text}");
}

#[test]
fn a_record_that_is_not_delivered_fails_the_job_and_its_barrier_never_arrives() {
    let kafka = kafka("WORDS", 1, 0);
    let refused = [Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    kafka.with(move |cluster| cluster.request_errors(Api::Produce, &refused)).unwrap();
    let mut writer = open(kafka.sink().topic("WORDS"));
    write(&mut writer, "lost".to_owned()).unwrap();
    SinkWriter::<Lines>::barrier(&mut writer, Barrier { id: 1 });
    assert_eq!(
        flush_all(&mut writer).unwrap_err().to_string(),
        "a record for topic \"WORDS\", partition 0 was not delivered: TopicAuthorizationFailed (Broker: \
         Topic authorization failed); allow this principal the operations Write and Describe on the topic"
    );
    assert_eq!(acknowledged(&mut writer), Acknowledged::UpTo(0));
}

#[test]
fn a_request_that_must_be_repeated_writes_nothing_twice() {
    let kafka = kafka("WORDS", 1, 0);
    let again = [Native::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, Native::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT];
    kafka.with(move |cluster| cluster.request_errors(Api::Produce, &again)).unwrap();
    let mut writer = open(kafka.sink().topic("WORDS"));
    lines(0, 0..100).into_iter().for_each(|line| write(&mut writer, line).unwrap());
    flush_all(&mut writer).unwrap();
    assert_eq!(texts(&kafka.read("WORDS").unwrap()[0]), lines(0, 0..100));
}

#[test]
fn the_leaders_word_can_be_enough() {
    let kafka = kafka("WORDS", 1, 0);
    let sink = kafka.sink().topic("WORDS").acks(Acks::Leader);
    assert_eq!(Sink::<Lines>::guarantee(&sink), Guarantee::BestEffort);
    let mut writer = open(sink);
    write(&mut writer, "one".to_owned()).unwrap();
    flush_all(&mut writer).unwrap();
    assert_eq!(texts(&kafka.read("WORDS").unwrap()[0]), ["one"]);
}
