//! The host's pool: several jobs at once, refusals by name, slots that come back and slots that nobody needs.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::path::Path;
use std::time::{Duration, Instant};

use slotflow::io::{Collected, callback, generate};
use slotflow_ops::Environment;
use slotflow_runtime::config::Pin;
use slotflow_runtime::machine::Probe;
use slotflow_runtime::{Config, Job, Slots};

fn pool(slots: usize) -> Slots {
    let mut config = Config::default();
    config.slots.count = Some(slots);
    Slots::new(&config).unwrap()
}

/// A job without an end on `parallelism` slots of `pool`.
fn endless(pool: &Slots, name: &str, parallelism: usize) -> slotflow_runtime::Result<Job> {
    let env = Environment::with(Config::default()).parallelism(parallelism).on(pool);
    env.source(generate(u64::MAX, |i| i)).sink(callback(|_: u64| {}));
    env.start(name)
}

fn sum(pool: &Slots, name: &str) -> u64 {
    let (env, numbers) = (Environment::with(Config::default()).parallelism(2).on(pool), Collected::new());
    env.source(generate(1_000, |i| i)).rebalance().map(|i| i + 1).sink(numbers.sink());
    env.run(name).unwrap();
    numbers.take().into_iter().sum()
}

#[test]
fn two_jobs_at_once_share_a_pool_and_a_third_is_refused_by_name() {
    let pool = pool(5);
    let first = endless(&pool, "first", 2).unwrap();
    assert_eq!(sum(&pool, "beside it"), 500_500);
    let second = endless(&pool, "second", 2).unwrap();
    assert_eq!(
        endless(&pool, "third", 2).unwrap_err().to_string(),
        "job \"third\": needs 2 slots, but 1 of the pool's 5 are free; held: 2 by job \"first\", 2 by job \
         \"second\"; make a larger pool (slots.count), or wait for the other job"
    );
    first.stop().unwrap();
    second.drain(Duration::from_secs(60)).unwrap();
}

#[test]
fn slots_come_back_when_a_job_ends_however_it_ends() {
    let pool = pool(2);
    for round in 0..3 {
        assert_eq!(sum(&pool, &format!("sum {round}")), 500_500);
        let job = endless(&pool, "endless", 2).unwrap();
        match round {
            0 => drop(job.stop().unwrap()),
            1 => drop(job.abort().unwrap()),
            _ => drop(job),
        }
    }
}

/// A job whose source may run on `cpu` only.
fn bound(pool: &Slots, cpu: usize) -> slotflow_runtime::Result<slotflow_runtime::JobReport> {
    let mut config = Config::default();
    config.operators.entry("bound".into()).or_default().cores = Some(vec![cpu]);
    let env = Environment::with(config).on(pool);
    env.source(generate(10, |i| i)).name("bound").sink(callback(|_: u64| {}));
    env.run("bound")
}

#[test]
fn a_job_that_names_cores_gets_slots_there_or_none() {
    let allowed = Probe::run(Path::new("/")).topology.allowed;
    let (first, last) = (allowed.first().unwrap(), allowed.iter().last().unwrap());
    let mut config = Config::default();
    (config.slots.cores, config.slots.count) = (Some(vec![last]), Some(1));
    assert_eq!(bound(&Slots::new(&config).unwrap(), last).unwrap().records, 10);
    (config.slots.cores, config.slots.pin) = (None, Pin::Never);
    assert_eq!(
        bound(&Slots::new(&config).unwrap(), first).unwrap_err().to_string(),
        format!(
            "job \"bound\": needs a slot on CPU {first}, but no free slot of the pool is pinned there; make a pool \
             with these CPUs in slots.cores, or take them out of operators.NAME.cores"
        )
    );
}

#[test]
fn what_the_pool_lacks_is_told_with_all_that_is_wrong() {
    let mut config = Config::default();
    for name in ["first", "second"] {
        config.operators.entry(name.into()).or_default().cores =
            Some(vec![Probe::run(Path::new("/")).topology.allowed.first().unwrap()]);
    }
    let mut unpinned = Config::default();
    (unpinned.slots.count, unpinned.slots.pin) = (Some(2), Pin::Never);
    let pool = Slots::new(&unpinned).unwrap();
    let refused = |uid: &str| {
        let env = Environment::with(config.clone()).on(&pool);
        let stream = env.source(generate(9, |i| i)).name("first").uid("one");
        let stream = stream.map(|i| i).name("second").uid(uid).slot_sharing_group("apart");
        stream.sink(callback(|_: u64| {}));
        env.run("refused").unwrap_err().to_string()
    };
    let (two, three) = (refused("two"), refused("one"));
    assert_eq!(two.matches("no free slot of the pool is pinned there").count(), 2, "{two}");
    assert_eq!(three.matches("no free slot of the pool is pinned there").count(), 2, "{three}");
    assert!(three.contains("uid \"one\""), "{three}");
}

#[test]
fn a_job_that_was_refused_can_be_started_later() {
    let pool = pool(2);
    let first = endless(&pool, "first", 2).unwrap();
    let sums = Collected::new();
    let env = Environment::with(Config::default()).on(&pool);
    env.source(generate(10, |i| i)).fold_at_end(0, |sum, i| *sum += i).sink(sums.sink());
    assert!(env.run("second").is_err(), "the first job has all the slots");
    first.stop().unwrap();
    env.run("second").unwrap();
    assert_eq!(sums.take(), [45]);
}

#[test]
fn a_slot_that_nobody_needs_is_parked() {
    let pool = pool(8);
    let job = endless(&pool, "half", 4).unwrap();
    assert_eq!(sum(&pool, "a while"), 500_500);
    let slots = pool.metrics();
    let busy = job.metrics();
    assert_eq!(busy.slots.iter().map(|slot| slot.slot).collect::<Vec<_>>(), [0, 1, 2, 3]);
    for slot in &slots[6..] {
        assert_eq!(slot.parked_ns, slot.total_ns(), "{slot:?}");
    }
    assert!(slots[..4].iter().all(|slot| slot.parked_ns < slot.total_ns()), "{slots:?}");
    job.stop().unwrap();
    let (earlier, later) = (pool.metrics(), pool.metrics());
    for (slot, earlier) in later.iter().zip(&earlier) {
        let lately = slot.since(earlier);
        assert_eq!(lately.parked_ns, lately.total_ns(), "{lately:?}");
    }
}

#[test]
fn a_slot_s_shares_add_up_to_the_time_that_passed() {
    let pool = pool(2);
    let before = Instant::now();
    let job = endless(&pool, "endless", 2).unwrap();
    let after = Instant::now();
    shares_are_the_clock_s(&job, before, after);
    shares_are_the_clock_s(&job, before, after);
    let earlier = job.metrics();
    let now = job.metrics();
    for (slot, before) in now.since(&earlier).slots.iter().zip(&earlier.slots) {
        let later = now.slots.iter().find(|later| later.slot == slot.slot).unwrap();
        assert_eq!(slot.total_ns(), later.total_ns() - before.total_ns());
    }
    job.stop().unwrap();
}

/// A job that was started between `before` and `after` has lived for as long as each of its slots accounts for.
fn shares_are_the_clock_s(job: &Job, before: Instant, after: Instant) {
    let least = after.elapsed().as_nanos() as u64;
    let metrics = job.metrics();
    let most = before.elapsed().as_nanos() as u64;
    for slot in &metrics.slots {
        let total = slot.total_ns();
        assert!((least..=most).contains(&total), "{least} <= {total} <= {most}: {slot:?}");
    }
}
