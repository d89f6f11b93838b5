//! Streams of Redis as a source and as a sink.

mod fake;
mod faults;
mod real;
mod refusals;

use slotflow::io::redis::{Entry, RedisSource};
use slotflow::prelude::*;

/// The source that all tests read by, at a stream `in`.
fn source(url: &str) -> RedisSource {
    RedisSource::new(url).stream("in").group("group").consumer("me")
}

/// Commits as good as at once, or as good as never.
fn committing_every(ms: u64) -> Environment {
    let mut config = Config::default();
    config.job.commit_interval_ms = ms;
    Environment::with(config)
}

/// What entries of these tests are: a number.
fn number(entry: Entry<'_>) -> Result<i64> {
    entry.decode("n", |value| std::str::from_utf8(value).map(|text| text.parse().unwrap_or(-1)))
}
