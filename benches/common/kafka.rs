//! A broker inside the process with a full topic.

use slotflow::io::kafka::{KafkaSource, MockKafka, Start};
use slotflow::runtime::{IoCores, Result};

/// The messages in the topic, of 10 to 11 bytes each.
pub const MESSAGES: u64 = 100_000;

/// A usual number, and what one subtask has to read in turn.
const PARTITIONS: u32 = 8;

/// The topic with the messages.
const TOPIC: &str = "words";

/// A broker whose topic `words` is full; it lives as long as this.
pub fn full_broker() -> Result<MockKafka> {
    let kafka = MockKafka::start(&IoCores::default())?;
    kafka.create_topic(TOPIC, PARTITIONS)?;
    kafka.fill(TOPIC, (0..MESSAGES).map(|n| (n as u32 % PARTITIONS, format!("line {n:05}"))))?;
    Ok(kafka)
}

/// Reads all of it, however often that was done before.
pub fn everything(kafka: &MockKafka) -> KafkaSource {
    kafka.source().topic(TOPIC).starting(Start::Earliest).no_commit().bounded()
}
