//! How long does a job take that has next to nothing to do, from its description to its report? Claims nothing about
//! sources and sinks that must connect somewhere.
//!
//! With slots of its own, which are made and given up, or on a pool that is there already.

mod common;

use criterion::BenchmarkId;
use slotflow::Slots;
use slotflow::prelude::*;

fn describe_and_run(env: &Environment) {
    env.source(generate(1, |i| i)).rebalance().map(|i: u64| i + 1).sink(callback(|_: u64| {}));
    env.run("nothing much").expect("the job runs to its end");
}

fn environment(parallelism: usize) -> Environment {
    Environment::new().expect("the SLOTFLOW_* variables are right").parallelism(parallelism)
}

fn pool(parallelism: usize) -> Slots {
    let mut env = environment(parallelism);
    env.config_mut().slots.count = Some(parallelism);
    Slots::new(env.config_mut()).expect("the machine has a core")
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("job_start");
    for parallelism in [1, 4] {
        group.bench_function(BenchmarkId::new("own slots", parallelism), |bencher| {
            bencher.iter(|| describe_and_run(&environment(parallelism)));
        });
        let slots = pool(parallelism);
        group.bench_function(BenchmarkId::new("slots of a pool", parallelism), |bencher| {
            bencher.iter(|| describe_and_run(&environment(parallelism).on(&slots)));
        });
    }
    group.finish();
    criterion.final_summary();
}
