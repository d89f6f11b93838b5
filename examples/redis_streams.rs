//! Orders come as entries of two streams of Redis, and their sums go out to a third, which is bounded.
//!
//! run: 1000
//! with: redis
//!
//! It needs the feature `redis` and a server that `REDIS_URL` names, and says so where there is none: `scripts/redis
//! up` starts one. The source is a consumer of a group: what it was given and had not acknowledged when it was stopped,
//! it is given again.

// An example prints its result.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use slotflow::io::egress;
use slotflow::io::redis::{Entry, RedisRecord, RedisSink, RedisSource};
use slotflow::prelude::*;

/// After this something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// An order, and what it comes to in cents.
#[derive(Clone)]
struct Sum {
    order: String,
    cents: u64,
}

impl Sum {
    fn record(self) -> RedisRecord {
        RedisRecord::new().field("order", self.order).field("cents", self.cents.to_string())
    }
}

fn sum(order: Entry<'_>) -> Result<Sum> {
    let number = |name| order.text(name)?.parse::<u64>().map_err(Error::user);
    Ok(Sum { order: order.text("order")?.to_owned(), cents: number("pieces")? * number("cents")? })
}

/// Fills both streams, which a job does as well as anybody.
fn fill(url: &str, stream: &str, orders: u64) -> Result<()> {
    let env = Environment::with(Config::default());
    let order = |i: u64| {
        let record = RedisRecord::new().field("order", i.to_string());
        record.field("pieces", (i % 10).to_string()).field("cents", "250")
    };
    env.source(generate(orders, order)).sink(RedisSink::new(url).stream(stream));
    env.run("fill").map(drop)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let orders: u64 = std::env::args().nth(1).map_or(Ok(1_000), |orders| orders.parse())?;
    let Ok(url) = std::env::var("REDIS_URL") else {
        println!(
            "nothing was done: REDIS_URL names no server; `scripts/redis up` starts one and says its URL"
        );
        return Ok(());
    };
    // Streams that no other run has: their keys stay on the server for whoever wants to look.
    let run = std::process::id();
    let [north, south, sums] = ["north", "south", "sums"].map(|name| format!("example-{run}-{name}"));
    for stream in [&north, &south] {
        fill(&url, stream, orders)?;
    }

    let env = Environment::with(Config::default());
    let source = RedisSource::new(&url).stream(&*north).stream(&*south).group("sums");
    let (mut seen, all) = egress(1_024);
    let out = RedisSink::new(&url).stream(&*sums).max_len(10_000);
    env.source(source)
        .parallelism(2)
        .try_map(sum)
        .tee_with(|sums| sums.map(Sum::record).sink(out), |sums| sums.map(|sum| sum.cents).sink(all));
    let job = env.start("sums")?;

    let mut cents = 0;
    for _ in 0..2 * orders {
        cents += seen.recv(PATIENCE).map_err(|_| "an order is lost")?;
    }
    // What was read is processed, written and acknowledged; the streams go on, the job does not.
    println!("{}", job.drain(PATIENCE)?);
    let expected: u64 = 2 * (0..orders).map(|i| i % 10 * 250).sum::<u64>();
    if cents != expected {
        return Err(format!("{cents} cents, and not {expected}").into());
    }
    println!("verified: {} orders of {cents} cents; see XRANGE {sums} - +", 2 * orders);
    Ok(())
}
