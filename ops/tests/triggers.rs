//! Jobs with triggers against a naive model: at any parallelism, ring capacity and chaining the same firings.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod setting;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use setting::checked;
use slotflow::prelude::*;

/// A record: key, event time, number.
type Reading = (u8, i64, u64);

/// What a window has given in a row, by key and start: how, and which numbers.
type Firings = BTreeMap<(u8, i64), Vec<(Timing, Vec<u64>)>>;

/// What must not change a result.
#[derive(Clone, Debug)]
struct Setting {
    to: usize,
    capacity: usize,
    chaining: bool,
}

fn setting() -> impl Strategy<Value = Setting> {
    let setting = (1..=4usize, 0..=6u32, any::<bool>());
    setting.prop_map(|(to, exponent, chaining)| Setting { to, capacity: 1 << exponent, chaining })
}

impl Setting {
    fn environment(&self) -> Environment {
        let mut env = Environment::with(Config::default()).parallelism(self.to);
        env.config_mut().edges.capacity = Some(self.capacity);
        env.config_mut().slots.chaining = self.chaining;
        env
    }
}

/// Later records later, in disorder of at most 10 ms.
fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let reading = (0..6u8, 0..10i64);
    prop::collection::vec(reading, 0..200).prop_map(|readings| {
        let at = |(number, (key, behind)): (i64, (u8, i64))| (key, number / 3 - behind, number as u64);
        (0..).zip(readings).map(at).collect()
    })
}

fn ms(length: i64) -> Duration {
    Duration::from_millis(length as u64)
}

/// Runs readings, from one source in their order, through the windows of a macro's caller.
macro_rules! firings {
    ($setting:expr, $readings:expr, |$keyed:ident| $windows:expr) => {{
        let (env, given) = ($setting.environment(), Collected::new());
        let (all, count) = ($readings.to_vec(), $readings.len() as u64);
        let timed = env
            .source(generate(count, move |i| all[i as usize]))
            .with_timestamps(|reading| reading.1, Watermarks::bounded_out_of_orderness(ms(10)))
            .parallelism(1);
        let $keyed = checked(timed.rebalance()).parallelism(1).key_by(|reading| reading.0);
        checked($windows.process(|it| ((it.key, it.start), (it.timing, it.value)))).sink(given.sink());
        env.run("triggers").unwrap();
        let mut firings = Firings::new();
        for (window, (timing, value)) in given.take() {
            let numbers = value.iter().map(|reading: &Reading| reading.2).collect();
            firings.entry(window).or_default().push((timing, numbers));
        }
        firings
    }};
}

