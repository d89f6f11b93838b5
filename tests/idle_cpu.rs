//! What an idle job costs where slots park: nothing, or with a Kafka source next to nothing.
//!
//! What is counted is the CPU time of the core threads, which step the slots, and no wall time: how busy the machine
//! is makes little difference. librdkafka's own threads are not the slots' and are only told.
//!
//! Alone in their file, and one after the other, as they look at all the core threads of the process.
#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotflow::io::kafka::{Message, MockKafka};
use slotflow::io::{Ingress, callback, ingress_n};
use slotflow::runtime::IoCores;
use slotflow::runtime::config::{DriverChoice, Idle};
use slotflow::runtime::job::{JobMetrics, SlotMetrics};
use slotflow::runtime::machine::{Driver, Probe};
use slotflow::{Config, Environment, Job};

/// Nothing here takes longer than a few seconds; this only keeps a test that hangs from doing so for ever.
const HANGS: Duration = Duration::from_secs(60);

/// How the threads are called that step slots.
const CORES: &str = "slotflow-core-";

/// How librdkafka's threads are called.
const CLIENTS: &str = "rdk:";

/// How long the job is watched.
const WATCHED_NS: u64 = 1_000_000_000;

/// What all core threads may use in that time: a tenth of a percent of two slots. They use nothing (measured); a core
/// that woke twenty times a second for nothing, and spun for `spin_us` each time, would use more.
const USED_NS: u64 = 2_000_000;

/// As `WATCHED_NS`, with a Kafka source, which commits once a second.
const KAFKA_WATCHED_NS: u64 = 4_000_000_000;

/// Half a percent of two slots for as long as that. Measured without optimisations: 19 ms with either driver; 28 and 44
/// to 49 when a core that was woken for nothing still spun before it slept again.
const KAFKA_USED_NS: u64 = 40_000_000;

/// A tick of the system's clock. Where a kernel counts in nothing finer, less than two of them cannot be told from
/// none: what a thread has used just before may be counted just after.
const TICK_NS: u64 = 10_000_000;

/// Held by the test whose turn it is.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parked(driver: DriverChoice) -> Environment {
    let mut config = Config::default();
    config.slots.idle = Idle::Park;
    config.slots.driver = driver;
    Environment::with(config).parallelism(2)
}

/// A job on two slots with rings between them, and handles to push with, which nobody does.
fn silent_job(driver: DriverChoice) -> (Job, Vec<Ingress<u64>>) {
    let env = parked(driver);
    let (handles, source) = ingress_n(2, 1024);
    env.source(source).rebalance().map(|record| record + 1).sink(callback(|_: u64| {}));
    (env.start("silent").unwrap(), handles)
}

