//! What does a record cost that goes to another slot? Claims nothing about cores: where there are fewer than
//! slots, as on most machines for 4x4, several slots take turns on one, and a ring's two ends may share it.
//!
//! One to one with records of 8 to 256 bytes, and with rings of several capacities. All-to-all between 1, 2 and 4
//! sources and as many folds in slots of their own, so every record crosses a ring. With `hash` the look-up of the
//! key's state is in the time, in a table that stays in the first-level cache.

mod common;
#[path = "common/job_time.rs"]
mod job_time;
#[path = "common/record.rs"]
mod record;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use job_time::JobTime;
use record::Record;
use slotflow::io::Generator;
use slotflow::prelude::*;

/// Records of a job, for each iteration: many times what all rings hold.
const RECORDS: u64 = 200_000;

/// Few, so that what is measured is the edge and not the state.
const KEYS: u64 = 64;

fn environment(parallelism: usize) -> Environment {
    let mut env = Environment::new().expect("the SLOTFLOW_* variables are right").parallelism(parallelism);
    // State that nothing stores: the plan wants to be told that this is meant.
    env.config_mut().job.best_effort = true;
    env
}

fn source<R: Record>(
    records: u64,
    time: &JobTime,
) -> Generator<impl FnMut(u64) -> R + Clone + Send + use<R>> {
    let begin = time.clone();
    generate(records, R::new).on_start(move |_, _| begin.begin())
}

fn rebalance<R: Record>(parallelism: usize, records: u64) -> Duration {
    rebalance_in::<R>(environment(parallelism), records)
}

fn rebalance_in<R: Record>(env: Environment, records: u64) -> Duration {
    let time = JobTime::default();
    let end = time.clone();
    env.source(source::<R>(records, &time))
        .rebalance()
        .fold_at_end(0u64, |count, record: R| {
            black_box(record.value());
            *count += 1;
        })
        .slot_sharing_group("folds")
        .sink(callback(move |count: u64| end.end(count)));
    env.run("rebalance").expect("the job runs to its end");
    assert_eq!(time.total(), records, "every record has come over the edge");
    time.took()
}

fn hash<R: Record>(parallelism: usize, records: u64) -> Duration {
    let (env, time) = (environment(parallelism), JobTime::default());
    let end = time.clone();
    env.source(source::<R>(records, &time))
        .key_by(|record| record.value() % KEYS)
        .map_with_state(|sum: &mut u64, record: R| {
            *sum = sum.wrapping_add(record.value());
            *sum
        })
        .slot_sharing_group("folds")
        .fold_at_end(0u64, |count, sum| {
            black_box(sum);
            *count += 1;
        })
        .sink(callback(move |count: u64| end.end(count)));
    env.run("hash").expect("the job runs to its end");
    assert_eq!(time.total(), records, "every record has come over the edge");
    time.took()
}

fn all<R: Record>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("edge/{} B", size_of::<R>()));
    group.throughput(Throughput::Elements(RECORDS));
    for parallelism in [1, 2, 4] {
        measure(&mut group, "rebalance", parallelism, rebalance::<R>);
        measure(&mut group, "hash", parallelism, hash::<R>);
    }
    group.finish();
}

/// One pair, by the size of a record.
fn sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("edge/size");
    group.throughput(Throughput::Elements(RECORDS));
    let jobs: [Job; 4] =
        [rebalance::<u64>, rebalance::<[u64; 2]>, rebalance::<[u64; 8]>, rebalance::<[u64; 32]>];
    for (bytes, job) in [8, 16, 64, 256].into_iter().zip(jobs) {
        measure(&mut group, &format!("{bytes} B"), 1, job);
    }
    group.finish();
}

/// One pair, by how many records its ring holds.
fn capacities(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("edge/capacity");
    group.throughput(Throughput::Elements(RECORDS));
    for records in [64, 512, 4096, 16_384] {
        let id = BenchmarkId::new("records", records);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut env = environment(1);
                env.config_mut().edges.capacity = Some(records);
                rebalance_in::<u64>(env, iterations * RECORDS)
            });
        });
    }
    group.finish();
}

/// Runs a job of this parallelism and so many records, and gives its own time.
type Job = fn(usize, u64) -> Duration;

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, parallelism: usize, job: Job) {
    let id = BenchmarkId::new(name, format!("{parallelism}x{parallelism}"));
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|iterations| job(parallelism, iterations * RECORDS));
    });
}

fn main() {
    let mut criterion = common::criterion();
    all::<u64>(&mut criterion);
    all::<[u64; 8]>(&mut criterion);
    sizes(&mut criterion);
    capacities(&mut criterion);
    criterion.final_summary();
}