/// The numbers of each window in the order in which they came.
fn in_windows(size: i64, slide: i64, readings: &[Reading]) -> BTreeMap<(u8, i64), Vec<u64>> {
    let mut windows = BTreeMap::<_, Vec<u64>>::new();
    for (key, time, n) in readings {
        let starts = (time - size + 1..=*time).filter(|start| start.rem_euclid(slide) == 0);
        starts.for_each(|start| windows.entry((*key, start)).or_default().push(*n));
    }
    windows
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_fire_the_same_at_any_parallelism_capacity_and_chaining(
        setting in setting(),
        shape in prop::sample::select(vec![(10, 10), (10, 5), (9, 3)]),
        count in 1..5u64,
        purging in any::<bool>(),
        readings in readings(),
    ) {
        let ((size, slide), trigger) = (shape, CountTrigger::of(count));
        let windows = Sliding::of(ms(size), ms(slide));
        let given = if purging {
            firings!(setting, readings, |keyed| keyed.window(windows).trigger(PurgingTrigger::of(trigger)))
        } else {
            firings!(setting, readings, |keyed| keyed.window(windows).trigger(trigger))
        };
        let first_of = |end: usize| if purging { end - count as usize } else { 0 };
        let full = |numbers: Vec<u64>| {
            let ends = (1..=numbers.len()).filter(|end| (*end as u64).is_multiple_of(count));
            ends.map(|end| (Timing::Early, numbers[first_of(end)..end].to_vec())).collect::<Vec<_>>()
        };
        let windows = in_windows(size, slide, &readings).into_iter();
        let expected: Firings = windows.map(|(window, numbers)| (window, full(numbers)))
            .filter(|(_, firings)| !firings.is_empty()).collect();
        prop_assert_eq!(given, expected);
    }

    /// What is purged early is in no later firing, and everything is in one: the numbers of a window's firings in a
    /// row are those of its records, whatever the clock did. The last is on time, if it has anything.
    #[test]
    fn early_firings_and_the_one_at_the_end_have_each_record_once(
        setting in setting(), readings in readings(),
    ) {
        let early = PurgingTrigger::of(EarlyTrigger::every(ms(1), EventTimeTrigger));
        let given = firings!(setting, readings, |keyed| keyed.window(Tumbling::of(ms(10))).trigger(early));
        for firings in given.values() {
            let early = firings.iter().take_while(|firing| firing.0 == Timing::Early).count();
            prop_assert!(firings.len() - early <= 1, "{:?}", firings);
        }
        let in_a_row = |firings: Vec<(Timing, Vec<u64>)>| firings.into_iter().flat_map(|firing| firing.1).collect();
        let given: BTreeMap<_, Vec<u64>> = given.into_iter().map(|(window, it)| (window, in_a_row(it))).collect();
        prop_assert_eq!(given, in_windows(10, 10, &readings));
    }

    /// An early result has the first records of those that the one on time has.
    #[test]
    fn early_results_accumulate(setting in setting(), readings in readings()) {
        let given = firings!(setting, readings, |keyed| keyed.window(Tumbling::of(ms(10))).early(ms(1)));
        let all = in_windows(10, 10, &readings);
        prop_assert_eq!(given.len(), all.len());
        for (window, firings) in given {
            prop_assert_eq!(firings.last(), Some(&(Timing::OnTime, all[&window].clone())));
            prop_assert!(firings.iter().all(|firing| all[&window].starts_with(&firing.1)));
        }
    }

    #[test]
    fn the_last_so_many_are_the_same_at_any_parallelism(
        setting in setting(), keeps in 1..5usize, every in 1..4u64, readings in readings(),
    ) {
        let given = firings!(setting, readings, |keyed| {
            keyed.window(Global).trigger(CountTrigger::of(every)).evictor(CountEvictor::of(keeps))
        });
        let mut expected = Firings::new();
        let mut seen = BTreeMap::<u8, Vec<u64>>::new();
        for (key, _, n) in &readings {
            let numbers = seen.entry(*key).or_default();
            numbers.push(*n);
            if (numbers.len() as u64).is_multiple_of(every) {
                let last = numbers[numbers.len().saturating_sub(keeps)..].to_vec();
                expected.entry((*key, i64::MIN)).or_default().push((Timing::Early, last));
            }
        }
        prop_assert_eq!(given, expected);
    }
}

/// Whatever the job's parallelism.
#[test]
fn triggers_and_counts_of_all_records_are_at_one_subtask() {
    for parallelism in 1..=3 {
        let (env, sums) = (Environment::with(Config::default()).parallelism(parallelism), Collected::new());
        let numbers = || env.source(generate(12, |i| i)).parallelism(1);
        let all = numbers().window_all(Global).trigger(CountTrigger::of(4));
        all.reduce(|a, b| a + b).map(|it| it.value).sink(sums.sink());
        let last = Collected::new();
        numbers().count_window_all(4).every(2).reduce(|a, b| a + b).map(|it| it.1).sink(last.sink());
        env.run("sums").unwrap();
        assert_eq!(sums.take(), [6, 28, 66]);
        assert_eq!(last.take(), [1, 6, 14, 22, 30, 38]);
    }
}