/// Looks at the job until `enough` has been seen, which gets what happened since `then`.
fn watch(job: &Job, then: &JobMetrics, enough: impl Fn(&[SlotMetrics]) -> bool) -> Vec<SlotMetrics> {
    let deadline = Instant::now() + HANGS;
    loop {
        let slots = job.metrics().since(then).slots;
        if enough(&slots) {
            return slots;
        }
        assert!(!job.has_ended() && Instant::now() < deadline, "{slots:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn is_parked(slot: &SlotMetrics) -> bool {
    slot.parked_ns as f64 > 0.99 * slot.total_ns() as f64
}

/// The time that the threads with such a name have been on a CPU, and how many they are. A thread that a driver starts
/// on a core's thread has that one's name, and counts too.
fn used_by(called: &str) -> (u64, usize) {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let used = |thread: PathBuf| {
        // A thread that ends while the list is read has no file any more.
        let stat = fs::read_to_string(thread.join("stat")).ok()?;
        let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        name.starts_with(called).then(|| on_cpu_ns(&thread).unwrap_or_else(|| TICK_NS * ticks(fields)))
    };
    let ns: Vec<u64> = threads.filter_map(used).collect();
    (ns.iter().sum(), ns.len())
}

/// As the kernel counts it, to the nanosecond for a thread that sleeps; `None` where it does not. One that does not
/// says that the thread, which has run, never did.
fn on_cpu_ns(thread: &Path) -> Option<u64> {
    let counted = fs::read_to_string(thread.join("schedstat")).ok()?;
    let counted: Vec<u64> = counted.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    counted.last().filter(|runs| **runs > 0).and_then(|_| counted.first().copied())
}

/// User and system time, the 14th and 15th field of a thread's line, without its number and name.
fn ticks(fields: &str) -> u64 {
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// What a job may use of this, as finely as the system tells.
fn told(ns: u64) -> u64 {
    if on_cpu_ns(Path::new("/proc/thread-self")).is_some() { ns } else { ns.max(2 * TICK_NS) }
}

/// How often a job that used more than it may is watched again. A core that does not sleep does so each time; but where
/// a machine's host gives a CPU to others without telling, that time counts as if a thread had used it.
const TRIES_MORE: usize = 7;

/// Watches an idle job for this long, whose core threads may use `most_ns`, and gives what its slots did.
fn uses_at_most(most_ns: u64, watched_ns: u64, job: Job) -> Vec<SlotMetrics> {
    let most_ns = told(most_ns);
    let then = job.metrics();
    // Once a tenth of a second has gone by asleep, whatever the start had to do is done.
    watch(&job, &then, |slots| slots.iter().all(|slot| slot.parked_ns > WATCHED_NS / 10));
    let mut tries = (0..TRIES_MORE).map(|_| used(&job, watched_ns));
    let (used_ns, slots) =
        tries.find(|(used_ns, _)| *used_ns <= most_ns).unwrap_or_else(|| used(&job, watched_ns));
    assert!(slots.len() == 2 && used_ns <= most_ns, "{used_ns} ns, more than {most_ns}, in {slots:?}");
    job.stop().unwrap();
    slots
}

/// How many nanoseconds the core threads of an idle job use in this time, and what its slots do meanwhile.
fn used(job: &Job, watched_ns: u64) -> (u64, Vec<SlotMetrics>) {
    let then = job.metrics();
    let (before, threads) = used_by(CORES);
    let (client_before, clients) = used_by(CLIENTS);
    assert!(threads > 0, "the core threads are called otherwise");
    let slots = watch(job, &then, |slots| slots.iter().all(|slot| slot.total_ns() >= watched_ns));
    let used_ns = used_by(CORES).0 - before;
    let client_ns = used_by(CLIENTS).0.saturating_sub(client_before);
    let [used_us, client_us, watched_ms] = [used_ns / 1_000, client_ns / 1_000, watched_ns / 1_000_000];
    println!(
        "{threads} core threads used {used_us} us in {watched_ms} ms, {clients} of librdkafka {client_us} us"
    );
    (used_ns, slots)
}

/// Runs it with each driver that there is.
fn with_each_driver(test: impl Fn(DriverChoice)) {
    test(DriverChoice::Thread);
    match Probe::run(Path::new("/")).driver(2, DriverChoice::Auto) {
        (Driver::Glommio, _) => test(DriverChoice::Glommio),
        (Driver::Thread, reason) => {
            println!("glommio is left out: {}", reason.as_deref().unwrap_or("it is not built"));
        }
    }
}

#[test]
fn an_idle_job_uses_no_cpu() {
    let _turn = turn();
    with_each_driver(|driver| {
        let (job, _handles) = silent_job(driver);
        let slots = uses_at_most(USED_NS, WATCHED_NS, job);
        assert!(slots.iter().all(is_parked), "{driver:?}: {slots:?}");
    });
}

/// It commits as usual, and has read everything there is.
#[test]
fn an_idle_kafka_source_uses_next_to_no_cpu() {
    let _turn = turn();
    with_each_driver(|driver| {
        let kafka = MockKafka::start(&IoCores::default()).unwrap();
        kafka.create_topic("silent", 4).unwrap();
        kafka.fill("silent", (0..100).map(|n| (n % 4, "line"))).unwrap();
        let env = parked(driver);
        // With 1 ms, which suits the mock otherwise, librdkafka asks a thousand times a second.
        let source = kafka.source().setting("fetch.wait.max.ms", 10).topic("silent").group("idle");
        env.source(source).sink(callback(|_: Message<'_>| {}));
        let job = env.start("silent").unwrap();
        let deadline = Instant::now() + HANGS;
        while job.metrics().records_in() < 100 {
            assert!(!job.has_ended() && Instant::now() < deadline, "{:?}", job.metrics());
            std::thread::yield_now();
        }
        uses_at_most(KAFKA_USED_NS, KAFKA_WATCHED_NS, job);
    });
}
