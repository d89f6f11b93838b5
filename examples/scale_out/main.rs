//! Two stages with a topic between them, in as many processes as you start.
//!
//! run:
//!
//! Stage one reads lines `user amount time`, and writes each by its user into a topic of its own; stage two reads
//! that, so one process has all records of a user, and writes what it makes of them. Both are members of a group, which
//! spreads partitions over all who run: with `--brokers HOST:PORT` start it twice, end one as you like, start it again.
//! Ctrl-C and SIGTERM drain it. Event time crosses the topic in a header. Without arguments two of them run on a broker
//! inside the process, and the result is checked. See docs/scale-out.md.

// An example prints its result.
#![allow(clippy::print_stdout)]

mod stages;

use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::time::Duration;

use slotflow::io::kafka::MockKafka;
use slotflow::prelude::*;
use slotflow::runtime::IoCores;

use stages::{Instance, payment};

/// Where the stages read and write.
const TOPICS: [&str; 3] = ["payments", "payments-by-user", "payments-seen"];

/// How long a drain may take: an orchestrator waits for 30 s between SIGTERM and SIGKILL.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// How soon it is seen that a stage has failed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const PARTITIONS: u32 = 4;
const PAYMENTS: u32 = 5_000;

/// Runs one instance on brokers of yours until it is ended, or else the demo.
fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (Some("--brokers"), Some(brokers)) => on_brokers(&brokers),
        _ => demo(),
    }
}

/// Runs until somebody ends it, or one of its stages fails.
fn on_brokers(brokers: &str) -> Result<()> {
    let (pressed, ctrl_c) = channel();
    // Who presses again, while nobody listens any more, does not want to wait.
    let end = move || pressed.send(()).unwrap_or_else(|_| std::process::exit(130));
    ctrlc::set_handler(end).map_err(Error::user)?;
    let instance = Instance::start(brokers, TOPICS)?;
    println!("reads {} until Ctrl-C; start another one", TOPICS[0]);
    while !instance.stages.iter().any(Job::has_ended) {
        if ctrl_c.recv_timeout(LOOK_EVERY).is_ok() {
            break;
        }
    }
    drop(ctrl_c);
    instance.drain(DRAIN_DEADLINE)?.iter().for_each(|report| println!("{report}"));
    Ok(())
}

/// Two instances on a broker inside the process; one is drained half-way.
fn demo() -> Result<()> {
    let kafka = MockKafka::start(&IoCores::default())?;
    TOPICS.iter().try_for_each(|topic| kafka.create_topic(topic, PARTITIONS))?;
    let fill =
        |numbers: std::ops::Range<u32>| kafka.fill(TOPICS[0], numbers.map(|n| (n % PARTITIONS, payment(n))));
    let [one, other] =
        [Instance::start(kafka.bootstrap(), TOPICS)?, Instance::start(kafka.bootstrap(), TOPICS)?];
    fill(0..PAYMENTS / 2)?;
    wait_for(&kafka, PAYMENTS / 2)?;
    other.drain(DRAIN_DEADLINE)?;
    fill(PAYMENTS / 2..PAYMENTS)?;
    wait_for(&kafka, PAYMENTS)?;
    println!("all {PAYMENTS} payments were seen, by two instances and then by one");
    one.drain(DRAIN_DEADLINE).map(drop)
}

/// Until all payments up to this one are there; some may be there twice.
fn wait_for(kafka: &MockKafka, payments: u32) -> Result<()> {
    loop {
        let seen: BTreeSet<_> = kafka.read(TOPICS[2])?.concat().into_iter().map(|it| it.payload).collect();
        if (0..payments).all(|n| seen.contains(payment(n).to_uppercase().as_bytes())) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
