//! Reading: several topics, from where and until when, and what is kept of a message.

use bytes::Bytes;
use slotflow_io::kafka::{
    KafkaRecord, KafkaSource, KafkaWriter, Message, Messages, MockKafka, PartitionOffset, Preset, Start, Stop,
};
use slotflow_runtime::{Context, Output, Owned, Polled, Sink, Source};

use crate::harness::{Reading, add_lines, flush_all, kafka, lines, subtask, write};

/// The topics `orders-eu` of 3 partitions and `orders-us` of 2, each with two lines `p<partition>-<number>`.
fn orders() -> MockKafka {
    let kafka = kafka("orders-eu", 3, 2);
    kafka.create_topic("orders-us", 2).unwrap();
    add_lines(&kafka, "orders-us", 2, 0..2);
    kafka
}

/// What subtask `index` of 2 reads, as topic, partition and line, sorted.
fn read(source: KafkaSource, index: usize) -> Vec<(String, u32, String)> {
    let mut reading = Reading::open(source.no_commit().bounded(), index, 2).unwrap();
    reading.read_to_end().unwrap();
    let line = |payload: &Bytes| String::from_utf8(payload.to_vec()).unwrap();
    let told = reading.got.0.iter().map(|it| (it.topic.to_string(), it.partition, line(&it.payload)));
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    told
}

fn expected(parts: &[(&str, u32)]) -> Vec<(String, u32, String)> {
    let of = |(topic, partition): &(&str, u32)| {
        let (topic, partition) = (topic.to_string(), *partition);
        lines(partition, 0..2).into_iter().map(move |line| (topic.clone(), partition, line))
    };
    parts.iter().flat_map(of).collect()
}

#[test]
fn equal_partitions_of_several_topics_meet_on_one_subtask() {
    let kafka = orders();
    let source = || kafka.source().topics(["orders-us", "orders-eu"]);
    assert_eq!(read(source(), 0), expected(&[("orders-eu", 0), ("orders-eu", 2), ("orders-us", 0)]));
    assert_eq!(read(source(), 1), expected(&[("orders-eu", 1), ("orders-us", 1)]));
}

#[test]
fn a_pattern_reads_the_topics_that_fit_it() {
    let kafka = orders();
    kafka.create_topic("other", 1).unwrap();
    add_lines(&kafka, "other", 1, 0..2);
    let both: Vec<_> = (0..2).flat_map(|index| read(kafka.source().topics_like("orders-*"), index)).collect();
    assert_eq!(both.len(), 10);
    assert!(both.iter().all(|(topic, ..)| topic.starts_with("orders-")));
    let mut none = kafka.source().topics_like("prices-*").no_commit();
    let text = none.splits().unwrap_err().to_string();
    assert!(text.contains("fits \"prices-*\"; correct the pattern given to .topics_like(..)"), "{text}");
}

#[test]
fn offsets_of_several_topics_are_committed_and_read_again() {
    let kafka = orders();
    let source = || kafka.source().topics(["orders-eu", "orders-us"]).group("g").bounded();
    let mut first = Reading::open(source(), 0, 1).unwrap();
    let mut committer = slotflow_runtime::SourceReader::committer(&mut first.reader).unwrap();
    // Split 1 is partition 0 of the second topic, split 4 partition 2 of the first.
    committer.commit(&vec![(1, 2), (4, 1)]).unwrap();
    committer.finish().unwrap();
    let mut second = Reading::open(source(), 0, 1).unwrap();
    second.read_to_end().unwrap();
    let left = |topic: &str, partition| {
        let of = |it: &&slotflow_io::kafka::OwnedMessage| *it.topic == *topic && it.partition == partition;
        second.got.0.iter().filter(of).count()
    };
    assert_eq!([left("orders-us", 0), left("orders-eu", 2), left("orders-eu", 0)], [0, 1, 2]);
}

#[test]
fn a_source_begins_and_ends_at_the_offsets_it_is_told() {
    let kafka = kafka("words", 3, 6);
    let at = |partition, offset| PartitionOffset::new("words", partition, offset);
    let source = kafka.source().topic("words").no_commit();
    let source = source.starting(Start::Offsets(vec![at(0, 2), at(1, 4)]));
    let mut reading = Reading::open(source.until(Stop::Offsets(vec![at(0, 5), at(2, 0)])), 0, 1).unwrap();
    reading.read_to_end().unwrap();
    let got = [0, 1, 2].map(|partition| reading.got.of(partition));
    assert_eq!(got, [lines(0, 2..5), lines(1, 4..6), vec![]]);
}

#[test]
fn an_end_that_is_not_there_yet_is_waited_for() {
    let kafka = kafka("words", 1, 2);
    let end = Stop::Offsets(vec![PartitionOffset::new("words", 0, 4)]);
    let mut reading = Reading::open(kafka.source().topic("words").no_commit().until(end), 0, 1).unwrap();
    reading.read(2).unwrap();
    reading.poll_until(|_, polled| matches!(polled, Polled::Until(_))).unwrap();
    add_lines(&kafka, "words", 1, 2..6);
    reading.read_to_end().unwrap();
    assert_eq!(reading.got.of(0), lines(0, 0..4));
}

