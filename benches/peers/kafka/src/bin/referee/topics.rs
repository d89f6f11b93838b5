//! Makes topics, takes them away, and waits until one holds what it should.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread::sleep;
use std::time::{Duration, Instant};

use peers_kafka::words::{Words, fail};
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

/// How long the broker may take for one answer.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Eighty questions a second with 8 partitions; a broker answers each in some 50 us.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Times are the broker's: when it appended a record. Ends when each partition has a leader.
pub fn make(words: &Words) -> KafkaResult<()> {
    let topic = NewTopic::new(words.text("topic"), words.number("partitions"), TopicReplication::Fixed(1));
    let topic = topic.set("message.timestamp.type", "LogAppendTime");
    let made = block_on(admin(words)?.create_topics(&[topic], &AdminOptions::new()))?;
    match made.into_iter().find_map(Result::err) {
        Some((topic, code)) => fail(&format!("{topic} cannot be made: {code}")),
        None => await_leaders(words),
    }
}

fn await_leaders(words: &Words) -> KafkaResult<()> {
    let (consumer, until) = (consumer(words)?, Instant::now() + TIMEOUT);
    loop {
        match ends(&consumer, words.text("topic")) {
            Ok(ends) if ends.len() == words.number::<usize>("partitions") => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error),
            _ => sleep(ASK_EVERY),
        }
    }
}

pub fn drop(words: &Words) -> KafkaResult<()> {
    let gone = block_on(admin(words)?.delete_topics(&[words.text("topic")], &AdminOptions::new()))?;
    match gone.into_iter().find_map(Result::err) {
        Some((topic, code)) => fail(&format!("{topic} cannot be dropped: {code}")),
        None => Ok(()),
    }
}

/// Until the topic's partitions hold so many records together.
pub fn wait(words: &Words) -> KafkaResult<()> {
    let (topic, records): (_, i64) = (words.text("topic"), words.number("records"));
    let consumer = consumer(words)?;
    let until = Instant::now() + Duration::from_secs_f64(words.number("timeout"));
    loop {
        let ends = ends(&consumer, topic)?.into_iter().sum::<i64>();
        if ends >= records {
            return Ok(());
        }
        if Instant::now() > until {
            fail(&format!("{topic} has {ends} of {records} records, and time is over"));
        }
        sleep(ASK_EVERY);
    }
}

/// A consumer that has nothing to do with a group.
pub fn consumer(words: &Words) -> KafkaResult<BaseConsumer> {
    let mut config = words.client("consumer");
    config
        .set("group.id", "referee")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10")
        .create()
}

/// How many records each partition has had.
pub fn ends(consumer: &BaseConsumer, topic: &str) -> KafkaResult<Vec<i64>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    (0..count as i32).map(|id| Ok(consumer.fetch_watermarks(topic, id, TIMEOUT)?.1)).collect()
}

/// Reads all partitions of a topic from their beginning.
pub fn assign(consumer: &BaseConsumer, topic: &str, partitions: usize) -> KafkaResult<()> {
    let mut assigned = TopicPartitionList::new();
    for id in 0..partitions as i32 {
        assigned.add_partition_offset(topic, id, rdkafka::Offset::Beginning)?;
    }
    consumer.assign(&assigned)
}

fn admin(words: &Words) -> KafkaResult<AdminClient<DefaultClientContext>> {
    words.client("admin").create()
}

/// Answers come on a thread of the client's own.
fn block_on<F: Future>(future: F) -> F::Output {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        sleep(Duration::from_millis(1));
    }
}
