//! The main job against the Kafka that `KAFKA_BOOTSTRAP` names (`scripts/kafka up` starts one). Without
//! the variable nothing is checked, and the tests say so.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "kafka_real/faults.rs"]
mod faults;
mod kafka;
#[path = "kafka_real/scale_out.rs"]
mod scale_out;
#[path = "kafka_real/security.rs"]
mod security;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka::process::Process;
use kafka::{PARTITIONS, Topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use slotflow::io::kafka::{
    DeadLetter, KafkaRecord, KafkaSink, KafkaSource, Message, Start, Stop, fill_topic, read_topic,
};
use slotflow::prelude::*;
use slotflow::runtime::IoCores;

/// What a broker may take for a transaction.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test with topics of its own, if there is a broker.
fn with_topics(name: &str, test: impl FnOnce(&Topics)) {
    with_topics_of(name, "1000000", test);
}

/// As `with_topics`, where the topics refuse requests that are larger.
fn with_topics_of(name: &str, most_bytes: &str, test: impl FnOnce(&Topics)) {
    let Ok(brokers) = std::env::var("KAFKA_BOOTSTRAP") else {
        println!("checked nothing: KAFKA_BOOTSTRAP names no broker (scripts/kafka up starts one)");
        return;
    };
    with_topics_at(&brokers, name, most_bytes, test);
}

/// As `with_topics_of`, at this broker.
fn with_topics_at(brokers: &str, name: &str, most_bytes: &str, test: impl FnOnce(&Topics)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let (input, output) = (format!("{name}-{now}-in"), format!("{name}-{now}-out"));
    let admin = make_topics(brokers, &[(&input, PARTITIONS), (&output, 3)], most_bytes);
    let topics = Topics { brokers: brokers.into(), input, output, fetch_wait_ms: 10 };
    // The broker says yes before its partitions answer, and a first request that it refuses fails the job.
    for topic in [&topics.input, &topics.output] {
        assert!(read_topic(&IoCores::default(), &topics.brokers, topic).unwrap().concat().is_empty());
    }
    test(&topics);
    let gone = block_on(admin.delete_topics(&[&topics.input, &topics.output], &AdminOptions::new()));
    gone.unwrap().into_iter().for_each(|topic| drop(topic.unwrap()));
}

/// Makes topics with so many partitions each, and gives who can take them away.
fn make_topics(
    brokers: &str,
    topics: &[(&String, u32)],
    most_bytes: &str,
) -> AdminClient<DefaultClientContext> {
    let new = topics.iter().map(|(name, count)| {
        let topic = NewTopic::new(name, *count as i32, TopicReplication::Fixed(1));
        topic.set("max.message.bytes", most_bytes)
    });
    let new: Vec<NewTopic<'_>> = new.collect();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let made = block_on(admin.create_topics(&new, &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|topic| drop(topic.unwrap()));
    admin
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = task::Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

/// Wakes the thread that waits: the broker is on the same cores, and needs the time that asking on and on would take.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
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
fn offsets_are_never_ahead_of_files_that_have_their_names() {
    with_topics("files", kafka::files::offsets_are_never_ahead_of_files_that_have_their_names);
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

/// Writes one record for each of these, through a job.
fn write(topics: &Topics, sink: KafkaSink, records: Vec<KafkaRecord>) {
    let env = Environment::new().unwrap();
    env.source(from_iterator(records)).sink(sink.topic(&topics.output));
    env.run("write").unwrap();
}

/// The mock broker knows no times, so this is for a real one alone.
#[test]
fn a_source_begins_and_ends_at_a_time() {
    const NOON_MS: i64 = 1_700_000_000_000;
    with_topics("times", |topics| {
        let record = |n: i64| {
            let record = KafkaRecord::new(n.to_string()).partition(n as u32 % 3).timestamp_ms(NOON_MS + n);
            record.header("n", n.to_string())
        };
        write(topics, KafkaSink::new(&topics.brokers), (0..60).map(record).collect());
        let read = |start, stop| {
            let (env, numbers) = (Environment::new().unwrap(), Collected::new());
            let source = KafkaSource::new(&topics.brokers).topic(&topics.output).no_commit();
            let number = |message: Message<'_>| {
                assert_eq!(message.header("n"), Some(message.payload()));
                message
                    .decode(|bytes| std::str::from_utf8(bytes).map(|text| text.parse::<i64>()))?
                    .map_err(Error::user)
            };
            env.source(source.starting(start).until(stop)).try_map(number).sink(numbers.sink());
            env.run("read").unwrap();
            let mut numbers = numbers.take();
            numbers.sort_unstable();
            numbers
        };
        let from_to = |from, to| read(Start::Timestamp(NOON_MS + from), Stop::Timestamp(NOON_MS + to));
        assert_eq!(from_to(20, 40), (20..40).collect::<Vec<_>>());
        assert_eq!(from_to(-5, 1_000), (0..60).collect::<Vec<_>>());
        assert_eq!(from_to(1_000, 2_000), Vec::<i64>::new());
    });
}

/// The mock broker's topics do not grow, so this is for a real one alone.
#[test]
fn partitions_that_come_while_a_job_runs_are_read_and_committed() {
    with_topics("grown", |topics| {
        grows(topics, topics.source().discover_every(Duration::from_millis(20)));
    });
    with_topics("grown-group", |topics| {
        let member = topics.source().spread_by_group();
        grows(topics, member.setting("topic.metadata.refresh.interval.ms", 20));
    });
}

/// The group has offsets of what was there at the start, and of that alone.
fn grows(topics: &Topics, source: KafkaSource) {
    topics.fill(0..700);
    topics.uppercase(topics.source().bounded()).wait().unwrap();
    topics.fill(700..800);
    let job = topics.uppercase(source.starting(Start::Group));
    topics.wait_for(&job, 100);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &topics.brokers).create().unwrap();
    let more = NewPartitions::new(&topics.input, PARTITIONS as usize + 3);
    block_on(admin.create_partitions(&[more], &AdminOptions::new())).unwrap().remove(0).unwrap();
    // The broker says yes before it knows them itself.
    let known = || admin.inner().fetch_metadata(Some(&topics.input), PATIENCE).unwrap();
    while known().topics()[0].partitions().len() < PARTITIONS as usize + 3 {
        std::thread::yield_now();
    }
    let line = |n: u32| (PARTITIONS + n % 3, format!("line {n}"));
    fill_topic(&IoCores::default(), &topics.brokers, &topics.input, (800..1_100).map(line)).unwrap();
    topics.wait_for(&job, 400);
    job.drain(PATIENCE).unwrap();
    let again = topics.uppercase(topics.source().bounded()).wait().unwrap();
    assert_eq!((again.records, topics.compare(0..1_100)), (0, (vec![], vec![])));
}

/// librdkafka takes half a minute to be sure.
#[test]
fn a_topic_that_is_deleted_while_it_is_read_fails_the_job_by_its_name() {
    with_topics("deleted", |topics| deleted(topics, topics.source()));
    with_topics("deleted-group", |topics| {
        let member = topics.source().spread_by_group();
        deleted(topics, member.setting("topic.metadata.refresh.interval.ms", 1_000));
    });
}

fn deleted(topics: &Topics, source: KafkaSource) {
    topics.fill(0..100);
    let job = topics.uppercase(source);
    topics.wait_for(&job, 100);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &topics.brokers).create().unwrap();
    block_on(admin.delete_topics(&[&topics.input], &AdminOptions::new())).unwrap().remove(0).unwrap();
    let text = job.wait().unwrap_err().to_string();
    assert!(text.contains(&topics.input) && text.contains("; "), "{text}");
    // What ran the test deletes it again.
    let again = NewTopic::new(&topics.input, 1, TopicReplication::Fixed(1));
    block_on(admin.create_topics([&again], &AdminOptions::new())).unwrap().remove(0).unwrap();
}

