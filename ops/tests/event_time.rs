//! Event time in whole jobs: watermarks of splits, idleness, ingestion time, time made in the middle of a stream.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod setting;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use setting::fewer_cases;
use slotflow::prelude::*;
use slotflow_runtime::pipe::Pipe;
use slotflow_runtime::testing::WatermarkChecker;
use slotflow_runtime::testing::simulation::Simulation;
use slotflow_runtime::{
    Cloned, Flow, MAX_TIMESTAMP, Polled, Source, SourceReader, SplitId, Splits, SubtaskContext, Timestamp,
    Untimed,
};

/// How many orders of turns a job is run in.
const SEEDS: u64 = 40;

const MS: u64 = 1_000_000;

/// Gives the times of each split one by one, each split at its own pace.
#[derive(Clone)]
struct Script {
    splits: Vec<Lines>,
    own: Vec<usize>,
}

/// What a split gives.
#[derive(Clone, Debug)]
struct Lines {
    times: Vec<i64>,
    given: usize,
    /// The time between two records.
    pause_ns: u64,
    /// Stays silent when all is given, for ever.
    endless: bool,
    /// Says that it has more to give when it is silent.
    behind: bool,
    /// Whether it can be paused, and is.
    pausable: bool,
    paused: bool,
}

fn lines(times: impl IntoIterator<Item = i64>, pause_ns: u64) -> Lines {
    let (times, endless, behind) = (times.into_iter().collect(), false, false);
    Lines { times, given: 0, pause_ns, endless, behind, pausable: false, paused: false }
}

impl Lines {
    fn endless(self) -> Lines {
        Lines { endless: true, ..self }
    }

    fn behind(self) -> Lines {
        Lines { endless: true, behind: true, ..self }
    }

    fn pausable(self) -> Lines {
        Lines { pausable: true, ..self }
    }

    /// When it gives its next record, if it has one.
    fn next_ns(&self) -> Option<u64> {
        (self.given < self.times.len() && !self.paused).then(|| self.given as u64 * self.pause_ns)
    }

    fn has_ended(&self) -> bool {
        self.given == self.times.len() && !self.endless
    }
}

fn script(splits: impl Into<Vec<Lines>>) -> Script {
    Script { splits: splits.into(), own: Vec::new() }
}

impl Source for Script {
    type Reader = Script;
    fn describe(&self) -> String {
        "script".into()
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Count(self.splits.len() as u32))
    }
    fn open(&mut self, _: &SubtaskContext, splits: &[SplitId]) -> Result<Script> {
        let own = splits.iter().map(|split| *split as usize).collect();
        Ok(Script { own, splits: self.splits.clone() })
    }
}

impl SourceReader for Script {
    type Item = Owned<i64>;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        _: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<i64>>,
    ) -> Result<Polled> {
        let next = self.own.iter().filter_map(|split| Some((self.splits[*split].next_ns()?, *split))).min();
        match next {
            Some((due_ns, split)) if due_ns <= ctx.now_ns() => {
                let lines = &mut self.splits[split];
                ctx.set_split(split as SplitId);
                out.push(lines.times[lines.given], ctx);
                lines.given += 1;
                Ok(Polled::Records(1))
            }
            Some((due_ns, _)) => Ok(Polled::Until(due_ns)),
            None if self.own.iter().any(|split| !self.splits[*split].has_ended()) => Ok(Polled::Idle),
            None => Ok(Polled::End),
        }
    }

    fn is_behind(&self, split: SplitId) -> bool {
        self.splits[split as usize].behind
    }

    fn ended_splits(&self) -> usize {
        self.own.iter().filter(|split| self.splits[**split].has_ended()).count()
    }

    fn has_ended(&self, split: SplitId) -> bool {
        self.splits[split as usize].has_ended()
    }

    fn pause(&mut self, split: SplitId) -> bool {
        let lines = &mut self.splits[split as usize];
        lines.paused = lines.pausable;
        lines.paused
    }

    fn resume(&mut self, split: SplitId) {
        self.splits[split as usize].paused = false;
    }
}

/// The watermarks that came to a place, with the processing time at which they came.
#[derive(Clone, Default)]
struct Watermarked(Arc<Mutex<Vec<(Timestamp, u64)>>>);

