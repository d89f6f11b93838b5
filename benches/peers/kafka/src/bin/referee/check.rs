//! Reads a topic that is complete and says whether it holds what it should.

use peers_kafka::line::{checksum, checksum_of};
use peers_kafka::words::{Words, fail};
use rdkafka::Message;
use rdkafka::error::KafkaResult;

use crate::topics::{TIMEOUT, assign, consumer, ends};

/// Prints how many records there are, whether their checksum is that of the truth, and when the broker appended the
/// first and the last.
pub fn run(words: &Words) -> KafkaResult<()> {
    let (consumer, topic) = (consumer(words)?, words.text("topic"));
    let ends = ends(&consumer, topic)?;
    assign(&consumer, topic, ends.len())?;
    let (mut sum, mut first_ms, mut last_ms) = (0u64, i64::MAX, 0);
    let held = ends.iter().sum::<i64>();
    for _ in 0..held {
        let Some(message) = consumer.poll(TIMEOUT) else {
            fail(&format!("{topic} cannot be read to its end"))
        };
        let message = message?;
        let part = checksum(message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        sum = sum.wrapping_add(part);
        let ms = message.timestamp().to_millis().unwrap_or_default();
        (first_ms, last_ms) = (ms.min(first_ms), ms.max(last_ms));
    }
    let right = sum == checksum_of(words.number("records"), words.text("upper") == "true");
    println!(
        "{{\"held\":{held},\"right\":{right},\"checksum\":\"{sum:016x}\",\"first_ms\":{first_ms},\
         \"last_ms\":{last_ms}}}"
    );
    Ok(())
}
