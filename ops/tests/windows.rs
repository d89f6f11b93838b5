//! Jobs with windows and timers against a naive model: the same results however they are run.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod setting;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use setting::{Driver, Setting, cases, checked, fewer_cases, setting, timed};
use slotflow::prelude::*;
use slotflow::{MapState, Timer};

/// A record: key, event time, value.
type Reading = (u8, i64, u64);

/// What windows have come to: key, start, sum.
type Sums = BTreeMap<(u8, i64), u64>;

/// Later records later, in disorder of at most 10 ms.
fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let reading = (0..6u8, 0..10i64, 0..100u64);
    prop::collection::vec(reading, 0..200).prop_map(|readings| {
        let at = |(number, (key, behind, n)): (i64, (u8, i64, u64))| (key, number / 3 - behind, n);
        (0..).zip(readings).map(at).collect()
    })
}

fn ms(length: i64) -> Duration {
    Duration::from_millis(length as u64)
}

/// In one phase, in two that were asked for, or in two by itself where that pays.
#[derive(Clone, Copy, Debug)]
enum Phases {
    One,
    Two,
    ByItself,
}

const PHASES: [Phases; 3] = [Phases::One, Phases::Two, Phases::ByItself];

fn sums(
    setting: &Setting,
    (sources, phases): (usize, Phases),
    windows: Sliding,
    readings: &[Reading],
) -> Vec<(u8, i64, u64)> {
    let (env, results) = (setting.environment(), Collected::new());
    let keyed = timed(&env, setting, sources, readings, |reading| reading.1).key_by(|reading| reading.0);
    macro_rules! summed {
        ($windows:expr) => {
            checked($windows.reduce(|a, b| (a.0, a.1.max(b.1), a.2 + b.2)))
                .map(|window| (window.key, window.start, window.value.2))
                .sink(results.sink())
        };
    }
    match phases {
        Phases::One => drop(summed!(keyed.window(windows).one_phase())),
        Phases::Two => drop(summed!(keyed.window(windows).two_phases())),
        Phases::ByItself => drop(summed!(keyed.window(windows))),
    }
    setting.run(&env, "windows");
    results.take()
}

/// Windows of 10 ms by hand, of states and timers.
struct ByTimer(MapState<i64, u64>);

impl KeyedProcessFunction<u8, Reading> for ByTimer {
    type Out = (u8, i64, u64);

    fn process(&mut self, reading: Reading, ctx: &mut ProcessContext<'_, u8, Self::Out>) {
        let start = reading.1.div_euclid(10) * 10;
        let sum = self.0.value(ctx, &start).copied().unwrap_or(0);
        self.0.put(ctx, start, sum + reading.2);
        ctx.register_event_time_timer(start + 9);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, u8, Self::Out>) {
        let start = timer.time - 9;
        let sum = self.0.remove(ctx, &start).unwrap_or(0);
        ctx.push((*ctx.key(), start, sum));
    }
}

fn sums_by_timer(setting: &Setting, sources: usize, readings: &[Reading]) -> Vec<(u8, i64, u64)> {
    let (env, results) = (setting.environment(), Collected::new());
    let keyed = timed(&env, setting, sources, readings, |reading| reading.1).key_by(|reading| reading.0);
    checked(keyed.process(|states| ByTimer(states.map("sums")))).sink(results.sink());
    setting.run(&env, "timers");
    results.take()
}

fn model((size, slide, offset): (i64, i64, i64), readings: &[Reading]) -> Sums {
    let mut sums = Sums::new();
    for (key, time, n) in readings {
        let starts = (time - size + 1..=*time).filter(|start| (start - offset).rem_euclid(slide) == 0);
        starts.for_each(|start| *sums.entry((*key, start)).or_default() += n);
    }
    sums
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn windows_are_the_same_however_the_job_is_run(
        setting in setting(), sources in 1..=3usize, phases in prop::sample::select(&PHASES[..]),
        shape in prop::sample::select(vec![(10, 10, 0), (10, 10, 7), (10, 5, 0), (9, 6, 2), (12, 1, 0)]),
        readings in readings(),
    ) {
        let windows = Sliding::of(ms(shape.0), ms(shape.1)).offset_ms(shape.2);
        let results = sums(&setting, (sources, phases), windows, &readings);
        let fired: Sums = results.iter().map(|(key, start, sum)| ((*key, *start), *sum)).collect();
        prop_assert_eq!(fired.len(), results.len(), "a window fired twice");
        prop_assert_eq!(fired, model(shape, &readings));
    }

    #[test]
    fn timers_are_the_same_however_the_job_is_run(
        setting in setting(), sources in 1..=3usize, readings in readings(),
    ) {
        let results = sums_by_timer(&setting, sources, &readings);
        let fired: Sums = results.iter().map(|(key, start, sum)| ((*key, *start), *sum)).collect();
        prop_assert_eq!(fired.len(), results.len(), "a timer fired twice");
        prop_assert_eq!(fired, model((10, 10, 0), &readings));
    }
}