/// Runs a member of the group until it is killed, if this process was started as one.
#[test]
fn a_member_in_a_process_of_its_own() {
    let Some(topics) = Topics::of_process() else { return };
    member(&topics).wait().unwrap();
}

/// A job that shares the input with all who run it.
fn member(topics: &Topics) -> Job {
    topics.uppercase(topics.source().spread_by_group().setting("session.timeout.ms", 6_000))
}

fn start_member(topics: &Topics) -> Process {
    Process::start("a_member_in_a_process_of_its_own", topics)
}

/// Writes lines, a thousand at a time, and waits until all have arrived, until `done`; gives how many there are.
fn fill_until(topics: &Topics, mut written: u32, done: impl Fn(u32) -> bool) -> u32 {
    let began = Instant::now();
    loop {
        topics.fill(written..written + 1_000);
        written += 1_000;
        while !topics.compare(0..written).0.is_empty() {
            assert!(began.elapsed() < PATIENCE, "some of {written} lines have not come");
            // To read the whole topic takes a core, and again and again it takes the broker's.
            std::thread::park_timeout(Duration::from_millis(200));
        }
        if done(written) {
            return written;
        }
        assert!(began.elapsed() < PATIENCE, "nothing has changed in {written} lines");
    }
}

#[test]
fn two_processes_share_a_topic_and_one_that_is_killed_loses_nothing() {
    with_topics("shared", |topics| {
        let job = member(topics);
        let written = fill_until(topics, 0, |lines| job.metrics().records_in() == u64::from(lines));
        let other = start_member(topics);
        // What this process has not read, the other one has.
        let all_by_this = |lines| job.metrics().records_in() >= u64::from(lines);
        let written = fill_until(topics, written, |lines| !all_by_this(lines));
        topics.fill(written..written + 2_000);
        other.kill();
        let written = fill_until(topics, written + 2_000, |_| true);
        let other = start_member(topics);
        let read = job.metrics().records_in();
        // It reads a part of what comes again.
        let shared = |lines: u32| job.metrics().records_in() - read < u64::from(lines - written);
        let written = fill_until(topics, written, shared);
        topics.fill(written..written + 2_000);
        other.kill();
        fill_until(topics, written + 2_000, |_| true);
        job.drain(PATIENCE).unwrap();
    });
}

