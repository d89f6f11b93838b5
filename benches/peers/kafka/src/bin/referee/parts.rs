//! Where a record's time goes, by the broker's clock: until it is in the input, from there to the output, until it is
//! read. That clock has milliseconds.

use std::collections::HashMap;

use peers_kafka::line::number_of;
use peers_kafka::words::Words;
use rdkafka::Message;
use rdkafka::error::KafkaResult;

use crate::topics::{TIMEOUT, assign, consumer};

/// When a record was due, by which each is known, and then: appended to the output, and read there.
#[derive(Default)]
pub struct Parts(HashMap<u64, (f64, f64)>);

impl Parts {
    /// A record that was read, in milliseconds since the Unix epoch.
    pub fn note(&mut self, due_ns: u64, appended_ms: f64, read_ms: f64) {
        self.0.insert(due_ns, (appended_ms, read_ms));
    }

    /// Finds the records in the input, and tells each part's quantiles. A record is due at `began_ms` and its own time.
    pub fn tell(self, words: &Words, began_ms: f64) -> KafkaResult<String> {
        let reader = consumer(words)?;
        assign(&reader, words.text("input"), words.number("partitions"))?;
        let mut parts: [Vec<f64>; 3] = Default::default();
        while parts[0].len() < self.0.len() {
            let Some(message) = reader.poll(TIMEOUT).transpose()? else { break };
            let due_ns = message.payload().and_then(number_of).unwrap_or_default();
            let Some((output_ms, read_ms)) = self.0.get(&due_ns) else { continue };
            let input_ms = message.timestamp().to_millis().unwrap_or_default() as f64;
            let due_ms = began_ms + due_ns as f64 / 1e6;
            let took_ms = [input_ms - due_ms, output_ms - input_ms, read_ms - output_ms];
            parts.iter_mut().zip(took_ms).for_each(|(part, took_ms)| part.push(took_ms));
        }
        let named = ["to_input", "to_output", "to_reader"].iter().zip(parts);
        Ok(named.map(|(name, part)| quantiles(name, part)).collect::<Vec<_>>().join(","))
    }
}

fn quantiles(name: &str, mut part: Vec<f64>) -> String {
    part.sort_by(f64::total_cmp);
    let of = |share: f64| part.get((part.len() as f64 * share) as usize).map_or(0.0, |ms| ms * 1e3);
    format!("\"{name}_p50_us\":{:.0},\"{name}_p99_us\":{:.0}", of(0.5), of(0.99))
}
