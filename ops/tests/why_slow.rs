//! Jobs that are slow for a known reason, on real slots: `why_slow` must name it.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::hint::black_box;
use std::time::Duration;

use slotflow::io::{callback, generate};
use slotflow_ops::Environment;
use slotflow_runtime::job::JobMetrics;
use slotflow_runtime::{Config, Job, Key, KeyGroups};

/// Keeps the core busy: microseconds for a thousand rounds.
fn spin(rounds: u64) {
    for round in 0..rounds {
        black_box(round);
    }
}

/// Two slots at least, and rings so small that what is slow shows soon.
fn env() -> Environment {
    Environment::with(Config::from_toml("[edges]\ncapacity = 64").unwrap())
}

/// The measurements of the whole job, once it has ended.
fn measured(job: Job) -> JobMetrics {
    while !job.ends_within(Duration::from_secs(1)) {}
    let metrics = job.metrics();
    job.wait().unwrap();
    metrics
}

#[test]
fn a_slow_operator_behind_rings_is_named() {
    let env = env();
    let numbers = env.source(generate(20_000, |i| i)).name("numbers");
    let passed = numbers.map(|i| i + 1).name("passed").start_new_chain();
    let slow = passed.map(|i| {
        spin(5_000);
        i
    });
    slow.name("slow").slot_sharing_group("apart").sink(callback(|_: u64| {})).name("end");
    let why = measured(env.start("slow").unwrap()).why_slow();
    assert!(why.starts_with("slow operator: \"slow -> end\" subtask 0 in slot 1 is busy "), "{why}");
    assert!(why.contains("held up \"passed\" subtask 0"), "{why}");
}

#[test]
fn a_busy_neighbour_in_the_slot_is_named() {
    let env = env();
    let hog = env.source(generate(20_000, |i| i)).name("hog").map(|i| {
        spin(5_000);
        i
    });
    hog.sink(callback(|_: u64| {}));
    env.source(generate(2_000_000, |i| i)).name("victim").sink(callback(|_: u64| {}));
    let why = measured(env.start("neighbours").unwrap()).why_slow();
    assert!(why.starts_with("busy neighbour: \"hog -> map -> callback\" subtask 0, busy "), "{why}");
    assert!(
        why.contains("in slot 0, kept \"victim -> callback\" subtask 0 waiting in the same slot"),
        "{why}"
    );
}

/// Why a job is slow of whose records nine of ten have one key, that of subtask `hot`.
fn with_hot_key_at(hot: usize) -> String {
    let env = env();
    let groups = KeyGroups::new(1024, 2);
    let key = (0..).find(|key: &u64| groups.subtask_of(key.hash()) == hot).unwrap();
    let numbers = env.source(generate(20_000, |i| i)).name("numbers");
    let keyed = numbers.key_by(move |i| if i % 10 == 0 { *i } else { key });
    let counted = keyed.map_with_state(|count: &mut u64, _: u64| {
        spin(5_000);
        *count += 1;
        *count
    });
    counted.name("count").parallelism(2).slot_sharing_group("counts").sink(callback(|_: u64| {}));
    measured(env.start("hot").unwrap()).why_slow()
}

#[test]
fn a_hot_key_is_named() {
    let why = with_hot_key_at(0);
    assert!(why.starts_with("hot key or skew: \"count -> callback\" subtask 0 has 9"), "{why}");
    assert!(
        why.contains("where 50 % would be fair, and its full ring holds up \"numbers\" subtask 0"),
        "{why}"
    );
}

#[test]
fn a_hot_key_is_named_on_any_core() {
    let why = with_hot_key_at(1);
    assert!(why.starts_with("hot key or skew: \"count -> callback\" subtask 1 has 9"), "{why}");
}

#[test]
fn a_job_that_waits_for_its_input_is_held_up_by_nothing_of_its_own() {
    let env = env();
    env.source(generate(200, |i| i).rate(1_000)).sink(callback(|_: u64| {}));
    let why = measured(env.start("calm").unwrap()).why_slow();
    assert!(!why.contains("operator") && !why.contains("neighbour") && !why.contains("skew"), "{why}");
}
