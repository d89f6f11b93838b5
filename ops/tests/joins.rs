//! Jobs with joins against naive models: the same results however they are run.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod setting;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use setting::{Setting, cases, setting, timed};
use slotflow::prelude::*;

/// A record of either stream: key, event time, number.
type Fact = (u8, i64, u64);

/// A record, and the number of the version that it met.
type Met = (Fact, Option<u64>);

/// Later ones later, in disorder of at most 10 ms.
fn facts() -> impl Strategy<Value = Vec<Fact>> {
    prop::collection::vec((0..6u8, 0..10i64), 0..150).prop_map(|facts| {
        let at = |(number, (key, behind)): (u64, (u8, i64))| (key, number as i64 - behind, number);
        (0..).zip(facts).map(at).collect()
    })
}

fn key(either: &Either<Fact, Fact>) -> u8 {
    match either {
        Either::First(fact) | Either::Second(fact) => fact.0,
    }
}

fn joined(setting: &Setting, sources: usize, records: &[Fact], versions: &[Fact]) -> Vec<Met> {
    let (env, met) = (setting.environment(), Collected::new());
    timed(&env, setting, sources, records, |fact| fact.1)
        .connect(timed(&env, setting, sources, versions, |fact| fact.1))
        .key_by(key)
        .as_of_join(|record, version| Some((record, version.map(|version| version.2))))
        .sink(met.sink());
    setting.run(&env, "as of");
    met.take()
}

fn pairs(setting: &Setting, sources: usize, firsts: &[Fact], seconds: &[Fact]) -> Vec<(Fact, Fact)> {
    let (env, pairs) = (setting.environment(), Collected::new());
    timed(&env, setting, sources, firsts, |fact| fact.1)
        .connect(timed(&env, setting, sources, seconds, |fact| fact.1))
        .key_by(key)
        .interval_join(-2..=3, |a, b| (*a, *b))
        .sink(pairs.sink());
    setting.run(&env, "pairs");
    pairs.take()
}

/// For each record the last version of its key that is not later.
fn model(records: &[Fact], versions: &[Fact]) -> Vec<Met> {
    let valid = |record: &Fact| {
        let known = versions.iter().filter(|version| version.0 == record.0 && version.1 <= record.1);
        known.max_by_key(|version| version.1).map(|version| version.2)
    };
    records.iter().map(|record| (*record, valid(record))).collect()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn an_as_of_join_is_the_same_however_the_job_is_run(
        setting in setting(), sources in 1..=3usize, records in facts(), versions in facts(),
    ) {
        // Which of two versions of one time comes last is a matter of the way; so each time has one.
        let versions: BTreeMap<_, _> = versions.into_iter().map(|it| ((it.0, it.1), it)).collect();
        let mut versions: Vec<_> = versions.into_values().collect();
        versions.sort_by_key(|version| version.2);
        let mut met = joined(&setting, sources, &records, &versions);
        let mut expected = model(&records, &versions);
        met.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(met, expected);
    }

    #[test]
    fn an_interval_join_is_the_same_however_the_job_is_run(
        setting in setting(), sources in 1..=3usize, firsts in facts(), seconds in facts(),
    ) {
        let near = |(a, b): &(Fact, Fact)| a.0 == b.0 && (-2..=3).contains(&(b.1 - a.1));
        let all = firsts.iter().flat_map(|a| seconds.iter().map(move |b| (*a, *b)));
        let mut expected: Vec<(Fact, Fact)> = all.filter(near).collect();
        let mut pairs = pairs(&setting, sources, &firsts, &seconds);
        expected.sort_unstable();
        pairs.sort_unstable();
        prop_assert_eq!(pairs, expected);
    }
}

#[test]
fn every_subtask_has_all_of_a_table_that_is_broadcast() {
    let env = Environment::with(Config::default()).parallelism(4);
    let met = Collected::new();
    let records = env.source(generate(4_000, |n| n));
    let rows = env.source(generate(100, |n| (n, n * n))).parallelism(2);
    records
        .connect(rows.broadcast())
        .enrich_by(
            |either| match either {
                Either::First(n) => n % 100,
                Either::Second((n, _)) => *n,
            },
            |n, row| Some((n, row.map(|row| row.1))),
        )
        .sink(met.sink());
    env.run("enriched").unwrap();
    let mut met = met.take();
    met.sort_unstable();
    assert!(met.iter().map(|(n, _)| *n).eq(0..4_000), "each record is given once");
    let right = |(n, row): &(u64, Option<u64>)| row.is_none_or(|row| row == (n % 100).pow(2));
    assert!(met.iter().all(right), "a record meets its row, or came before it");
}

/// Facts in disorder of more than the watermarks allow for.
fn disorderly(seed: u64) -> impl Fn(u64) -> Fact + Clone + Send + 'static {
    move |n| ((n % 7) as u8, n as i64 - ((n * 7919 + seed) % 97) as i64, n)
}

#[test]
fn what_split_late_lets_through_is_in_time_for_a_join_behind_it() {
    let env = Environment::with(Config::default());
    let lag = || Watermarks::bounded_out_of_orderness(Duration::from_millis(5));
    let stream = |seed| {
        let facts = env.source(generate(3_000, disorderly(seed))).parallelism(2);
        facts.with_timestamps(|fact| fact.1, lag()).split_late()
    };
    let ((firsts, late_firsts), (seconds, late_seconds)) = (stream(1), stream(2));
    let ((firsts, seen_firsts), (seconds, seen_seconds)) = (firsts.tee(), seconds.tee());
    let collected = [(); 4].map(|()| Collected::new());
    let streams = [(&collected[0], &collected[1]), (&collected[2], &collected[3])];
    seen_firsts.sink(streams[0].0.sink());
    late_firsts.sink(streams[0].1.sink());
    seen_seconds.sink(streams[1].0.sink());
    late_seconds.sink(streams[1].1.sink());
    let pairs = Collected::new();
    firsts.connect(seconds).key_by(key).interval_join(0..=3, |a, b| (*a, *b)).sink(pairs.sink());
    env.run("in time").unwrap();
    let [firsts, late_firsts, seconds, late_seconds] = collected.map(|facts| facts.take());
    assert_eq!([firsts.len() + late_firsts.len(), seconds.len() + late_seconds.len()], [3_000; 2]);
    assert!(!late_firsts.is_empty() && !late_seconds.is_empty(), "some are late");
    let near = |(a, b): &(Fact, Fact)| a.0 == b.0 && (0..=3).contains(&(b.1 - a.1));
    let all = firsts.iter().flat_map(|a| seconds.iter().map(move |b| (*a, *b)));
    let mut expected: Vec<(Fact, Fact)> = all.filter(near).collect();
    let mut pairs = pairs.take();
    expected.sort_unstable();
    pairs.sort_unstable();
    assert_eq!(pairs, expected, "the join drops nothing that split_late has let through");
}
