//! The jobs that grow in one direction.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use slotflow::io::Generator;
use slotflow::prelude::*;
use slotflow::runtime::pipe::Pipe;
use slotflow::runtime::testing::simulation::Simulation;

use crate::job_time::{JobTime, splitmix64};

/// As many records as a step takes at least: a ring's room ends the steps of a simulation, whose clock stands still
/// meanwhile.
const RING: usize = 1024;

/// Keys of each keyed subtask, unless it is keys that grow.
const KEYS: u64 = 1_000;

/// Keys in windows: ten records for each in a millisecond of event time.
const WINDOW_KEYS: u64 = 100;
const RECORDS_PER_MS: u64 = 1_000;

/// How long a window is; the slide is a part of it.
const WINDOW_MS: u64 = 1_000;

/// How jobs are run, and what that came to.
pub struct Runner {
    threads: bool,
    time: JobTime,
    turns: Cell<u64>,
}

impl Runner {
    pub fn new(threads: bool) -> Runner {
        Runner { threads, time: JobTime::default(), turns: Cell::new(0) }
    }

    /// Turns of all cores in the simulation.
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// The job's own time.
    pub fn took(&self) -> Duration {
        self.time.took()
    }

    pub fn environment(&self, parallelism: usize) -> Environment {
        let mut env =
            Environment::new().expect("the SLOTFLOW_* variables are right").parallelism(parallelism);
        // State that nothing stores: the plan wants to be told that this is meant.
        env.config_mut().job.best_effort = true;
        if !self.threads {
            env.config_mut().edges.capacity = Some(RING);
        }
        env
    }

    /// Records that are a hash of their index.
    pub fn source(&self, records: u64) -> Generator<impl FnMut(u64) -> u64 + Clone + Send + use<>> {
        self.made(records, splitmix64)
    }

    /// Records that `make` makes of their index.
    pub fn made<T: 'static, F>(&self, records: u64, make: F) -> Generator<F>
    where
        F: FnMut(u64) -> T + Clone + Send + 'static,
    {
        let begin = self.time.clone();
        generate(records, make).on_start(move |_, _| begin.begin())
    }

    /// Counts what arrives, in subtasks of the last operator's slots, and runs the job.
    pub fn count<T: 'static>(&self, env: &Environment, stream: Stream<'_, impl Pipe<Out = Owned<T>>>) -> u64 {
        let end = self.time.clone();
        stream
            .fold_at_end(0u64, |count, record: T| {
                black_box(record);
                *count += 1;
            })
            .sink(callback(move |count: u64| end.end(count)));
        if self.threads {
            env.run("scaling").expect("the job runs to its end");
        } else {
            let simulation = Simulation::seed(1).core_per_slot().turns_max(u64::MAX);
            let report = env.simulate("scaling", simulation).expect("the job runs to its end");
            self.turns.set(report.turns);
        }
        self.time.total()
    }
}

/// Source and keyed subtask in each of `size` slots, a ring between every two.
pub fn slots(runner: &Runner, size: usize, records: u64) {
    keyed(runner, size, KEYS * size as u64, records);
}

/// One slot, more and more keys, one after the other: all are there after as many records.
pub fn keys(runner: &Runner, size: usize, records: u64) {
    keyed(runner, 1, size as u64, records);
}

fn keyed(runner: &Runner, parallelism: usize, keys: u64, records: u64) {
    let env = runner.environment(parallelism);
    let keyed = env.source(runner.made(records, |i| i)).key_by(move |i| i % keys);
    let sums = keyed.map_with_state(|sum: &mut u64, i| {
        *sum = sum.wrapping_add(i);
        *sum
    });
    assert_eq!(runner.count(&env, sums), records, "each record has a sum");
}

/// As many sources as counts: rings grow by the square.
pub fn square(runner: &Runner, size: usize, records: u64) {
    exchange(runner, size, size, records);
}

/// One source, more and more targets.
pub fn fanout(runner: &Runner, size: usize, records: u64) {
    exchange(runner, 1, size, records);
}

/// More and more sources, one target.
pub fn fanin(runner: &Runner, size: usize, records: u64) {
    exchange(runner, size, 1, records);
}

/// `from` sources and `to` counts in slots of their own.
fn exchange(runner: &Runner, from: usize, to: usize, records: u64) {
    let env = runner.environment(to);
    let sources = env.source(runner.source(records)).parallelism(from).slot_sharing_group("sources");
    let halves = sources.rebalance().map(|hash| hash >> 1).slot_sharing_group("counts");
    assert_eq!(runner.count(&env, halves), records, "each record has crossed");
}

/// Operators that the compiler sees as one.
pub fn fused(runner: &Runner, size: usize, records: u64) {
    let env = runner.environment(1);
    let source = env.source(runner.source(records));
    let counted = match size {
        1 => runner.count(&env, one(source)),
        2 => runner.count(&env, two(source)),
        8 => runner.count(&env, four(four(source))),
        32 => runner.count(&env, sixteen(sixteen(source))),
        _ => panic!("there are fused chains of 1, 2, 8 and 32 operators, which are types"),
    };
    assert_eq!(counted, records, "each record has passed");
}

fn one<P: Pipe<Out = Owned<u64>>>(stream: Stream<'_, P>) -> Stream<'_, impl Pipe<Out = Owned<u64>> + use<P>> {
    stream.map(turned)
}

fn two<P: Pipe<Out = Owned<u64>>>(stream: Stream<'_, P>) -> Stream<'_, impl Pipe<Out = Owned<u64>> + use<P>> {
    one(one(stream))
}

fn four<P: Pipe<Out = Owned<u64>>>(
    stream: Stream<'_, P>,
) -> Stream<'_, impl Pipe<Out = Owned<u64>> + use<P>> {
    two(two(stream))
}

fn sixteen<P>(stream: Stream<'_, P>) -> Stream<'_, impl Pipe<Out = Owned<u64>> + use<P>>
where
    P: Pipe<Out = Owned<u64>>,
{
    four(four(four(four(stream))))
}

/// The same, behind a pointer each.
pub fn boxed(runner: &Runner, size: usize, records: u64) {
    let env = runner.environment(1);
    let source = env.source(runner.source(records)).boxed();
    let last = (0..size).fold(source, |stream, _| stream.map(turned).boxed());
    assert_eq!(runner.count(&env, last), records, "each record has passed");
}

/// The same, each a subtask of its own behind a ring.
pub fn cut(runner: &Runner, size: usize, records: u64) {
    let env = runner.environment(1);
    let source = env.source(runner.source(records)).boxed();
    let last = (0..size).fold(source, |stream, _| stream.map(turned).start_new_chain().boxed());
    assert_eq!(runner.count(&env, last), records, "each record has passed");
}

/// An operator that costs little and is not folded into its neighbour.
fn turned(x: u64) -> u64 {
    x.rotate_left(7).wrapping_mul(3)
}

/// A second of sliding windows, `size` of which each record is in.
pub fn windows(runner: &Runner, size: usize, records: u64) {
    let env = runner.environment(1);
    let timed = env.source(runner.made(records, |i| i)).with_timestamps(
        |i| (i / RECORDS_PER_MS) as i64,
        Watermarks::bounded_out_of_orderness(Duration::from_millis(5)),
    );
    let (length, slide) = (Duration::from_millis(WINDOW_MS), Duration::from_millis(WINDOW_MS / size as u64));
    let windows = timed.key_by(|i| i % WINDOW_KEYS).window(Sliding::of(length, slide));
    assert!(runner.count(&env, windows.reduce(u64::max)) > 0, "windows fire at the end at least");
}