fn sessions(setting: &Setting, sources: usize, gap: i64, readings: &[Reading]) -> Vec<(u8, i64, i64, u64)> {
    let (env, results) = (setting.environment(), Collected::new());
    let keyed = timed(&env, setting, sources, readings, |reading| reading.1).key_by(|reading| reading.0);
    let sessions = keyed.window(Session::with_gap(ms(gap)));
    checked(sessions.process(|it| (it.key, it.start, it.end, it.value.iter().map(|it| it.2).sum())))
        .sink(results.sink());
    setting.run(&env, "sessions");
    results.take()
}

/// The readings of each key in order of time, cut where there is none for a gap.
fn sessions_of(gap: i64, readings: &[Reading]) -> Vec<(u8, i64, i64, u64)> {
    let mut readings = readings.to_vec();
    readings.sort_unstable();
    let mut sessions: Vec<(u8, i64, i64, u64)> = Vec::new();
    for (key, time, n) in readings {
        match sessions.last_mut() {
            Some((last, _, end, sum)) if *last == key && time <= *end => {
                (*end, *sum) = (time + gap, *sum + n);
            }
            _ => sessions.push((key, time, time + gap, n)),
        }
    }
    sessions
}

/// Windows of so many records of a key, each so many of them later; with the sums of what is in them.
fn counted(setting: &Setting, (size, slide): (u64, u64), readings: &[Reading]) -> Vec<(u8, u64)> {
    let (env, results) = (setting.environment(), Collected::new());
    let keyed = env.source(from_iterator(readings.to_vec())).key_by(|reading| reading.0);
    let windows = keyed.count_window(size);
    macro_rules! summed {
        ($windows:expr) => {
            $windows.reduce(|a, b| (a.0, a.1, a.2 + b.2)).map(|it| (it.0, it.1.2)).sink(results.sink())
        };
    }
    if slide == size {
        drop(summed!(windows))
    } else {
        drop(summed!(windows.every(slide)))
    }
    setting.run(&env, "counted");
    results.take()
}

/// As many of the last readings of a key as there are, with each one that completes a slide.
fn counts_of((size, slide): (usize, usize), readings: &[Reading]) -> Vec<(u8, u64)> {
    let (mut seen, mut windows) = (BTreeMap::<u8, Vec<u64>>::new(), Vec::new());
    for (key, _, n) in readings {
        let all = seen.entry(*key).or_default();
        all.push(*n);
        if all.len().is_multiple_of(slide) {
            windows.push((*key, all.iter().rev().take(size).sum()));
        }
    }
    windows
}

proptest! {
    #![proptest_config(fewer_cases(96))]

    #[test]
    fn sessions_are_the_same_however_the_job_is_run(
        setting in setting(), sources in 1..=3usize, gap in 1..8i64, readings in readings(),
    ) {
        let mut results = sessions(&setting, sources, gap, &readings);
        results.sort_unstable();
        prop_assert_eq!(results, sessions_of(gap, &readings));
    }

    #[test]
    fn count_windows_are_the_same_however_the_job_is_run(
        setting in setting(), (size, slide) in prop::sample::select(vec![(1, 1), (4, 4), (4, 2), (5, 3)]),
        readings in readings(),
    ) {
        let mut results = counted(&setting, (size, slide), &readings);
        let mut expected = counts_of((size as usize, slide as usize), &readings);
        // One source's records of a key keep their order.
        results.sort_by_key(|it| it.0);
        expected.sort_by_key(|it| it.0);
        prop_assert_eq!(results, expected);
    }
}

