//! Jobs with joins against naive models: the same results however they are run.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod setting;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use setting::{Driver, Setting, cases, checked, fewer_cases, setting, timed};
use slotflow::prelude::*;
use slotflow_runtime::EventTime;

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
    let keyed = timed(&env, setting, sources, records, |fact| fact.1)
        .connect(timed(&env, setting, sources, versions, |fact| fact.1))
        .key_by(key);
    checked(keyed.as_of_join(|record, version| Some((record, version.map(|version| version.2)))))
        .sink(met.sink());
    setting.run(&env, "as of");
    met.take()
}

fn pairs(setting: &Setting, sources: usize, firsts: &[Fact], seconds: &[Fact]) -> Vec<(Fact, Fact)> {
    let (env, pairs) = (setting.environment(), Collected::new());
    let keyed = timed(&env, setting, sources, firsts, |fact| fact.1)
        .connect(timed(&env, setting, sources, seconds, |fact| fact.1))
        .key_by(key);
    checked(keyed.interval_join(-2..=3, |a, b| (*a, *b))).sink(pairs.sink());
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

/// Size, slide and offset of windows.
type Shape = (i64, i64, i64);

/// A window's key and start, and the numbers of both streams' records in it.
type Group = (u8, i64, Vec<u64>, Vec<u64>);

fn windows((size, slide, offset): Shape) -> Sliding {
    let [size, slide] = [size, slide].map(|length| Duration::from_millis(length as u64));
    Sliding::of(size, slide).offset_ms(offset)
}

fn numbers(facts: &[Fact]) -> Vec<u64> {
    let mut numbers: Vec<u64> = facts.iter().map(|fact| fact.2).collect();
    numbers.sort_unstable();
    numbers
}

/// What both streams come to in windows: their groups, and their pairs.
fn grouped(
    setting: &Setting,
    sources: usize,
    shape: Shape,
    (firsts, seconds): (&[Fact], &[Fact]),
) -> (Vec<Group>, Vec<(Fact, Fact)>) {
    let (env, groups, pairs) = (setting.environment(), Collected::new(), Collected::new());
    let stream = |facts| timed(&env, setting, sources, facts, |fact: &Fact| fact.1);
    let keyed = || stream(firsts).connect(stream(seconds)).key_by(key).window(windows(shape));
    checked(keyed().co_group(|it| (it.key, it.start, numbers(&it.value.0), numbers(&it.value.1))))
        .sink(groups.sink());
    checked(keyed().join(|a, b| (*a, *b))).sink(pairs.sink());
    setting.run(&env, "grouped");
    (groups.take(), pairs.take())
}

/// The starts of the windows that a time is in.
fn starts((size, slide, offset): Shape, time: i64) -> impl Iterator<Item = i64> {
    (time - size + 1..=time).filter(move |start| (start - offset).rem_euclid(slide) == 0)
}

fn groups_of(shape: Shape, firsts: &[Fact], seconds: &[Fact]) -> Vec<Group> {
    let mut groups = BTreeMap::<(u8, i64), (Vec<Fact>, Vec<Fact>)>::new();
    for fact in firsts {
        starts(shape, fact.1).for_each(|start| groups.entry((fact.0, start)).or_default().0.push(*fact));
    }
    for fact in seconds {
        starts(shape, fact.1).for_each(|start| groups.entry((fact.0, start)).or_default().1.push(*fact));
    }
    groups.into_iter().map(|((key, start), (a, b))| (key, start, numbers(&a), numbers(&b))).collect()
}

/// Each pair of a key once for each window that has both.
fn pairs_of(shape: Shape, firsts: &[Fact], seconds: &[Fact]) -> Vec<(Fact, Fact)> {
    let all = firsts.iter().flat_map(|a| seconds.iter().map(move |b| (*a, *b))).filter(|(a, b)| a.0 == b.0);
    let shared = |(a, b): &(Fact, Fact)| {
        let of_both = starts(shape, a.1).filter(|start| starts(shape, b.1).any(|other| other == *start));
        of_both.count()
    };
    all.flat_map(|pair| vec![pair; shared(&pair)]).collect()
}

proptest! {
    #![proptest_config(fewer_cases(128))]

    #[test]
    fn co_groups_and_window_joins_are_the_same_however_the_job_is_run(
        setting in setting(), sources in 1..=3usize, firsts in facts(), seconds in facts(),
        shape in prop::sample::select(vec![(10, 10, 0), (10, 5, 3), (9, 6, 2), (40, 40, 0)]),
    ) {
        let (mut groups, mut pairs) = grouped(&setting, sources, shape, (&firsts, &seconds));
        let mut expected = pairs_of(shape, &firsts, &seconds);
        groups.sort_unstable();
        pairs.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(groups, groups_of(shape, &firsts, &seconds));
        prop_assert_eq!(pairs, expected);
    }
}

/// What nobody can copy.
struct Only(Fact);

#[test]
fn what_cannot_be_cloned_is_joined_by_nearness() {
    let (env, pairs) = (Environment::with(Config::default()), Collected::new());
    let stream = || {
        let facts = env.source(generate(100, |n| Only((0, n as i64, n))));
        facts.with_timestamps(|it| it.0.1, Watermarks::monotonous())
    };
    let keyed = stream().connect(stream()).key_by(|_| 'k');
    keyed.interval_join(1..=1, |a, b| (a.0.2, b.0.2)).sink(pairs.sink());
    env.run("only").unwrap();
    let mut pairs = pairs.take();
    pairs.sort_unstable();
    assert!(pairs.into_iter().eq((0..99).map(|n| (n, n + 1))));
}

/// What of all these numbers is not among the late ones.
fn in_time(late: &[Fact], stream: impl Fn(u64) -> Fact) -> Vec<Fact> {
    let late = numbers(late);
    (0..3_000).map(stream).filter(|fact| late.binary_search(&fact.2).is_err()).collect()
}

/// Small steps and rings, so that watermarks go on often.
fn small(seed: u64) -> Setting {
    Setting { from: 2, to: 2, capacity: 16, chaining: true, batch: 16, driver: Driver::Simulation(seed) }
}

#[test]
fn what_is_late_for_an_interval_join_goes_aside_and_all_else_is_joined() {
    let mut late_ones = [0; 2];
    for seed in 0..3 {
        let (env, near, aside) = (small(seed).environment(), Collected::new(), Collected::new());
        let keyed = disordered(&env, 1).connect(disordered(&env, 2)).key_by(key);
        let (pairs, late) = keyed.interval_join(0..=3, |a, b| (*a, *b)).with_late();
        pairs.sink(near.sink());
        late.map(fact_with_side).process(|_| AtItsTime).sink(aside.sink());
        small(seed).run(&env, "near");
        let (firsts, seconds): (Vec<_>, Vec<_>) = aside.take().into_iter().partition(|it| it.0 == 1);
        let late = [firsts, seconds].map(|late| late.into_iter().map(|it| it.1).collect::<Vec<_>>());
        let [firsts, seconds] =
            [(&late[0], 1), (&late[1], 2)].map(|(late, seed)| in_time(late, disorderly(seed)));
        let all = firsts.iter().flat_map(|a| seconds.iter().map(move |b| (*a, *b)));
        let is_near = |(a, b): &(Fact, Fact)| a.0 == b.0 && (0..=3).contains(&(b.1 - a.1));
        assert_eq!(sorted(near.take()), sorted(all.filter(is_near).collect()));
        (0..2).for_each(|side| late_ones[side] += late[side].len());
    }
    assert!(late_ones.iter().all(|count| *count > 0), "some of both are late");
}

#[test]
fn what_is_late_for_an_as_of_join_goes_aside_and_all_else_is_joined() {
    let (mut late_ones, mut with_version) = (0, 0);
    for seed in 0..10 {
        let (env, met, aside) = (small(seed).environment(), Collected::new(), Collected::new());
        let keyed = disordered(&env, 1).connect(disordered(&env, 2)).key_by(key);
        // What a late version is valid for is a matter of the way; that it is of the key and not of later is not.
        let joined = keyed.as_of_join(|record, version| Some((record, version.copied())));
        let joined = joined.retain(Duration::from_secs(1));
        let (records, late) = joined.with_late();
        records.sink(met.sink());
        late.map(|fact| (1, fact)).process(|_| AtItsTime).sink(aside.sink());
        small(seed).run(&env, "met");
        let (late, met): (Vec<Fact>, _) = (aside.take().into_iter().map(|it| it.1).collect(), met.take());
        let valid =
            |it: &(Fact, Option<Fact>)| it.1.is_none_or(|version| version.0 == it.0.0 && version.1 <= it.0.1);
        assert!(met.iter().all(valid));
        with_version += met.iter().filter(|it| it.1.is_some()).count();
        assert_eq!(sorted(met.into_iter().map(|it| it.0).collect()), sorted(in_time(&late, disorderly(1))));
        late_ones += late.len();
    }
    assert!(late_ones > 0, "some are late");
    assert!(with_version > 10 * 2_000, "most meet a version: {with_version}");
}

/// Facts in disorder of more than the watermarks allow for, as a stream.
fn disordered(env: &Environment, seed: u64) -> BoxedStream<'_, Fact, EventTime> {
    let lag = Watermarks::bounded_out_of_orderness(Duration::from_millis(5));
    env.source(generate(3_000, disorderly(seed))).parallelism(2).with_timestamps(|fact| fact.1, lag).boxed()
}

/// A record, and which stream it is of.
type Sided = (u8, Fact);

fn fact_with_side(either: Either<Fact, Fact>) -> Sided {
    match either {
        Either::First(fact) => (1, fact),
        Either::Second(fact) => (2, fact),
    }
}

struct AtItsTime;

/// What is late keeps its event time.
impl ProcessFunction<Sided> for AtItsTime {
    type Out = Sided;
    fn process(&mut self, sided: Sided, ctx: &mut ProcessContext<'_, (), Sided>) {
        assert_eq!(ctx.timestamp(), sided.1.1);
        ctx.push(sided);
    }
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort_unstable();
    all
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
