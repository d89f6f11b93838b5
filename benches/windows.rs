//! What does a record cost in windows? Claims nothing about exchanges: all is one chain.
//!
//! Count of 1,000 keys, 1,000 records for each millisecond of event time, in order: tumbling windows of 100 ms,
//! sliding ones of 1 s every 10 ms, sessions that 5 ms of silence end, and tumbling ones with the trigger that they
//! have anyway, which makes them of another kind.

mod common;
#[path = "common/job_time.rs"]
mod job_time;

use std::time::Duration;

use criterion::{SamplingMode, Throughput};
use job_time::{JobTime, splitmix64};
use slotflow::prelude::*;
use slotflow::runtime::EventTime;
use slotflow::runtime::pipe::Pipe;

/// Records of a job, for each iteration: half a second of event time.
const RECORDS: u64 = 500_000;

const KEYS: u64 = 1_000;
const RECORDS_PER_MS: u64 = 1_000;

/// Time and key.
type Reading = (i64, u64);

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn reading(i: u64) -> Reading {
    ((i / RECORDS_PER_MS) as i64, splitmix64(i) % KEYS)
}

fn earliest(a: Reading, b: Reading) -> Reading {
    a.min(b)
}

/// Runs a job of so many records and gives its own time.
type Run = fn(u64) -> Duration;

/// A job between its two ends.
struct WindowJob {
    env: Environment,
    time: JobTime,
}

impl WindowJob {
    fn new() -> WindowJob {
        let mut env = Environment::new().expect("the SLOTFLOW_* variables are right");
        env.config_mut().job.best_effort = true;
        WindowJob { env, time: JobTime::default() }
    }

    fn readings(
        &self,
        records: u64,
    ) -> Stream<'_, impl Pipe<Out = Owned<Reading>, Time = EventTime> + use<>> {
        let begin = self.time.clone();
        let source = self.env.source(generate(records, reading).on_start(move |_, _| begin.begin()));
        source.with_timestamps(|(time, _)| *time, Watermarks::monotonous())
    }

    /// Counts the windows, runs the job and gives its own time.
    fn run<P, V: 'static>(&self, windows: Stream<'_, P>) -> Duration
    where
        P: Pipe<Out = Owned<V>>,
    {
        let end = self.time.clone();
        let count = windows.fold_at_end(0u64, |count, _| *count += 1);
        count.sink(callback(move |count: u64| end.end(count)));
        self.env.run("windows").expect("the job runs to its end");
        assert_ne!(self.time.total(), 0, "windows have fired");
        self.time.took()
    }
}

fn tumbling(records: u64) -> Duration {
    let job = WindowJob::new();
    let keyed = job.readings(records).key_by(|(_, key)| *key);
    job.run(keyed.window(Tumbling::of(millis(100))).reduce(earliest))
}

fn sliding(records: u64) -> Duration {
    let job = WindowJob::new();
    let keyed = job.readings(records).key_by(|(_, key)| *key);
    job.run(keyed.window(Sliding::of(millis(1000), millis(10))).reduce(earliest))
}

fn session(records: u64) -> Duration {
    let job = WindowJob::new();
    let keyed = job.readings(records).key_by(|(_, key)| *key);
    job.run(keyed.window(Session::with_gap(millis(5))).reduce(earliest))
}

fn triggered(records: u64) -> Duration {
    let job = WindowJob::new();
    let keyed = job.readings(records).key_by(|(_, key)| *key);
    job.run(keyed.window(Tumbling::of(millis(100))).trigger(EventTimeTrigger).reduce(earliest))
}

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("windows");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(RECORDS));
    let jobs: [(&str, Run); 4] =
        [("tumbling", tumbling), ("sliding", sliding), ("session", session), ("triggered", triggered)];
    for (name, job) in jobs {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| (0..iterations).map(|_| job(RECORDS)).sum());
        });
    }
    group.finish();
    criterion.final_summary();
}