/// Readings in disorder of more than the watermarks allow for, with numbers from 1.
fn disorderly(n: u64) -> Reading {
    ((n % 7) as u8, n as i64 / 3 - ((n * 7919) % 97) as i64, n + 1)
}

struct AtItsTime;

/// What is late keeps its event time.
impl ProcessFunction<Reading> for AtItsTime {
    type Out = Reading;
    fn process(&mut self, reading: Reading, ctx: &mut ProcessContext<'_, (), Reading>) {
        assert_eq!(ctx.timestamp(), reading.1);
        ctx.push(reading);
    }
}

/// What windows come to whose late records go aside: key, start and a sum that says what was in them; and those.
fn with_late(how: &str) -> (Sums, Vec<Reading>) {
    let driver = Driver::Simulation(7);
    let setting = Setting { from: 2, to: 2, capacity: 16, chaining: true, batch: 16, driver };
    let (env, fired, late) = (setting.environment(), Collected::new(), Collected::new());
    let lag = Watermarks::bounded_out_of_orderness(ms(5));
    let stream =
        || env.source(generate(3_000, disorderly)).parallelism(2).with_timestamps(|it| it.1, lag.clone());
    let one = || stream().key_by(|it| it.0).window(Tumbling::of(ms(10)));
    let (odd, even) = (|| stream().filter(|it| it.2 % 2 == 1), || stream().filter(|it| it.2 % 2 == 0));
    let two = || odd().connect(even()).key_by(|it| either(*it).0).window(Tumbling::of(ms(10)));
    let sum = |readings: &[Reading]| readings.iter().map(|it| it.2).sum::<u64>();
    let product = |a: &Reading, b: &Reading| (a.0, a.1.div_euclid(10) * 10, a.2 * b.2);
    macro_rules! sinks {
        ($windows:expr, $record:expr) => {{
            let (main, side) = $windows;
            checked(main).sink(fired.sink());
            side.map($record).process(|_| AtItsTime).sink(late.sink());
        }};
    }
    match how {
        "reduce" => {
            let (main, side) = one().reduce_split(|a, b| (a.0, a.1, a.2 + b.2));
            sinks!((main.map(|it| (it.key, it.start, it.value.2)), side), |it| it);
        }
        "process" => sinks!(one().process_split(move |it| (it.key, it.start, sum(&it.value))), |it| it),
        "co_group" => {
            sinks!(
                two().co_group_split(move |it| (it.key, it.start, sum(&it.value.0) + sum(&it.value.1))),
                either
            );
        }
        "join" => sinks!(two().join_split(product), either),
        "triggered reduce" => {
            let windows = one().trigger(EventTimeTrigger);
            let (main, side) = windows.reduce_split(|a, b| (a.0, a.1, a.2 + b.2));
            sinks!((main.map(|it| (it.key, it.start, it.value.2)), side), |it| it);
        }
        "triggered process" => {
            let windows = one().trigger(EventTimeTrigger);
            sinks!(windows.process_split(move |it| (it.key, it.start, sum(&it.value))), |it| it);
        }
        "triggered co_group" => {
            let windows = two().trigger(EventTimeTrigger);
            sinks!(
                windows.co_group_split(move |it| (it.key, it.start, sum(&it.value.0) + sum(&it.value.1))),
                either
            );
        }
        _ => sinks!(two().trigger(EventTimeTrigger).join_split(product), either),
    }
    setting.run(&env, how);
    let mut sums = Sums::new();
    fired.take().into_iter().for_each(|(key, start, sum)| *sums.entry((key, start)).or_default() += sum);
    (sums, late.take())
}

fn either(either: Either<Reading, Reading>) -> Reading {
    match either {
        Either::First(reading) | Either::Second(reading) => reading,
    }
}

