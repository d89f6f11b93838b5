//! What does a watermark cost that moves event time at a subtask with many inputs, and what a barrier that comes by
//! all of them, and what a step that finds nothing at any? Claims nothing about what fires, nor about what is stored at
//! a barrier.
//!
//! Each input is ahead of the one before. The one that is furthest behind says that it is furthest ahead now; so event
//! time moves at every step, and goes through five operators that have nothing to fire. Sending it is in the time.

mod common;
#[path = "common/merging.rs"]
mod merging;

use criterion::BenchmarkId;
use merging::Merging;

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("watermark");
    for inputs in [1, 64, 512] {
        let mut merging = Merging::new(inputs);
        (0..inputs).for_each(|_| merging.advance());
        group.bench_function(BenchmarkId::new("inputs", inputs), |bencher| {
            bencher.iter(|| merging.advance());
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("barrier");
    for inputs in [1, 64, 512] {
        let mut merging = Merging::new(inputs);
        group.bench_function(BenchmarkId::new("inputs", inputs), |bencher| {
            bencher.iter(|| merging.align());
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("nothing");
    for inputs in [1, 64, 512] {
        let mut merging = Merging::new(inputs);
        group.bench_function(BenchmarkId::new("inputs", inputs), |bencher| {
            bencher.iter(|| merging.rest());
        });
    }
    group.finish();
    criterion.final_summary();
}