impl Watermarked {
    /// The watermarks without the last one there is.
    fn rose(&self) -> Vec<Timestamp> {
        let all = self.0.lock().unwrap();
        all.iter().map(|it| it.0).filter(|watermark| *watermark != MAX_TIMESTAMP).collect()
    }

    /// When it was reached, in nanoseconds.
    fn reached_ns(&self, time: Timestamp) -> u64 {
        self.0.lock().unwrap().iter().find(|it| it.0 >= time).unwrap().1
    }

    fn ended(&self) -> bool {
        self.0.lock().unwrap().iter().any(|it| it.0 == MAX_TIMESTAMP)
    }
}

impl Operator<Owned<i64>> for Watermarked {
    type Out = Owned<i64>;
    fn process<'s>(&mut self, n: i64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<i64>>) {
        out.push(n, ctx);
    }
    fn watermark<'s>(&mut self, at: i64, ctx: &mut Context<'s>, _: &mut impl Output<Owned<i64>>) -> Flow {
        self.0.lock().unwrap().push((at, ctx.now_ns()));
        Flow::Done
    }
}

fn environment(parallelism: usize) -> Environment {
    let mut env = Environment::with(Config::default()).parallelism(parallelism);
    env.config_mut().edges.capacity = Some(2);
    env
}

/// Checks that nothing is late, at the source and behind an exchange, and notes the watermarks there.
fn watched<P: Pipe<Out = Owned<i64>>>(times: Stream<'_, P>) -> Watermarked {
    let seen = Watermarked::default();
    let times = times.then("at the source", Cloned(WatermarkChecker::default()));
    let times = times.rebalance().then("behind an exchange", Cloned(WatermarkChecker::default()));
    times.then("seen", Cloned(seen.clone())).parallelism(1).boxed().sink(callback(|_| ()));
    seen
}

fn lag(ms: u64) -> Watermarks<slotflow_ops::BoundedOutOfOrderness> {
    Watermarks::bounded_out_of_orderness(Duration::from_millis(ms)).never_idle()
}

#[test]
fn a_fast_split_makes_no_record_of_a_slow_one_late() {
    for seed in 0..SEEDS {
        let env = environment(1 + seed as usize % 4);
        let slow = lines([3, 5, 4, 9, 8], 300);
        let fast = lines((0..40).map(|n| n * 10 + n % 2 * 5), 1);
        let seen = watched(env.source(script([slow, fast])).with_timestamps(|time| *time, lag(10)));
        env.simulate("splits", seed).unwrap();
        assert!(seen.rose().is_sorted() && seen.ended(), "seed {seed}: {:?}", seen.rose());
    }
}

#[test]
fn a_subtask_without_splits_holds_nobody_up() {
    for seed in 0..SEEDS {
        let env = environment(4);
        let source = script([lines(0..20, 10).endless(), lines(0..30, 7).endless()]);
        let seen = watched(env.source(source).with_timestamps(|time| *time, lag(0)));
        env.simulate("idle", Simulation::seed(seed).drain_at(100_000)).unwrap();
        assert_eq!(seen.rose().last(), Some(&18), "seed {seed}");
        assert!(!seen.ended(), "a drain is no end of time");
    }
}

#[test]
fn a_silent_split_holds_time_up_until_it_is_idle_and_does_not_end_it() {
    for seed in 0..SEEDS {
        let env = environment(1 + seed as usize % 2);
        let source = script([lines([5], 1).endless(), lines(0..100, MS).endless()]);
        let watermarks = Watermarks::monotonous().idle_after(Duration::from_millis(50));
        let seen = watched(env.source(source).with_timestamps(|time| *time, watermarks));
        env.simulate("silent", Simulation::seed(seed).drain_at(100_000)).unwrap();
        assert!((50..60).contains(&(seen.reached_ns(5) / MS)), "seed {seed}: {}", seen.reached_ns(5));
        assert_eq!((seen.rose().last(), seen.ended()), (Some(&98), false), "seed {seed}");
    }
}

