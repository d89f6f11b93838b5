//! What operators tell of themselves in a job's metrics: what they have left out, and how much they keep.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod setting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use setting::checked;
use slotflow::prelude::*;
use slotflow::runtime::job::JobMetrics;
use slotflow::runtime::{Ending, JobReport, Left};

/// Runs a job to its end, and gives its last metrics.
fn ended(env: Environment) -> JobMetrics {
    let job = env.start("ended").unwrap();
    while !job.has_ended() {
        std::thread::yield_now();
    }
    job.metrics()
}

/// How many records the operators of this name have left out for a reason.
fn dropped(metrics: &JobMetrics, name: &str, reason: &str) -> u64 {
    let operators = metrics.subtasks.iter().flat_map(|subtask| &subtask.operators);
    operators.filter(|operator| operator.operator == name).map(|operator| operator.dropped(reason)).sum()
}

#[test]
fn late_records_are_in_the_metrics_by_operator_and_reason() {
    let env = Environment::with(Config::default());
    // The first record says that all up to 50 has come, and only what is far behind it is before that.
    let says = Watermarks::punctuated(|n: &i64, _| (*n == 0).then_some(50));
    let records = env.source(generate(400_000, |n| n as i64));
    let timed = records.with_timestamps(|n| if *n < 300_000 { 60 } else { 7 }, says);
    let windows = timed.key_by(|n| n % 10).window(Tumbling::of(Duration::from_millis(10)));
    let sums = checked(windows.reduce(|a, _| a).name("sums"));
    let some = sums.try_map_or_skip(|it| if it.key < 3 { Err("few") } else { Ok(it) });
    let fewer = some.try_filter_or_skip(|it| if it.key < 5 { Err("few") } else { Ok(true) });
    fewer.try_flat_map_or_skip(|it| if it.key < 6 { Err("few") } else { Ok([it]) }).sink(callback(|_| ()));
    let metrics = ended(env);
    assert_eq!(dropped(&metrics, "sums", "late"), 100_000, "{metrics}");
    let failed = ["try_map", "try_filter", "try_flat_map"].map(|name| dropped(&metrics, name, "failed"));
    assert_eq!(failed, [3, 2, 1]);
    assert_eq!(metrics.dropped(), 100_006);
    let shown = metrics.to_string();
    assert!(shown.contains("left out, late: ") && shown.contains("left out, failed: 3"), "{shown}");
    let since = metrics.since(&metrics);
    assert_eq!(since.dropped(), 0, "nothing has come since");
    assert!(!since.to_string().contains("left out"));
}

#[test]
fn records_that_fill_no_count_window_are_in_the_metrics_at_the_end() {
    let env = Environment::with(Config::default());
    let fours = env.source(generate(10, |n| n)).key_by(|n| n % 3).count_window(4).reduce(|a, b| a + b);
    fours.name("fours").sink(callback(|_| ()));
    let twos = env.source(generate(7, |n| n)).count_window_all(3).every(2).reduce(|a, b| a + b);
    twos.name("twos").sink(callback(|_| ()));
    let metrics = ended(env);
    assert_eq!(["fours", "twos"].map(|name| dropped(&metrics, name, "unfull")), [3 + 3, 1]);
}

/// Pairs of numbers with themselves, which are counted, within a budget.
fn with_budget(budget_bytes: usize) -> Result<Job> {
    let mut env = Environment::with(Config::default());
    env.config_mut().state.budget_bytes = Some(budget_bytes);
    let side = || env.source(generate(20_000, |n| n as i64)).with_timestamps(|_| 7, Watermarks::monotonous());
    let both = side().connect(side()).key_by(|either| match either {
        Either::First(n) | Either::Second(n) => *n,
    });
    let joined = checked(both.interval_join(0..=5, |a, _| *a).name("pairs"));
    joined.key_by(|n| n % 2).fold(0u64, |sum, _| *sum += 1).sink(callback(|_| ()));
    env.start("budget")
}

