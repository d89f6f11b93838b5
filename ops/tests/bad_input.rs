//! Bad input: times at the ends of time and going back, keys that change, closures that panic, state that cannot be
//! written or read. What becomes of each is defined, and nothing is lost without being counted.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod setting;

use std::cell::Cell;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use setting::checked;
use slotflow::prelude::*;
use slotflow::runtime::job::JobMetrics;
use slotflow::runtime::testing::Harness;
use slotflow::{Aggregate, Merge, StateBackend, Timer, ValueState};
use slotflow_ops::keyed_process;

/// Runs a job to its end, and gives its last metrics.
fn ended(env: Environment) -> JobMetrics {
    let job = env.start("ended").unwrap();
    while !job.has_ended() {
        std::thread::yield_now();
    }
    job.metrics()
}

fn ms(length: u64) -> Duration {
    Duration::from_millis(length)
}

/// From the first time there is to the last, and back.
const TIMES: [i64; 12] =
    [i64::MIN, i64::MIN + 1, -(1 << 62), -1, 0, 1, 1 << 62, i64::MAX - 1, i64::MAX, i64::MIN, -7, i64::MAX];

/// Runs a job over these times, whose last stream says how many of them each of its records is made of.
macro_rules! accounted_for {
    (|$timed:ident| $counts:expr) => {
        for lag_ms in [0, 5, u64::MAX] {
            let (env, counts) = (Environment::with(Config::default()), Collected::new());
            let lag = Watermarks::bounded_out_of_orderness(ms(lag_ms));
            let $timed = env.source(from_iterator(TIMES)).with_timestamps(|time| *time, lag);
            checked($counts).sink(counts.sink());
            let late = ended(env).dropped();
            let counted: u64 = counts.take().into_iter().sum();
            assert_eq!(counted + late, TIMES.len() as u64, "with a lag of {lag_ms} ms {late} are late");
        }
    };
}

#[test]
fn records_at_the_ends_of_time_are_in_windows_or_counted_as_late() {
    let records = |records: Vec<i64>| records.len() as u64;
    for size in [ms(10), Duration::MAX] {
        accounted_for!(|timed| {
            timed.key_by(|_| 0).window(Tumbling::of(size)).process(move |it| records(it.value))
        });
    }
    for gap in [ms(10), Duration::MAX] {
        accounted_for!(|timed| {
            timed.key_by(|_| 0).window(Session::with_gap(gap)).process(move |it| records(it.value))
        });
    }
}

/// Gives each record when its timer fires.
struct Timed(ValueState<u64>);

impl KeyedProcessFunction<i64, i64> for Timed {
    type Out = u64;

    fn process(&mut self, time: i64, ctx: &mut ProcessContext<'_, i64, u64>) {
        *self.0.value_or_default(ctx) += 1;
        ctx.register_event_time_timer(time);
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut ProcessContext<'_, i64, u64>) {
        let count = self.0.clear(ctx).unwrap_or(0);
        ctx.push(count);
    }
}

#[test]
fn timers_at_the_ends_of_time_and_in_the_past_fire_at_the_next_watermark() {
    accounted_for!(|timed| timed.key_by(|time| *time).process(|states| Timed(states.value("count"))));
}

#[test]
fn records_at_the_ends_of_time_are_joined_or_counted_as_late() {
    let env = Environment::with(Config::default());
    let stream = || env.source(from_iterator(TIMES)).with_timestamps(|time| *time, Watermarks::monotonous());
    let joined = Collected::new();
    let both = stream().connect(stream()).key_by(|either| match either {
        Either::First(time) | Either::Second(time) => *time % 2,
    });
    checked(both.as_of_join(|record, _| Some(record)).retain(Duration::MAX)).sink(joined.sink());
    let metrics = ended(env);
    let operators = metrics.subtasks.iter().flat_map(|subtask| &subtask.operators);
    let late: u64 = operators.map(|operator| operator.dropped("late")).sum();
    assert_eq!(joined.take().len() as u64 + late, TIMES.len() as u64);
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let open = |states: &mut StateDescriptors<'_>| Clocked(states.value("at"));
    let mut harness = Harness::new(keyed_process(|key: &u64| *key, open)).unwrap();
    harness.processing_time(1_000).unwrap();
    harness.push(1).unwrap();
    harness.processing_time(10).unwrap();
    harness.push(2).unwrap();
    harness.processing_time(1_005).unwrap();
    assert_eq!(harness.take(), [(1, 1_000), (2, 1_000)]);
}

/// Gives each key with the processing time of its record, five milliseconds after it.
struct Clocked(ValueState<i64>);

impl KeyedProcessFunction<u64, u64> for Clocked {
    type Out = (u64, i64);

    fn process(&mut self, _: u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        let now = ctx.processing_time();
        self.0.set(ctx, now);
        ctx.register_processing_time_timer(now + 5);
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        let at = self.0.clear(ctx).unwrap_or(-1);
        ctx.push((*ctx.key(), at));
    }
}

/// A key that is another one each time it is asked for.
fn fickle() -> impl FnMut(&i64) -> u64 + Clone + Send + 'static {
    let mut asked = 0u64;
    move |_| {
        asked += 1;
        asked * 0x9E37_79B9 % 7
    }
}

