//! The two stages.

use std::time::{Duration, Instant};

use slotflow::io::kafka::{KafkaRecord, KafkaSink, KafkaSource, Keyed, Message};
use slotflow::prelude::*;

/// A producer of stage one that has given nothing for so long is taken for dead: what its group needs to see that it
/// is, and some more.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// One process's share of both stages.
pub struct Instance {
    /// Stage one and stage two.
    pub stages: [Job; 2],
}

impl Instance {
    /// Starts both stages.
    pub fn start(brokers: &str, topics: [&str; 3]) -> Result<Instance> {
        Ok(Instance { stages: [by_user(brokers, topics)?, seen(brokers, topics)?] })
    }

    /// Ends both when all that they have read is written, or when the time is over.
    pub fn drain(self, deadline: Duration) -> Result<Vec<JobReport>> {
        let began = Instant::now();
        // Both, also where the first has failed.
        let drained = self.stages.map(|stage| stage.drain(deadline.saturating_sub(began.elapsed())));
        drained.into_iter().collect()
    }
}

/// A member of the group of a stage. A process that dies is not waited for for long, and all hear soon that partitions
/// move.
fn member(brokers: &str, topic: &str, group: &str) -> KafkaSource {
    let source = KafkaSource::new(brokers).topic(topic).group(format!("{topic}-{group}")).spread_by_group();
    source
        .setting("session.timeout.ms", 6_000)
        .setting("heartbeat.interval.ms", 500)
        .setting("fetch.wait.max.ms", 5)
}

fn field(line: &str, number: usize) -> &str {
    line.split(' ').nth(number).unwrap_or_default()
}

fn time_of(message: &Message<'_>) -> i64 {
    message.text().ok().and_then(|line| field(line, 2).parse().ok()).unwrap_or(0)
}

/// Stage one: each payment goes to the partition of its user, with how far event time has come here.
fn by_user(brokers: &str, [from, to, _]: [&str; 3]) -> Result<Job> {
    let env = environment()?;
    env.source(member(brokers, from, "stage one"))
        .with_timestamps(time_of, Watermarks::bounded_out_of_orderness(Duration::from_secs(1)))
        .try_map(|message: Message<'_>| {
            let line = message.text()?.to_owned();
            Ok::<_, Error>(Keyed { key: field(&line, 0).to_owned(), payload: line })
        })
        .sink(KafkaSink::new(brokers).topic(to).with_watermarks());
    env.start("stage one")
}

/// Stage two: all payments of a user come here, and how far event time has come in each subtask of stage one.
fn seen(brokers: &str, [_, from, to]: [&str; 3]) -> Result<Job> {
    let env = environment()?;
    let producers = Watermarks::per_producer(|it: &Message<'_>| it.producer_watermark(), DEAD_AFTER);
    env.source(member(brokers, from, "stage two"))
        .with_timestamps(time_of, producers)
        .try_map(|message: Message<'_>| Ok::<_, Error>(KafkaRecord::new(message.text()?.to_uppercase())))
        .sink(KafkaSink::new(brokers).topic(to));
    env.start("stage two")
}

fn environment() -> Result<Environment> {
    let config =
        Config::from_toml("[job]\nparallelism = 2\ncommit_interval_ms = 100\n[slots]\nidle = \"park\"")?;
    Ok(Environment::with(config.with_environment()?))
}

/// A payment's line.
pub fn payment(n: u32) -> String {
    format!("user{} {n} {}", n % 97, n * 10)
}