#[test]
fn triggers_and_evictors_that_cannot_be_are_refused_together_before_the_start() {
    let env = Environment::with(Config::default());
    let numbers = env.source(from_iterator([1])).with_timestamps(|it| *it, Watermarks::monotonous());
    let windows = numbers.key_by(|_| 0).window(Sliding::of(ms(5), ms(6))).early(ms(0));
    windows.reduce(|a, _| a).sink(callback(|_| ()));
    let counts = env.source(from_iterator([1])).key_by(|_| 0).count_window(2).every(3);
    counts.reduce(|a, _| a).sink(callback(|_| ()));
    let refused = env.run("refused").unwrap_err().to_string();
    for remedy in ["slide by 5 ms", "the interval must be a millisecond or more", "slide by 2"] {
        assert!(refused.contains(remedy), "{refused}");
    }
}

#[test]
fn windows_beyond_the_state_s_budget_fail_the_job_by_name() {
    let mut env = Environment::with(Config::default());
    env.config_mut().state.budget_bytes = Some(2_000_000);
    let all = env.source(generate(400_000, |n| n)).key_by(|_| 0).window(Global).trigger(EventTimeTrigger);
    all.process(|it| it.value.len()).sink(callback(|_| ()));
    let refused = env.run("budget").unwrap_err().to_string();
    assert!(refused.contains("\"window\"") && refused.contains("state.budget_bytes = 2000000"), "{refused}");
}

/// What an operator in front gives for one record has that record's time, whatever a window fires in between.
#[test]
fn a_firing_leaves_the_time_of_the_record_in_hand() {
    let (env, given) = (Environment::with(Config::default()), Collected::new());
    env.source(from_iterator([5, 15]))
        .with_timestamps(|time| *time, Watermarks::monotonous())
        .flat_map(|time| [time; 3])
        .key_by_source_partition(|_| 0)
        .window(Tumbling::of(ms(10)))
        .trigger(CountTrigger::of(1))
        .process(|it| (it.start, it.value.len()))
        .sink(given.sink());
    env.run("times").unwrap();
    assert_eq!(given.take(), [(0, 1), (0, 2), (0, 3), (10, 1), (10, 2), (10, 3)]);
}

/// Numbers of one stream with those of another, paired whenever a key has two more of either.
fn pairs(parallelism: usize, purging: bool) -> Vec<(u64, u64)> {
    let (env, pairs) = (Environment::with(Config::default()).parallelism(parallelism), Collected::new());
    let either = |n: u64| if n % 4 < 2 { Either::First(n) } else { Either::Second(n) };
    let side = |either: &Either<u64, u64>| match either {
        Either::First(n) | Either::Second(n) => *n,
    };
    let numbers = env.source(generate(16, either)).parallelism(1).key_by(move |either| side(either) % 2);
    let (windows, trigger) = (numbers.window(Global), CountTrigger::of(4));
    if purging {
        windows.trigger(PurgingTrigger::of(trigger)).join(|a, b| (*a, *b)).sink(pairs.sink());
    } else {
        windows.trigger(trigger).evictor(CountEvictor::of(2)).join(|a, b| (*a, *b)).sink(pairs.sink());
    }
    env.run("pairs").unwrap();
    let mut pairs = pairs.take();
    pairs.sort_unstable();
    pairs
}

#[test]
fn a_join_pairs_what_each_firing_has() {
    let square = |a: [u64; 2], b: [u64; 2]| a.into_iter().flat_map(move |a| b.map(|b| (a, b)));
    for parallelism in 1..=3 {
        // Of an even and an odd key, four records in a row are two of either stream.
        let squares = [
            square([0, 4], [2, 6]),
            square([1, 5], [3, 7]),
            square([8, 12], [10, 14]),
            square([9, 13], [11, 15]),
        ];
        let mut expected: Vec<_> = squares.into_iter().flatten().collect();
        expected.sort_unstable();
        assert_eq!(pairs(parallelism, true), expected);
        assert_eq!(pairs(parallelism, false), [(4, 6), (5, 7), (12, 14), (13, 15)]);
    }
}
