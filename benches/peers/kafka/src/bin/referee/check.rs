//! Reads a topic that is complete and says whether it holds what it should.

use std::collections::BTreeMap;

use peers_kafka::line::{checksum, checksum_of};
use peers_kafka::words::{Words, fail};
use rdkafka::Message;
use rdkafka::error::KafkaResult;

use crate::topics::{TIMEOUT, assign, consumer, ends};

/// Prints how many records there are, whether their checksum is that of the truth, when the broker appended the first
/// and the last, and how many in which tenths of a second.
pub fn run(words: &Words) -> KafkaResult<()> {
    let (consumer, topic) = (consumer(words)?, words.text("topic"));
    let ends = ends(&consumer, topic)?;
    assign(&consumer, topic, ends.len())?;
    let (mut sum, mut first_ms, mut last_ms) = (0u64, i64::MAX, 0);
    let (held, mut tenths) = (ends.iter().sum::<i64>(), BTreeMap::<i64, u64>::new());
    for _ in 0..held {
        let Some(message) = consumer.poll(TIMEOUT) else {
            fail(&format!("{topic} cannot be read to its end"))
        };
        let message = message?;
        let part = checksum(message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        sum = sum.wrapping_add(part);
        let ms = message.timestamp().to_millis().unwrap_or_default();
        (first_ms, last_ms) = (ms.min(first_ms), ms.max(last_ms));
        *tenths.entry(ms / 100).or_default() += 1;
    }
    let right = sum == checksum_of(words.number("records"), words.text("upper") == "true");
    let tenths = tenths.into_iter().map(|(tenth, count)| [tenth * 100, count as i64]).collect::<Vec<_>>();
    println!(
        "{{\"held\":{held},\"right\":{right},\"checksum\":\"{sum:016x}\",\"first_ms\":{first_ms},\
         \"last_ms\":{last_ms},\"tenths\":{tenths:?}}}"
    );
    Ok(())
}