#[test]
fn joined_state_beyond_its_budget_fails_the_job_by_name() {
    let refused = with_budget(500_000).unwrap().wait().unwrap_err().to_string();
    for said in ["operator \"pairs\", subtask 0", "state.budget_bytes = 500000", "let state expire"] {
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn each_operator_tells_its_keys_and_bytes() {
    let job = with_budget(50_000_000).unwrap();
    while !job.has_ended() {
        std::thread::yield_now();
    }
    let metrics = job.metrics();
    let operators = metrics.subtasks.iter().flat_map(|subtask| &subtask.operators);
    let sizes: Vec<_> = operators.map(|it| (&*it.operator, it.state_keys, it.state_bytes > 0)).collect();
    assert_eq!(
        sizes,
        [("pairs", 0, true), ("fold", 2, true)],
        "time has ended, and with it what pairs are kept for"
    );
}

/// What is left of a job that is drained within `deadline`, once it has come so far.
fn left_by(env: &Environment, deadline: Duration, so_far: impl Fn(&JobMetrics) -> bool) -> JobReport {
    let job = env.start("cut off").unwrap();
    while !so_far(&job.metrics()) {
        assert!(!job.has_ended());
        std::thread::yield_now();
    }
    job.drain(deadline).unwrap()
}

#[test]
fn a_drained_job_counts_the_windows_that_never_fired_and_one_that_ends_waits_for_nothing() {
    let minutes = |env: &Environment, records| {
        let timed =
            env.source(generate(records, |n| n as i64)).with_timestamps(|_| 7, Watermarks::monotonous());
        let windows = timed.key_by(|n| n % 10).window(Tumbling::of(Duration::from_secs(60)));
        let sums = checked(windows.reduce(|a, b| a + b).name("sums")).map(|sum| sum.value);
        sums.key_by(|_| 0).fold(0, |sum, n| *sum += n).name("all").sink(callback(|_: i64| ()));
    };
    let env = Environment::with(Config::default());
    minutes(&env, u64::MAX);
    let report = left_by(&env, Duration::from_secs(60), |metrics| metrics.records_in() > 100);
    let sums = Left { operator: "sums".into(), subtask: 0, records: 0, state_keys: 10 };
    assert_eq!((report.ending, &report.left[..]), (Ending::Drained, &[sums][..]));
    assert!(report.to_string().ends_with("; left in \"sums\" subtask 0: the state of 10 keys"), "{report}");
    let env = Environment::with(Config::default());
    minutes(&env, 1_000);
    assert_eq!(env.run("ended").unwrap().left, []);
}

#[test]
fn a_job_that_is_cut_off_counts_the_records_that_wait_in_it() {
    let env = Environment::with(Config::from_toml("[edges]\ncapacity = 64").unwrap());
    // A request that was dropped would have failed.
    let never = AsyncIo::unordered(std::mem::forget::<Request>).capacity(16);
    let numbers = env.source(generate(u64::MAX, |n| n)).map(|n| n).start_new_chain();
    numbers.map_async(never, |n: &u64| std::future::ready(Ok::<_, String>(*n))).sink(callback(|_| ()));
    let full = |metrics: &JobMetrics| {
        let operators = metrics.subtasks.iter().flat_map(|subtask| &subtask.operators);
        operators.map(|operator| operator.waiting_records).sum::<u64>() == 16
            && metrics.edges.iter().all(|edge| edge.ring.blocked_ns > 0)
    };
    let report = left_by(&env, Duration::from_millis(1), full);
    let [in_front, held] = &report.left[..] else { panic!("{report}") };
    assert_eq!((&*held.operator, held.records), ("map_async", 16));
    assert!(
        in_front.operator.starts_with("map -> map_async") && (1..=64).contains(&in_front.records),
        "{report}"
    );
}

#[test]
fn every_record_that_was_read_is_taken_or_left_whenever_a_job_of_several_cores_is_stopped() {
    for _ in 0..50 {
        let env = Environment::with(Config::from_toml("[edges]\ncapacity = 64").unwrap()).parallelism(2);
        let taken = Arc::new(AtomicU64::new(0));
        let count = taken.clone();
        let far = env.source(generate(u64::MAX, |n| n)).rebalance().map(|n| n).slot_sharing_group("far");
        far.sink(callback(move |_| _ = count.fetch_add(1, Ordering::Relaxed)));
        let job = env.start("stopped").unwrap();
        while job.metrics().records_in() < 1_000 {
            std::thread::yield_now();
        }
        let report = job.stop().unwrap();
        let left: u64 = report.left.iter().map(|left| left.records).sum();
        assert_eq!(report.records, taken.load(Ordering::Relaxed) + left, "{report}");
    }
}

#[test]
fn what_is_emitted_at_the_end_is_not_late_for_those_behind() {
    let env = Environment::with(Config::default()).parallelism(2);
    let timed = env.source(generate(10_000, |n| n as i64)).with_timestamps(|n| *n, Watermarks::monotonous());
    let counts = timed.key_by(|n| n % 3_000).fold_at_end(0u64, |count, _| *count += 1);
    let windows = counts.key_by(|it| it.0 % 2).window(Tumbling::of(Duration::from_millis(10)));
    let sums = Collected::new();
    checked(windows.reduce(|a, b| (a.0, a.1 + b.1))).map(|window| window.value.1).sink(sums.sink());
    let metrics = ended(env);
    assert_eq!((sums.take().iter().sum::<u64>(), metrics.dropped()), (10_000, 0));
}
