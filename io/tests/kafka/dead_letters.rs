//! Writing: records that Kafka refuses go to another sink, and none is lost on the way.

use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Native};
use slotflow_io::kafka::{DeadLetter, KafkaRecord, KafkaSink, KafkaWriter, MockKafka};
use slotflow_io::{Collected, callback};
use slotflow_runtime::{Acknowledged, Barrier, Owned, Sink, SinkWriter};

use crate::harness::{acknowledged, flush_all, kafka, subtask, wait_for, write};

type Records = Owned<KafkaRecord>;

fn open(mut sink: KafkaSink) -> KafkaWriter {
    Sink::<Records>::open(&mut sink, &subtask(0, 1)).unwrap()
}

fn texts(kafka: &MockKafka, topic: &str) -> Vec<String> {
    let messages = kafka.read(topic).unwrap().concat();
    messages.iter().map(|it| String::from_utf8(it.payload.to_vec()).unwrap()).collect()
}

fn refuse_once(kafka: &MockKafka, error: Native) {
    let errors = [error];
    kafka.with(move |cluster| cluster.request_errors(Api::Produce, &errors)).unwrap();
}

#[test]
fn an_oversize_record_becomes_a_letter_and_the_others_arrive() {
    let kafka = kafka("WORDS", 1, 0);
    let letters: Collected<DeadLetter> = Collected::new();
    let sink = kafka.sink().topic("WORDS").setting("message.max.bytes", 2_000).dead_letters(letters.sink());
    let mut writer = open(sink);
    write(&mut writer, KafkaRecord::new("before")).unwrap();
    write(&mut writer, KafkaRecord::new("x".repeat(3_000)).key("k").header("h", "v")).unwrap();
    write(&mut writer, KafkaRecord::new("behind")).unwrap();
    flush_all(&mut writer).unwrap();
    assert_eq!(texts(&kafka, "WORDS"), ["before", "behind"]);
    let letter = &letters.take()[0];
    assert_eq!((&*letter.topic, letter.key.as_deref()), ("WORDS", Some(&b"k"[..])));
    assert_eq!((letter.payload.as_ref().map(|it| it.len()), &*letter.headers[0].name), (Some(3_000), "h"));
    assert!(letter.error.starts_with("MessageSizeTooLarge"), "{}", letter.error);
}