/// KIP-848, which brokers have from Kafka 4 on.
#[test]
fn brokers_that_spread_partitions_by_themselves_lose_nothing_and_double_nothing() {
    with_topics("newer", |topics| {
        let member = || topics.source().spread_by_group().setting("group.protocol", "consumer");
        let first = topics.uppercase(member());
        let written = fill_until(topics, 0, |lines| first.metrics().records_in() == u64::from(lines));
        let second = topics.uppercase(member());
        // Partitions move while records flow.
        let mut written = written;
        while second.metrics().records_in() == 0 {
            topics.fill(written..written + 1_000);
            written += 1_000;
            // A few at a time: all of them are read again below, as often as one is missing.
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let written = fill_until(topics, written, |_| true);
        first.drain(PATIENCE).unwrap();
        let written = fill_until(topics, written, |_| true);
        second.drain(PATIENCE).unwrap();
        assert_eq!(topics.compare(0..written), (vec![], vec![]));
    });
}

/// With either way in which a group spreads partitions.
#[test]
fn kafkas_own_topics_do_not_come_to_a_member_by_a_pattern() {
    for protocol in ["classic", "consumer"] {
        with_topics(protocol, |topics| {
            let internal = format!("__{}", topics.input);
            let admin = make_topics(&topics.brokers, &[(&internal, 1)], "1000000");
            fill_topic(&IoCores::default(), &topics.brokers, &internal, [(0, "line 1000000")]).unwrap();
            let source = KafkaSource::new(&topics.brokers).topics_like(format!("*{}", topics.input));
            let member = source.group(&topics.input).spread_by_group().setting("group.protocol", protocol);
            let job = topics.uppercase(member);
            fill_until(topics, 0, |_| true);
            job.drain(PATIENCE).unwrap();
            assert_eq!(topics.output().get("LINE 1000000"), None, "by the protocol {protocol}");
            block_on(admin.delete_topics(&[&internal], &AdminOptions::new())).unwrap().remove(0).unwrap();
        });
    }
}

/// The topic takes less than the sink does, so it is the broker that refuses.
#[test]
fn a_record_that_a_topic_finds_too_large_becomes_a_dead_letter_and_the_others_arrive() {
    with_topics_of("letters", "1000", |topics| {
        let letters: Collected<DeadLetter> = Collected::new();
        // Each in a request of its own: a broker refuses whole requests.
        let sink =
            KafkaSink::new(&topics.brokers).dead_letters(letters.sink()).setting("batch.num.messages", 1);
        let record =
            |n: usize| KafkaRecord::new("x".repeat(if n % 10 == 5 { 2_000 } else { 10 + n })).partition(0);
        write(topics, sink, (0..100).map(record).collect());
        assert_eq!(letters.take().len(), 10);
        let arrived = read_topic(&IoCores::default(), &topics.brokers, &topics.output).unwrap().concat();
        let lengths: Vec<usize> = arrived.iter().map(|message| message.payload.len() - 10).collect();
        assert_eq!(lengths, (0..100).filter(|n| n % 10 != 5).collect::<Vec<_>>(), "in order, and once");
    });
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
