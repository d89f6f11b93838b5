//! What does a record cost that finds its key among few, many and very many? Claims nothing about exchanges: all is
//! one chain.
//!
//! A job begins without state and has twice as many records as keys, or a million, so with very many keys up to half
//! of the records add one.

mod common;
#[path = "common/job_time.rs"]
mod job_time;

use std::time::Duration;

use criterion::{BenchmarkId, SamplingMode, Throughput};
use job_time::{JobTime, splitmix64};
use slotflow::prelude::*;

/// Records of a job, at least: many times the keys where there are few.
const RECORDS_MIN: u64 = 1_000_000;

fn keyed(keys: u64, records: u64) -> Duration {
    let mut env = Environment::new().expect("the SLOTFLOW_* variables are right");
    env.config_mut().job.best_effort = true;
    let time = JobTime::default();
    let (begin, end) = (time.clone(), time.clone());
    env.source(generate(records, splitmix64).on_start(move |_, _| begin.begin()))
        .key_by(move |hash| hash % keys)
        .map_with_state(|count: &mut u64, _| {
            *count += 1;
            *count
        })
        .fold_at_end(0u64, |results, count| *results += u64::from(count > 0))
        .sink(callback(move |results: u64| end.end(results)));
    env.run("keyed state").expect("the job runs to its end");
    assert_eq!(time.total(), records, "each record has a result");
    time.took()
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("keyed_state");
    group.sampling_mode(SamplingMode::Flat);
    for keys in [1_000, 100_000, 10_000_000] {
        let records = RECORDS_MIN.max(2 * keys);
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::new("keys", keys), |bencher| {
            bencher.iter_custom(|iterations| (0..iterations).map(|_| keyed(keys, records)).sum());
        });
    }
    group.finish();
    criterion.final_summary();
}
