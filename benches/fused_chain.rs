//! What does a record cost in a fused chain of 1, 5, 10 and 30 operators, of 8 bytes and of 64? Claims nothing
//! about exchanges, sources or memory.
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

/// A record's first number, changed; all of it moves.
fn mixed(record: [u64; 8]) -> [u64; 8] {
    let mut record = record;
    record[0] = record[0].rotate_left(7).wrapping_mul(3) ^ record[7];
    record
}

fn kept(record: &[u64; 8]) -> bool {
    record[0] & 0xff != 0
}

/// Five operators on records of 64 bytes.
fn wide(records: u64) -> Duration {
    let job = ChainJob::new();
    let wide = job.source(records).map(|x: u64| [x; 8]);
    job.run(wide.filter(kept).map(mixed).filter(kept).map(|record| record[0]))
}

fn turned(x: u64) -> u64 {
    x.rotate_left(7).wrapping_mul(3)
}

fn odd_enough(x: &u64) -> bool {
    x & 0xff != 0
}

/// Fifteen times map and filter, by functions that have names, so that the pipeline's type stays small.
fn thirty(records: u64) -> Duration {
    let job = ChainJob::new();
    let stream = job.source(records).map(turned).filter(odd_enough).map(turned).filter(odd_enough);
    let stream = stream.map(turned).filter(odd_enough).map(turned).filter(odd_enough);
    let stream = stream.map(turned).filter(odd_enough).map(turned).filter(odd_enough);
    let stream = stream.map(turned).filter(odd_enough).map(turned).filter(odd_enough);
    let stream = stream.map(turned).filter(odd_enough).map(turned).filter(odd_enough);
    let stream = stream.map(turned).filter(odd_enough).map(turned).filter(odd_enough);
    let stream = stream.map(turned).filter(odd_enough).map(turned).filter(odd_enough);
    job.run(stream.map(turned).filter(odd_enough))
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("fused_chain");
    group.throughput(Throughput::Elements(RECORDS));
    let jobs: [(&str, Run); 5] = [
        ("1 operators", one),
        ("5 operators", five),
        ("10 operators", ten),
        ("30 operators", thirty),
        ("5 operators, 64 B", wide),
    ];
    for (name, job) in jobs {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| job(iterations * RECORDS));
        });
    }
    group.finish();
    criterion.final_summary();
}
