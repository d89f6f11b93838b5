//! Several partitioners in a row: the last one counts. And what is keyed by source partition stays put.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::collections::HashMap;

use slotflow::io::{Collected, generate};
use slotflow_ops::Environment;
use slotflow_runtime::Config;

fn env() -> Environment {
    Environment::with(Config::from_toml("[job]\nparallelism = 3").unwrap())
}

/// The subtasks that saw each key must be one.
fn one_subtask_for_each_key(seen: &Collected<(u64, usize)>) {
    let mut owner = HashMap::new();
    let records = seen.take();
    assert_eq!(records.len(), 300);
    for (key, subtask) in records {
        assert_eq!(*owner.entry(key).or_insert(subtask), subtask, "key {key} is at two subtasks");
    }
}

/// Counts the records of each key, which is right only where all of them meet.
fn counts(counted: &Collected<(u64, u64)>) {
    let mut counts = counted.take();
    counts.sort_unstable();
    assert_eq!(counts, (0..7).map(|key| (key, if key < 6 { 43 } else { 42 })).collect::<Vec<_>>());
}

#[test]
fn the_last_of_two_partitioners_counts() {
    let counted = Collected::new();
    let env = env();
    env.source(generate(300, |i| i % 7))
        .rebalance()
        .key_by(|key| *key)
        .fold_at_end(0, |count: &mut u64, _| *count += 1)
        .sink(counted.sink());
    env.run("rebalance, key_by").unwrap();
    counts(&counted);
}

#[test]
fn a_partitioner_behind_disable_chaining_counts() {
    let counted = Collected::new();
    let env = env();
    env.source(generate(300, |i| i % 7))
        .map(|key| key)
        .disable_chaining()
        .key_by(|key| *key)
        .fold_at_end(0, |count: &mut u64, _| *count += 1)
        .sink(counted.sink());
    env.run("disable_chaining, key_by").unwrap();
    counts(&counted);
}

#[test]
fn a_broadcast_behind_forward_goes_to_all() {
    let seen = Collected::new();
    let env = env();
    env.source(generate(100, |i| i)).forward().broadcast().map(|i| i).sink(seen.sink());
    env.run("forward, broadcast").unwrap();
    assert_eq!(seen.take().len(), 300);
}

#[test]
fn settings_of_the_operator_behind_a_partitioner_leave_it_alone() {
    let seen = Collected::new();
    let env = env();
    env.source(generate(300, |i| i % 7))
        .key_by(|key| *key)
        .fold(0u64, |_, _| {})
        .parallelism(2)
        .slot_sharing_group("keyed")
        .start_new_chain()
        .map_with(|subtask| {
            let index = subtask.index;
            move |_| index
        })
        .map(|subtask| (subtask as u64, subtask))
        .sink(seen.sink());
    env.run("key_by, parallelism").unwrap();
    one_subtask_for_each_key(&seen);
}

#[test]
fn what_is_keyed_by_source_partition_must_not_be_moved() {
    let env = env();
    env.source(generate(10, |i| i))
        .key_by_source_partition(|i| *i)
        .fold(0u64, |sum, i| *sum += i)
        .name("sum")
        .parallelism(2)
        .sink(Collected::new().sink());
    assert_eq!(
        env.run("moved").unwrap_err().to_string(),
        "operator \"sum\": is keyed by source partition, but a rebalance stands between it and its source; give all \
         operators up to it the source's parallelism, or use key_by"
    );
}