#[test]
fn late_records_go_aside_and_windows_have_all_others_whatever_they_come_to() {
    let ways = [
        "reduce",
        "process",
        "co_group",
        "triggered reduce",
        "triggered process",
        "triggered co_group",
        "join",
        "triggered join",
    ];
    for how in ways {
        let (fired, late) = with_late(how);
        let (late_ones, all): (Vec<u64>, _) =
            (late.iter().map(|it| it.2).collect(), (0..3_000).map(disorderly));
        let in_time: Vec<Reading> = all.filter(|it| !late_ones.contains(&it.2)).collect();
        assert!(!late.is_empty() && in_time.len() + late.len() == 3_000, "{how}: each is late once, or not");
        let (odd, even): (Vec<_>, Vec<_>) = in_time.into_iter().partition(|it| it.2 % 2 == 1);
        let (odd, even) = (model((10, 10, 0), &odd), model((10, 10, 0), &even));
        let [of_odd, of_even] =
            [&odd, &even].map(|sums| |window: &(u8, i64)| sums.get(window).copied().unwrap_or(0));
        let come_to = |window: &(u8, i64)| match how {
            "join" | "triggered join" => of_odd(window) * of_even(window),
            _ => of_odd(window) + of_even(window),
        };
        let windows = odd.keys().chain(even.keys()).map(|window| (*window, come_to(window)));
        assert_eq!(fired, windows.filter(|it| it.1 > 0).collect::<Sums>(), "{how}");
    }
}

/// Whatever the job's parallelism, and that of the source.
#[test]
fn windows_of_all_records_meet_at_one_subtask() {
    for parallelism in 1..=3 {
        let (env, counts) = (Environment::with(Config::default()).parallelism(parallelism), Collected::new());
        let windows = env
            .source(generate(100, |i| i as i64))
            .with_timestamps(|time| *time, Watermarks::bounded_out_of_orderness(ms(100)))
            .window_all(Tumbling::of(ms(10)));
        checked(windows.process(|window| (window.start, window.value.len()))).sink(counts.sink());
        env.run("counts").unwrap();
        assert_eq!(counts.take(), (0..10).map(|n| (10 * n, 10)).collect::<Vec<_>>());
    }
}

#[test]
fn windows_that_cannot_be_are_refused_before_the_start() {
    let env = Environment::with(Config::default());
    let readings = env.source(from_iterator([(1u8, 1i64, 1u64)]));
    let timed = readings.with_timestamps(|reading| reading.1, Watermarks::bounded_out_of_orderness(ms(0)));
    let windows = timed.key_by(|reading| reading.0).window(Sliding::of(ms(5), ms(6)));
    windows.reduce(|a, _| a).sink(callback(|_| ()));
    let refused = env.run("refused").unwrap_err().to_string();
    assert!(refused.contains("\"window\"") && refused.contains("slide by 5 ms"), "{refused}");
}

/// How many records of so many cross to windows behind an exchange, and what the windows give in all.
fn crossing(records: u64, keys: u64, phases: Phases) -> (u64, u64) {
    let (env, results) = (Environment::with(Config::default()).parallelism(2), Collected::new());
    let timed = env
        .source(generate(records, move |n| (n % keys, n)))
        .with_timestamps(|record| record.1 as i64 / 100, Watermarks::bounded_out_of_orderness(ms(1_000)));
    let windows = timed.key_by(|record| record.0).window(Tumbling::of(ms(1_000)));
    macro_rules! summed {
        ($windows:expr) => {
            drop(checked($windows.reduce(|a, b| (a.0, a.1 + b.1))).map(|it| it.value.1).sink(results.sink()))
        };
    }
    match phases {
        Phases::One => summed!(windows.one_phase()),
        Phases::Two => summed!(windows.two_phases()),
        Phases::ByItself => summed!(windows),
    }
    assert_eq!(env.explain().unwrap().text().contains("two phases"), !matches!(phases, Phases::One));
    let job = env.start("crossing").unwrap();
    while !job.has_ended() {
        std::thread::yield_now();
    }
    let behind = job.metrics().subtasks.into_iter().filter(|subtask| !subtask.is_source);
    (behind.map(|subtask| subtask.records).sum(), results.take().into_iter().sum())
}

#[test]
fn windows_in_two_phases_combine_what_crosses_the_exchange_where_that_pays() {
    let (records, sum) = (300_000, 300_000 * 299_999 / 2);
    for phases in [Phases::Two, Phases::ByItself] {
        let (few, of_few) = crossing(records, 10, phases);
        assert!(few < records / 20, "{few} of {records} have crossed");
        let (many, of_many) = crossing(records, 100_000, phases);
        assert!(many > records / 100 * 99, "{many} of {records} have crossed");
        assert_eq!((of_few, of_many), (sum, sum));
    }
    assert_eq!(crossing(records, 10, Phases::One), (records, sum));
}

