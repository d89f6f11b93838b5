//! What an idle job costs where slots park: nothing.
//!
//! Alone in its file, as it looks at all the core threads of the process.
#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use slotflow::io::{Ingress, callback, ingress_n};
use slotflow::runtime::config::{DriverChoice, Idle};
use slotflow::runtime::job::{JobMetrics, SlotMetrics};
use slotflow::runtime::machine::{Driver, Probe};
use slotflow::{Config, Environment, Job};

/// Nothing here takes longer than a few seconds; this only keeps a test that hangs from doing so for ever.
const HANGS: Duration = Duration::from_secs(60);

/// How long the job is watched: a core that only spins now and then would use several ticks in it.
const WATCHED_NS: u64 = 1_000_000_000;

/// What all core threads may use in that time. A tick is a hundredth of a second, and what one has used just
/// before may be counted just after.
const TICKS: u64 = 2;

/// A job on two slots with rings between them, and handles to push with, which nobody does.
fn silent_job(driver: DriverChoice) -> (Job, Vec<Ingress<u64>>) {
    let mut config = Config::default();
    config.slots.idle = Idle::Park;
    config.slots.driver = driver;
    let env = Environment::with(config).parallelism(2);
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

/// The time that the core threads have used, in ticks of the system's clock, and how many they are. A thread
/// that a driver starts on one has its name, and counts too.
fn used_ticks() -> (u64, usize) {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    // A thread that ends while the list is read has no file any more.
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).ok());
    let used = |stat: &str| {
        let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        // User and system time, the 14th and 15th field of the line.
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        name.starts_with("slotflow-core-").then(|| ticks.sum())
    };
    let ticks: Vec<u64> = stats.filter_map(|stat| used(&stat)).collect();
    (ticks.iter().sum(), ticks.len())
}

fn uses_nothing(driver: DriverChoice) {
    let (job, _handles) = silent_job(driver);
    let mut then = job.metrics();
    // Once a tenth of a second has gone by asleep, whatever the start had to do is done.
    watch(&job, &then, |slots| slots.iter().all(|slot| slot.parked_ns > WATCHED_NS / 10));
    then = job.metrics();
    let (before, threads) = used_ticks();
    assert!(threads > 0, "the core threads are called otherwise");
    let slots = watch(&job, &then, |slots| slots.iter().all(|slot| slot.total_ns() >= WATCHED_NS));
    let (after, _) = used_ticks();
    assert!(slots.len() == 2 && slots.iter().all(is_parked), "{driver:?}: {slots:?}");
    assert!(after - before <= TICKS, "{driver:?}: {} ticks in {slots:?}", after - before);
    job.stop().unwrap();
}

#[test]
fn an_idle_job_uses_no_cpu() {
    uses_nothing(DriverChoice::Thread);
    match Probe::run(Path::new("/")).driver(2, DriverChoice::Auto) {
        (Driver::Glommio, _) => uses_nothing(DriverChoice::Glommio),
        (Driver::Thread, reason) => {
            println!("glommio is left out: {}", reason.as_deref().unwrap_or("it is not built"));
        }
    }
}