#[test]
fn a_named_offset_that_is_not_there_is_told() {
    let kafka = kafka("words", 1, 2);
    let start = Start::Offsets(vec![PartitionOffset::new("words", 0, 9)]);
    let source = kafka.source().topic("words").no_commit().starting(start);
    let text = Reading::open(source.bounded(), 0, 1).map(drop).unwrap_err().to_string();
    assert!(text.starts_with("topic \"words\", partition 0: offset 9 is no longer there"), "{text}");
}

#[test]
fn offsets_of_partitions_that_are_not_read_are_told() {
    let kafka = kafka("words", 1, 2);
    let at = PartitionOffset::new;
    let source = kafka.source().topic("words").no_commit();
    let source = source.starting(Start::Offsets(vec![at("wrods", 0, 1), at("words", 0, -1)]));
    let mut source = source.until(Stop::Offsets(vec![at("words", 1, 9), at("words", 0, 2)]));
    let remedy = "name partitions that there are, and offsets from 0";
    let line = |what: &str| format!("\n  - kafka(words): names {what}, which it cannot read; {remedy}");
    assert_eq!(
        source.splits().unwrap_err().to_string(),
        ["3 problems before the start".into()]
            .into_iter()
            .chain(["offset 1 of wrods-0", "offset -1 of words-0", "offset 9 of words-1"].map(line))
            .collect::<String>()
    );
}

#[test]
fn a_group_without_offsets_may_be_an_error() {
    let kafka = kafka("words", 1, 2);
    let source = || kafka.source().topic("words").starting(Start::Group);
    let text = Reading::open(source().group("new"), 0, 1).map(drop).unwrap_err().to_string();
    assert_eq!(
        text,
        "group \"new\" has no offset for topic \"words\", partition 0; begin with \
         .starting(Start::GroupOrEarliest) or Start::GroupOrLatest"
    );
    let text = source().no_commit().splits().unwrap_err().to_string();
    assert!(text.contains("begins where a group is, and has none"), "{text}");
}

fn writer(kafka: &MockKafka) -> KafkaWriter {
    Sink::<Owned<KafkaRecord>>::open(&mut kafka.sink().topic("words"), &subtask(0, 1)).unwrap()
}

#[test]
fn a_message_has_its_headers() {
    let kafka = kafka("words", 1, 0);
    let mut writer = writer(&kafka);
    write(&mut writer, KafkaRecord::new("a").header("n", "1").header("m", "").header("n", "2")).unwrap();
    write(&mut writer, KafkaRecord::new("b")).unwrap();
    flush_all(&mut writer).unwrap();
    let mut reading = Reading::open(kafka.source().topic("words").no_commit(), 0, 1).unwrap();
    reading.read(2).unwrap();
    let names: Vec<&str> = reading.got.0[0].headers.iter().map(|header| &*header.name).collect();
    assert_eq!((names, reading.got.0[1].headers.len()), (vec!["n", "m", "n"], 0));
    assert_eq!(&*reading.got.0[0].topic, "words");
}

/// Keeps the payloads without a copy, every second one twice, and looks at headers and decoders on the way.
#[derive(Default)]
struct Keeps(Vec<Bytes>, Vec<String>);

impl Output<Messages> for Keeps {
    fn push<'s>(&mut self, message: Message<'s>, _: &mut Context<'s>) {
        self.0.push(message.keep_bytes());
        if message.offset() % 2 == 0 {
            self.0.push(message.keep_bytes());
        }
        assert_eq!(message.payload().as_ptr(), self.0.last().unwrap().as_ptr(), "not copied");
        assert_eq!(message.header("none"), None);
        let failed = message.decode(|_| Err::<(), _>("not like this")).unwrap_err();
        self.1.push(failed.to_string());
    }
}

#[test]
fn payloads_are_kept_without_a_copy_beyond_batch_and_client() {
    let kafka = kafka("words", 1, 600);
    let mut keeps = Keeps::default();
    let source = kafka.source().topic("words").no_commit().bounded();
    let mut reading = Reading::open(source, 0, 1).unwrap();
    reading.poll_into(&mut keeps).unwrap();
    drop(reading);
    let mut texts: Vec<String> =
        keeps.0.iter().map(|kept| String::from_utf8(kept.to_vec()).unwrap()).collect();
    assert_eq!(texts.len(), 900);
    texts.dedup();
    assert_eq!(texts, lines(0, 0..600));
    assert_eq!(keeps.1[17], "bad record in words-0 at offset 17: not like this");
}

#[test]
fn the_settings_in_force_are_explained() {
    let source =
        KafkaSource::new("b:9092").topic("words").preset(Preset::Throughput).setting("check.crcs", false);
    let lines = source.prefetch_bytes(8 << 20).settings();
    assert!(lines[0].starts_with("throughput: fetch.wait.max.ms = 100, "), "{lines:?}");
    assert!(lines[0].contains("check.crcs = false, isolation.level = read_committed"), "{lines:?}");
    assert!(lines[1].contains("auto.offset.reset = error, "), "{lines:?}");
    assert_eq!(lines[2], "prefetch: 8192 KiB over all partitions");
}