/// The first of two partitioners is not made, and has nothing to say about the second's rings.
#[test]
fn explain_tells_the_rings_of_two_phases_whatever_partitioner_is_in_front() {
    let rings = |rebalanced: bool| {
        let env = Environment::with(Config::default()).parallelism(2);
        let timed = env
            .source(generate(10, |n| (n % 3, n)))
            .with_timestamps(|record| record.1 as i64, Watermarks::bounded_out_of_orderness(ms(1)));
        macro_rules! summed {
            ($timed:expr) => {{
                let windows = $timed.key_by(|record| record.0).window(Tumbling::of(ms(10))).two_phases();
                drop(windows.reduce(|a, b| (a.0, a.1 + b.1)).sink(callback(|_| ())))
            }};
        }
        if rebalanced {
            summed!(timed.rebalance())
        } else {
            summed!(timed)
        }
        let text = env.explain().unwrap().text();
        let (_, behind) = text.split_once("4 rings of ").unwrap();
        behind.split(" (").next().unwrap().to_owned()
    };
    assert_eq!(rings(true), rings(false));
}

/// They would have to be cloned before they are joined, and a closure that gives another key is as good as any other in
/// one phase.
#[test]
fn records_that_own_memory_or_lose_their_key_are_reduced_behind_the_exchange() {
    let run = |parallelism| {
        let (env, owning, losing) = (
            Environment::with(Config::default()).parallelism(parallelism),
            Collected::new(),
            Collected::new(),
        );
        let source = || {
            env.source(generate(10_000, |n| (n % 10, n))).with_timestamps(
                |record| record.1 as i64 / 100,
                Watermarks::bounded_out_of_orderness(ms(1_000)),
            )
        };
        let texts = source().map(|(key, n)| (key.to_string(), n)).key_by_ref(|it| it.0.as_str());
        let texts = texts.window(Tumbling::of(ms(1_000))).reduce(|a, b| (a.0, a.1 + b.1));
        checked(texts).map(|it| (it.key, it.value.1)).sink(owning.sink());
        let lost = source().key_by(|it| it.0).window(Tumbling::of(ms(1_000)));
        let lost = checked(lost.reduce(|a, b| (99, a.1 + b.1)));
        lost.map(|it| (it.key.to_string(), it.value.1)).sink(losing.sink());
        let explained = env.explain().unwrap().text();
        assert_eq!(explained.matches("two phases").count(), usize::from(parallelism > 1), "{explained}");
        env.run("sums").unwrap();
        let (mut owning, mut losing) = (owning.take(), losing.take());
        owning.sort_unstable();
        losing.sort_unstable();
        assert_eq!(owning, losing);
        owning
    };
    assert_eq!(run(1), run(2));
}

/// Sums by windows of 10 ms of keys that are in one source partition each, with an exchange or without one.
fn by_partition(parallelism: usize, exchanged: bool) -> Vec<(u64, i64, u64)> {
    let (env, results) = (Environment::with(Config::default()).parallelism(parallelism), Collected::new());
    // A source subtask has every so-manieth record: twelve keys are not torn apart by up to four of them.
    let records = env
        .source(generate(2_000, |n| (n % 12, n as i64 - (n % 5) as i64, n)))
        .with_timestamps(|record| record.1, Watermarks::bounded_out_of_orderness(ms(10)));
    macro_rules! windowed {
        ($keyed:expr) => {
            checked($keyed.window(Sliding::of(ms(10), ms(5))).reduce(|a, b| (a.0, a.1.max(b.1), a.2 + b.2)))
                .map(|window| (window.key, window.start, window.value.2))
                .sink(results.sink())
        };
    }
    if exchanged {
        windowed!(records.key_by(|record| record.0));
    } else {
        windowed!(records.key_by_source_partition(|record| record.0));
    }
    env.run("windows").unwrap();
    let mut results = results.take();
    results.sort_unstable();
    results
}

#[test]
fn windows_of_what_is_keyed_by_source_partition_are_those_behind_an_exchange() {
    for parallelism in 1..=4 {
        let without = by_partition(parallelism, false);
        assert!(without.len() > 2_000, "there are windows");
        assert_eq!(without, by_partition(parallelism, true), "at parallelism {parallelism}");
    }
}
