//! A service that asks a job from its own thread: requests go in by an ingress handle, decisions come out by an egress
//! handle, and the way between them is measured.
//!
//! run:
//!
//! The job runs on a slot of its own, which never sleeps: a request does not wait for a wake-up. The service keeps one
//! request under way and waits for its decision, so each latency is that of a whole round.

// An example prints its result.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use slotflow::io::{egress, ingress};
use slotflow::prelude::*;

/// A bid request: who asks, and for how much.
#[derive(Clone, Copy)]
struct Request {
    user: u64,
    cents: u64,
    asked: Instant,
}

/// Whether it may be spent.
struct Decision {
    granted: bool,
    asked: Instant,
}

/// What a user may spend in all.
const BUDGET_CENTS: u64 = 10_000;
const REQUESTS: u64 = 20_000;
const USERS: u64 = 100;

/// For how long a decision is waited for before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);

fn decide(spent: &mut u64, request: Request) -> Decision {
    let granted = *spent + request.cents <= BUDGET_CENTS;
    if granted {
        *spent += request.cents;
    }
    Decision { granted, asked: request.asked }
}

fn main() -> Result<()> {
    let env = Environment::with(Config::from_toml("[slots]\nidle = \"yield\"")?);
    let (mut requests, source) = ingress(1024);
    let (mut decisions, sink) = egress(1024);
    env.source(source).key_by(|request: &Request| request.user).map_with_state(decide).sink(sink);
    let job = env.start("budgets")?;

    let (mut granted, mut latencies) = (0, Vec::with_capacity(REQUESTS as usize));
    for i in 0..REQUESTS {
        let request = Request { user: i % USERS, cents: 75, asked: Instant::now() };
        // One is under way at a time, and there is room for more.
        requests.try_push(request).map_err(|_| Error::bug("the ingress is full"))?;
        let decision = decisions.recv(PATIENCE).map_err(|nothing| Error::user(format!("{nothing:?}")))?;
        granted += u64::from(decision.granted);
        latencies.push(decision.asked.elapsed());
    }
    drop(requests);
    println!("{}", job.wait()?);

    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "round trip: p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    assert_eq!(granted, USERS * (BUDGET_CENTS / 75), "each user spends what is granted, and no more");
    println!("verified: {granted} of {REQUESTS} requests granted");
    Ok(())
}