/// Some records that end with it, that are all there ever is, or that come when it has been idle for long, with times
/// that nobody has come to yet.
fn random_lines() -> impl Strategy<Value = Lines> {
    (0..30i64, 0..3u64, 0..3u8).prop_map(|(count, pause_ms, kind)| {
        let some = lines((0..count).map(|n| n * pause_ms as i64), pause_ms * MS);
        match kind {
            0 => some,
            1 => some.endless(),
            _ => lines(10_000..10_003, 120 * MS).endless(),
        }
    })
}

proptest! {
    #![proptest_config(fewer_cases(64))]

    /// Beside one that goes on by the millisecond, all the others are idle from 108 ms on.
    #[test]
    fn whatever_is_idle_neither_holds_time_up_nor_ends_it(
        mut splits in prop::collection::vec(random_lines(), 0..6), parallelism in 1..=4usize, seed in any::<u64>(),
    ) {
        splits.insert(seed as usize % (splits.len() + 1), lines(0..200, MS).endless());
        let env = environment(parallelism);
        let watermarks = Watermarks::monotonous().idle_after(Duration::from_millis(50));
        let seen = watched(env.source(script(splits)).with_timestamps(|time| *time, watermarks));
        env.simulate("idle", Simulation::seed(seed).drain_at(100_000)).unwrap();
        let reached_ms = seen.reached_ns(150) / MS;
        prop_assert!((151..161).contains(&reached_ms), "150 is reached after {reached_ms} ms");
        prop_assert!(seen.rose().is_sorted() && !seen.ended());
    }
}

#[test]
fn a_split_that_is_behind_is_not_idle() {
    for seed in 0..SEEDS {
        let env = environment(1);
        let source = script([lines([5], 1).behind(), lines(0..100, MS)]);
        let watermarks = Watermarks::monotonous().idle_after(Duration::from_millis(5));
        let seen = watched(env.source(source).with_timestamps(|time| *time, watermarks));
        env.simulate("outage", Simulation::seed(seed).drain_at(20_000)).unwrap();
        assert_eq!(seen.rose().last(), Some(&4), "seed {seed}");
    }
}

#[test]
fn a_split_that_has_ended_holds_time_up_no_longer() {
    for seed in 0..SEEDS {
        let env = environment(1 + seed as usize % 2);
        let source = script([lines([5], 1), lines(0..100, MS).endless()]);
        let seen = watched(env.source(source).with_timestamps(|time| *time, lag(0)));
        env.simulate("ended", Simulation::seed(seed).drain_at(100_000)).unwrap();
        assert_eq!((seen.rose().last(), seen.ended()), (Some(&98), false), "seed {seed}");
        assert!(seen.reached_ns(5) < 8 * MS, "seed {seed}: {}", seen.reached_ns(5));
    }
}

#[test]
fn ingestion_time_goes_on_although_nothing_comes() {
    for seed in 0..SEEDS {
        let env = environment(1);
        let numbers = env.source(generate(3, |n| n as i64).rate(1)).with_ingestion_time();
        let seen = watched(numbers);
        env.simulate("ingestion", seed).unwrap();
        let rose = seen.rose();
        assert!(rose.len() >= 20 && rose.is_sorted_by(|a, b| a < b), "seed {seed}: {rose:?}");
        assert!((1_800..2_100).contains(rose.last().unwrap()), "seed {seed}: {rose:?}");
    }
}

#[test]
fn time_is_made_in_the_middle_of_a_stream() {
    for seed in 0..SEEDS {
        let env = environment(1 + seed as usize % 3);
        let source = env.source(script([lines([3, 5, 4, 9, 8], 300), lines([1, 2, 3], 70)]));
        let times = source.parallelism(2).with_timestamps(|_| 0, lag(0)).map(|n| n * 2);
        let seen = watched(times.assign_timestamps_and_watermarks(|time| *time, lag(2)));
        env.simulate("middle", seed).unwrap();
        assert!(seen.rose().is_sorted() && seen.rose().last().is_none_or(|last| *last <= 15));
        assert!(seen.ended(), "seed {seed}");
    }
}

