//! Kafka to Kafka through windows in event time: how many readings each sensor has sent in each second.
//!
//! run:
//!
//! Readings carry their own time and come up to half a second late. On a broker inside the process (librdkafka's mock
//! cluster), so that nothing has to be there; every reading must be counted once. The job keeps state and commits
//! offsets: until checkpoints store that state, it runs only because it says `best_effort`, and `explain` says so.

// An example prints its result.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::time::Duration;

use slotflow::io::kafka::{Message, MockKafka};
use slotflow::prelude::*;
use slotflow::runtime::IoCores;

const PARTITIONS: u32 = 4;
const SENSORS: u64 = 50;
const READINGS: u64 = 20_000;

/// A reading's line: its sensor and its time. Readings are made every ten milliseconds, and swapped about.
fn line(i: u64) -> String {
    let late = i * 7919 % 500;
    format!("{} {}", i % SENSORS, (i * 10).saturating_sub(late))
}

fn field(line: &str, number: usize) -> Option<u64> {
    line.split(' ').nth(number)?.parse().ok()
}

fn time_of(message: &Message<'_>) -> i64 {
    let time = message.text().ok().and_then(|line| field(line, 1));
    time.map_or(0, |time| time as i64)
}

fn sensor_of(message: Message<'_>) -> Result<u64> {
    let line = message.text()?;
    field(line, 0).ok_or_else(|| Error::user(format!("no sensor in \"{line}\"")))
}

/// Counts.
#[derive(Clone)]
struct Count;

impl Aggregate<u64> for Count {
    type Acc = u64;
    type Out = u64;
    fn create(&self) -> u64 {
        0
    }
    fn add(&self, count: &mut u64, _: u64) {
        *count += 1;
    }
    fn result(&self, count: &u64) -> u64 {
        *count
    }
}

impl Merge<u64> for Count {
    fn merge(&self, count: &mut u64, other: &u64) {
        *count += other;
    }
}

fn main() -> Result<()> {
    let kafka = MockKafka::start(&IoCores::default())?;
    kafka.create_topic("readings", PARTITIONS)?;
    kafka.create_topic("counts", PARTITIONS)?;
    kafka.fill("readings", (0..READINGS).map(|i| (i as u32 % PARTITIONS, line(i))))?;

    let config = "[job]\nparallelism = 2\nbest_effort = true\n[slots]\novercommit = \"pack\"";
    let env = Environment::with(Config::from_toml(config)?);
    let half_a_second = Watermarks::bounded_out_of_orderness(Duration::from_millis(500));
    env.source(kafka.source().topic("readings").group("windows").bounded())
        .with_timestamps(time_of, half_a_second)
        .try_map(sensor_of)
        .key_by(|sensor| *sensor)
        .window(Tumbling::of(Duration::from_secs(1)))
        .aggregate(Count)
        .map(|window| format!("{} {} {}", window.key, window.start, window.value))
        .sink(kafka.sink().topic("counts"));
    println!("{}", env.explain()?);
    println!("{}", env.run("windows")?);

    let mut counts = BTreeMap::new();
    for message in kafka.read("counts")?.into_iter().flatten() {
        let line = String::from_utf8_lossy(&message.payload).into_owned();
        let [sensor, start, count] = [0, 1, 2].map(|number| field(&line, number).unwrap_or(0));
        assert_eq!(counts.insert((sensor, start), count), None, "a window that fired twice");
    }
    assert_eq!(counts.values().sum::<u64>(), READINGS, "a reading that was lost, or counted twice");
    println!("verified: {READINGS} readings in {} windows, each counted once", counts.len());
    Ok(())
}