#[test]
fn what_the_broker_refuses_becomes_a_letter_in_another_topic() {
    let kafka = kafka("WORDS", 1, 0);
    kafka.create_topic("refused", 1).unwrap();
    let letters = kafka.sink().topic("refused");
    let mut writer = open(kafka.sink().topic("WORDS").dead_letters(letters));
    refuse_once(&kafka, Native::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    write(&mut writer, KafkaRecord::new("large").key("k").header("h", "v")).unwrap();
    flush_all(&mut writer).unwrap();
    write(&mut writer, KafkaRecord::new("small")).unwrap();
    flush_all(&mut writer).unwrap();
    assert_eq!(
        (texts(&kafka, "WORDS"), texts(&kafka, "refused")),
        (vec!["small".into()], vec!["large".into()])
    );
    let letter = kafka.read("refused").unwrap().concat().pop().unwrap();
    let names: Vec<&str> = letter.headers.iter().map(|header| &*header.name).collect();
    assert_eq!(names, ["h", "slotflow.topic", "slotflow.error"]);
    assert_eq!(
        (letter.key.as_deref(), letter.headers[1].value.as_deref()),
        (Some(&b"k"[..]), Some(&b"WORDS"[..]))
    );
}

#[test]
fn a_barrier_waits_for_the_letters_of_the_records_before_it() {
    let kafka = kafka("WORDS", 1, 0);
    kafka.create_topic("refused", 1).unwrap();
    let letters = kafka.sink().topic("refused").setting("linger.ms", 60_000);
    let sink = kafka.sink().topic("WORDS").setting("message.max.bytes", 2_000).dead_letters(letters);
    let mut writer = open(sink);
    write(&mut writer, KafkaRecord::new("small")).unwrap();
    write(&mut writer, KafkaRecord::new("x".repeat(3_000))).unwrap();
    SinkWriter::<Records>::barrier(&mut writer, Barrier { id: 1 });
    write(&mut writer, KafkaRecord::new("behind")).unwrap();
    wait_for(|| {
        SinkWriter::<Records>::flush(&mut writer).unwrap();
        (texts(&kafka, "WORDS").len() == 2).then_some(())
    });
    (0..100).for_each(|_| SinkWriter::<Records>::flush(&mut writer).unwrap());
    assert_eq!(acknowledged(&mut writer), Acknowledged::UpTo(0), "the letter is still on its way");
}

#[test]
fn what_names_a_partition_or_a_topic_that_is_not_there_becomes_a_letter() {
    let kafka = kafka("WORDS", 1, 0);
    let letters: Collected<DeadLetter> = Collected::new();
    let sink = kafka.sink().topic("WORDS").dead_letters(letters.sink());
    let mut writer = open(sink.setting("topic.metadata.propagation.max.ms", 50));
    let unknown = Native::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    kafka.with(move |cluster| cluster.topic_error("nowhere", unknown)).unwrap().unwrap();
    write(&mut writer, KafkaRecord::new("no partition").partition(7)).unwrap();
    write(&mut writer, KafkaRecord::new("no number of one").partition(u32::MAX)).unwrap();
    write(&mut writer, KafkaRecord::new("no topic").topic("nowhere")).unwrap();
    write(&mut writer, KafkaRecord::new("here")).unwrap();
    flush_all(&mut writer).unwrap();
    let mut places: Vec<_> = letters.take().into_iter().map(|it| (it.topic, it.partition)).collect();
    places.sort_unstable();
    let at = |topic: &str, partition| (topic.to_owned(), partition);
    assert_eq!(places, [at("WORDS", Some(7)), at("WORDS", Some(u32::MAX)), at("nowhere", None)]);
    assert_eq!(texts(&kafka, "WORDS"), ["here"]);
}

#[test]
fn what_is_wrong_with_the_whole_topic_still_fails_the_job() {
    let kafka = kafka("WORDS", 1, 0);
    let letters = callback(|_: DeadLetter| panic!("nothing of this topic can be written"));
    let mut writer = open(kafka.sink().topic("WORDS").dead_letters(letters));
    refuse_once(&kafka, Native::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    write(&mut writer, KafkaRecord::new("x")).unwrap();
    SinkWriter::<Records>::barrier(&mut writer, Barrier { id: 1 });
    let text = flush_all(&mut writer).unwrap_err().to_string();
    assert!(text.starts_with("a record for topic \"WORDS\", partition 0 was not delivered"), "{text}");
    assert_eq!(acknowledged(&mut writer), Acknowledged::UpTo(0));
}

#[test]
fn a_letter_that_cannot_be_written_either_fails_the_job() {
    let kafka = kafka("WORDS", 1, 0);
    let letters = kafka.sink().topic("WORDS").setting("message.max.bytes", 2_500);
    let sink = kafka.sink().topic("WORDS").setting("message.max.bytes", 2_000).dead_letters(letters);
    let text = write(&mut open(sink), KafkaRecord::new("x".repeat(3_000))).unwrap_err().to_string();
    assert!(text.contains("is too large for topic \"WORDS\"") && text.contains("(now 2500 bytes)"), "{text}");
}

#[test]
fn dead_letters_that_have_no_topic_are_told_before_the_start() {
    let kafka = kafka("WORDS", 1, 0);
    let mut sink = kafka.sink().topic("WORDS").dead_letters(kafka.sink().topic("nowhere"));
    let text = Sink::<Records>::check(&mut sink).unwrap_err().to_string();
    assert!(text.starts_with("topic \"nowhere\" does not exist"), "{text}");
    assert!(Sink::<Records>::settings(&sink).contains(&"dead letters to kafka(nowhere)".into()));
}