#[test]
fn a_record_of_a_split_that_is_not_the_reader_s_fails_the_job() {
    let env = environment(1);
    let mut source = script([lines([1], 1), lines([2], 1)]);
    source.own = vec![1];
    struct Wrong(Script);
    impl Source for Wrong {
        type Reader = Script;
        fn describe(&self) -> String {
            "wrong".into()
        }
        fn splits(&mut self) -> Result<Splits> {
            Ok(Splits::Single)
        }
        fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<Script> {
            Ok(self.0.clone())
        }
    }
    watched(env.source(Wrong(source)).with_timestamps(|time| *time, lag(0)));
    let error = env.run("wrong").unwrap_err().to_string();
    assert!(error.contains("split 1") && error.contains(r#"operator "wrong""#), "{error}");
}

/// What two sources gave, in the order in which they did.
fn drifts(parallelism: usize, seed: u64, group: Option<&WatermarkAlignment>) -> i64 {
    let (env, gave) = (environment(parallelism), Arc::new(Mutex::new(Vec::new())));
    let source = |which: usize, lines: Lines| {
        let gave = gave.clone();
        let times = env.source(script([lines])).with_timestamps(|time| *time, lag(0));
        let times = match group {
            Some(group) => times.with_watermark_alignment(group),
            None => times,
        };
        times.map(move |time| {
            gave.lock().unwrap().push((which, time));
            time
        })
    };
    let (fast, slow) = (source(0, lines(0..300, 1)), source(1, lines((0..30).map(|n| n * 10), MS)));
    watched(fast.union(slow));
    env.simulate("aligned", seed).unwrap();
    let (mut reached, mut most) = ([-1; 2], 0);
    for (which, time) in gave.lock().unwrap().iter() {
        reached[*which] = *time;
        most = most.max(reached[0] - reached[1].max(0));
    }
    assert_eq!(reached, [299, 290], "seed {seed}: each is read to its end");
    most
}

#[test]
fn sources_of_a_group_do_not_drift_apart() {
    let mut free = 0;
    for seed in 0..SEEDS {
        let group = WatermarkAlignment::within(Duration::from_millis(50));
        let parallelism = 1 + seed as usize % 2;
        // One record may have been read before the watermark that it made was known.
        let most = drifts(parallelism, seed, Some(&group));
        assert!((40..=52).contains(&most), "seed {seed}: {most}");
        free = free.max(drifts(parallelism, seed, None));
    }
    assert!(free > 200, "without the group they do: {free}");
}

#[test]
fn a_source_that_has_ended_holds_nobody_up() {
    let group = WatermarkAlignment::within(Duration::from_millis(50));
    let (env, last) = (environment(1), Arc::new(Mutex::new(0)));
    let short = env.source(from_iterator(0..10)).with_timestamps(|time| *time, lag(0));
    let long = env.source(from_iterator(0..300)).with_timestamps(|time| *time, lag(0));
    let note = last.clone();
    let all = short.with_watermark_alignment(&group).union(long.with_watermark_alignment(&group));
    watched(all.inspect(move |time| {
        let mut last = note.lock().unwrap();
        *last = (*last).max(*time);
    }));
    env.simulate("ended", 7).unwrap();
    assert_eq!(*last.lock().unwrap(), 299);
}

#[test]
fn splits_that_are_ahead_are_paused_and_their_neighbours_go_on() {
    for seed in 0..SEEDS {
        let (env, gave) = (environment(1), Arc::new(Mutex::new(Vec::new())));
        let (fast, slow) = (lines((0..300).map(|n| n * 2), 1), lines((0..30).map(|n| n * 20 + 1), MS));
        let timed =
            env.source(script([fast.pausable(), slow.pausable()])).with_timestamps(|time| *time, lag(0));
        let aligned = timed.with_watermark_alignment(&WatermarkAlignment::within(Duration::from_millis(50)));
        let note = gave.clone();
        watched(aligned.inspect(move |time| note.lock().unwrap().push(*time)));
        env.simulate("paused", seed).unwrap();
        let gave = gave.lock().unwrap();
        assert_eq!(gave.len(), 330, "seed {seed}: each is read to its end");
        let (mut slow, mut most) = (0, 0);
        for time in gave.iter() {
            match time % 2 {
                1 => slow = *time,
                _ if slow < 581 => most = most.max(time - slow),
                _ => {}
            }
        }
        assert!((40..=54).contains(&most), "seed {seed}: {most}");
    }
}