#[test]
fn keys_that_change_lose_no_record() {
    const RECORDS: u64 = 1_000;
    macro_rules! all_are_there {
        (|$keyed:ident| $counts:expr) => {
            let (env, counts) = (Environment::with(Config::default()).parallelism(2), Collected::new());
            let records = env.source(generate(RECORDS, |n| n as i64));
            let timed = records.with_timestamps(|n| *n, Watermarks::bounded_out_of_orderness(ms(2_000)));
            let $keyed = timed.key_by(fickle());
            checked($counts).sink(counts.sink());
            assert_eq!(ended(env).dropped(), 0);
            assert_eq!(counts.take().into_iter().sum::<u64>(), RECORDS);
        };
    }
    all_are_there!(|keyed| keyed.window(Tumbling::of(ms(10))).process(|it| it.value.len() as u64));
    all_are_there!(|keyed| keyed.window(Sliding::of(ms(10), ms(10))).process(|it| it.value.len() as u64));
    all_are_there!(|keyed| keyed.window(Session::with_gap(ms(3))).process(|it| it.value.len() as u64));
    all_are_there!(|keyed| keyed.fold_at_end(0u64, |count, _| *count += 1).map(|it| it.1));
    all_are_there!(|keyed| keyed.count_window(1).reduce(|a, _| a).map(|_| 1u64));
}

/// Sums numbers, and panics where it is told to.
#[derive(Clone)]
struct Panics {
    adding: bool,
}

impl Aggregate<i64> for Panics {
    type Acc = i64;
    type Out = i64;

    fn create(&self) -> i64 {
        0
    }
    fn add(&self, sum: &mut i64, n: i64) {
        assert!(!self.adding || n != 77, "77 is one too many");
        *sum += n;
    }
    fn result(&self, sum: &i64) -> i64 {
        assert!(self.adding || *sum < 100, "a sum of {sum} is too much");
        *sum
    }
}

impl Merge<i64> for Panics {
    fn merge(&self, into: &mut i64, other: &i64) {
        *into += other;
    }
}

#[test]
fn an_aggregate_that_panics_fails_the_job_by_its_operator() {
    for (adding, said) in [(true, "77 is one too many"), (false, "a sum of 145 is too much")] {
        let env = Environment::with(Config::default());
        let timed = env.source(generate(100, |n| n as i64)).with_timestamps(|n| *n, Watermarks::monotonous());
        let windows = timed.key_by(|_| 0).window(Tumbling::of(ms(10)));
        windows.aggregate(Panics { adding }).name("sums").sink(callback(|_| ()));
        let error = env.run("panics").unwrap_err().to_string();
        assert!(error.contains("operator \"sums\", subtask 0: panicked: "), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

thread_local! {
    /// What a poisoned value does: 1 fails to be written, 2 to be read.
    static POISON: Cell<u8> = const { Cell::new(0) };
}

/// A value that cannot always be written or read.
#[derive(Clone, Copy)]
struct Poisoned(u64);

impl Serialize for Poisoned {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if POISON.get() == 1 {
            return Err(serde::ser::Error::custom("a pointer to nowhere"));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Poisoned {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let value = u64::deserialize(deserializer)?;
        if POISON.get() == 2 {
            return Err(serde::de::Error::custom("half a value"));
        }
        Ok(Poisoned(value))
    }
}

struct Keeps(ValueState<Poisoned>);

impl KeyedProcessFunction<u64, u64> for Keeps {
    type Out = u64;
    fn process(&mut self, n: u64, ctx: &mut ProcessContext<'_, u64, u64>) {
        self.0.set(ctx, Poisoned(n));
    }
}

macro_rules! keeps {
    () => {
        Harness::new(keyed_process(
            |n: &u64| *n,
            |states: &mut StateDescriptors<'_>| Keeps(states.value("last")),
        ))
        .unwrap()
    };
}

#[test]
fn state_that_cannot_be_written_or_read_is_refused_by_name() {
    let mut harness = keeps!();
    (0..100).for_each(|n| harness.push(n).unwrap());
    let mut bytes = Vec::new();
    harness.operator().state().snapshot(3, &mut bytes).unwrap();
    POISON.set(1);
    let refused = harness.operator().state().snapshot(3, &mut Vec::new()).unwrap_err().to_string();
    assert!(refused.contains("\"last\"") && refused.contains("a pointer to nowhere"), "{refused}");
    POISON.set(2);
    let refused = keeps!().operator().state().restore(3, &bytes).unwrap_err().to_string();
    assert!(refused.contains("\"last\"") && refused.contains("half a value"), "{refused}");
    POISON.set(0);
    for cut in 0..bytes.len() {
        let refused = keeps!().operator().state().restore(3, &bytes[..cut]).unwrap_err().to_string();
        assert!(refused.contains("cannot be read"), "{refused}");
    }
}

#[test]
fn key_groups_out_of_range_and_of_another_number_of_groups_are_refused() {
    let mut harness = keeps!();
    (0..100).for_each(|n| harness.push(n).unwrap());
    let mut bytes = Vec::new();
    let refused = harness.operator().state().snapshot(16, &mut bytes).unwrap_err().to_string();
    assert!(refused.contains("key group 16 is not one of the job's 16"), "{refused}");
    harness.operator().state().snapshot(3, &mut bytes).unwrap();
    let refused = keeps!().operator().state().restore(usize::MAX, &bytes).unwrap_err().to_string();
    assert!(refused.contains("max_parallelism"), "{refused}");
    let refused = keeps!().operator().state().restore(4, &bytes).unwrap_err().to_string();
    assert!(refused.contains("a key of group 3 was stored in group 4"), "{refused}");
}
