//! What does a record cost in a fused chain of 1, 5 and 10 operators? Claims nothing about exchanges, sources
//! or memory.
//!
//! A real job on one slot. Its records are a function of their index, so that function is in the time too,
//! and the compiler sees all of it: an operator may cost nothing at all.

mod common;
#[path = "common/job_time.rs"]
mod job_time;

use std::time::Duration;

use criterion::Throughput;
use job_time::{JobTime, splitmix64};
use slotflow::prelude::*;
use slotflow::runtime::pipe::Pipe;

/// Records of a job, for each iteration: far more than a step takes.
const RECORDS: u64 = 100_000;

/// A filter and a flat map that leave about as many records as there were, or the last of the operators would
/// idle.
fn four_operators<P>(stream: Stream<'_, P>) -> Stream<'_, impl Pipe<Out = Owned<u64>> + use<P>>
where
    P: Pipe<Out = Owned<u64>>,
{
    stream
        .map(|x: u64| x.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (x >> 32))
        .filter(|x| x & 15 != 0)
        .map(|x| x.wrapping_add(1))
        .flat_map_with(|x, out| {
            out.push(x);
            if x % 16 == 0 {
                out.push(x >> 3);
            }
        })
}

/// Without a flat map: what is behind one is compiled once for each of its pushes.
fn five_operators<P>(stream: Stream<'_, P>) -> Stream<'_, impl Pipe<Out = Owned<u64>> + use<P>>
where
    P: Pipe<Out = Owned<u64>>,
{
    let mixed = stream.map(|x: u64| x.rotate_left(7).wrapping_mul(3)).filter(|x| x & 0xff != 0);
    mixed.map(|x| x ^ (x >> 9)).filter(|x| x & 0xff != 1).map(|x| x.wrapping_sub(5))
}

/// Runs a job of so many records and gives its own time.
type Run = fn(u64) -> Duration;

/// A job between its two ends.
struct ChainJob {
    env: Environment,
    time: JobTime,
}

impl ChainJob {
    fn new() -> ChainJob {
        let env = Environment::new().expect("the SLOTFLOW_* variables are right");
        ChainJob { env, time: JobTime::default() }
    }

    fn source(&self, records: u64) -> Stream<'_, impl Pipe<Out = Owned<u64>> + use<>> {
        let begin = self.time.clone();
        self.env.source(generate(records, splitmix64).on_start(move |_, _| begin.begin()))
    }

    /// Adds the last operator, runs the job and gives its own time.
    fn run<P: Pipe<Out = Owned<u64>>>(&self, stream: Stream<'_, P>) -> Duration {
        let end = self.time.clone();
        let sum = stream.fold_at_end(0u64, |sum, x| *sum = sum.wrapping_add(x));
        sum.sink(callback(move |sum: u64| end.end(sum)));
        self.env.run("fused_chain").expect("the job runs to its end");
        assert_ne!(self.time.total(), 0, "the last operator has seen records");
        self.time.took()
    }
}

fn one(records: u64) -> Duration {
    let job = ChainJob::new();
    job.run(job.source(records))
}

fn five(records: u64) -> Duration {
    let job = ChainJob::new();
    job.run(four_operators(job.source(records)))
}

fn ten(records: u64) -> Duration {
    let job = ChainJob::new();
    job.run(five_operators(four_operators(job.source(records))))
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("fused_chain");
    group.throughput(Throughput::Elements(RECORDS));
    let jobs: [Run; 3] = [one, five, ten];
    for (operators, job) in [1, 5, 10].into_iter().zip(jobs) {
        group.bench_function(format!("{operators} operators"), |bencher| {
            bencher.iter_custom(|iterations| job(iterations * RECORDS));
        });
    }
    group.finish();
    criterion.final_summary();
}
