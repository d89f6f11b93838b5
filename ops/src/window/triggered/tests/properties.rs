//! Windows with triggers against a naive model, and against windows without.

use proptest::prelude::*;
use slotflow_runtime::testing::Harness;
use slotflow_runtime::{Build, MAX_TIMESTAMP, Owned, Routed};

use super::super::super::evictor::CountEvictor;
use super::super::super::tests::{self, Sum};
use super::super::super::{WindowPlan, WindowResult};
use super::model::{Case, Kind, Model, Step, When};
use super::*;

type Numbers = Routed<WindowFiring<char, Vec<u64>>, Pair>;

/// The numbers of the records.
#[derive(Clone)]
struct All;

impl Aggregate<Pair> for All {
    type Acc = Vec<u64>;
    type Out = Vec<u64>;
    fn create(&self) -> Vec<u64> {
        Vec::new()
    }
    fn add(&self, all: &mut Vec<u64>, (_, n): Pair) {
        all.push(n);
    }
    fn result(&self, all: &Vec<u64>) -> Vec<u64> {
        all.clone()
    }
}

impl Merge<Pair> for All {
    fn merge(&self, into: &mut Vec<u64>, other: &Vec<u64>) {
        into.extend(other);
    }
}

/// Runs the steps, and compares what each gives with the model's.
fn compare(case: Case, plan: impl Build<Owned<Pair>, Out = Owned<Numbers>>, steps: &[Step]) {
    let (mut harness, mut model) = (Harness::new(plan).unwrap(), Model::new(case));
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Record(key, n, time) => harness.push_at((key, n), time),
            Step::Watermark(watermark) => harness.watermark(watermark),
            Step::ProcessingTime(time) => harness.processing_time(time),
        }
        .unwrap();
        let expected = model.step(*step);
        let (mut given, mut late) = (Vec::new(), Vec::new());
        for (routed, time) in harness.take_timed() {
            match routed {
                Routed::Main(mut firing) => {
                    assert!(firing.end == MAX_TIMESTAMP || time == firing.end - 1);
                    firing.value.sort_unstable();
                    given.push(firing);
                }
                Routed::Side(pair) => late.push(pair),
            }
        }
        given.sort();
        assert_eq!(given, expected, "step {number}, {step:?}");
        assert_eq!(late, std::mem::take(&mut model.late), "step {number}, {step:?}");
    }
}

/// Makes the trigger of a case, purging or not.
fn with_trigger<W>(case: Case, windows: W, steps: &[Step])
where
    W: WindowAssigner<Pair, EventTimeTrigger>
        + WindowAssigner<Pair, CountTrigger>
        + WindowAssigner<Pair, ContinuousEventTimeTrigger>
        + WindowAssigner<Pair, ContinuousProcessingTimeTrigger>
        + WindowAssigner<Pair, EarlyTrigger<EventTimeTrigger>>
        + WindowAssigner<Pair, ProcessingTimeoutTrigger<CountTrigger>>
        + WindowAssigner<Pair, PurgingTrigger<ProcessingTimeoutTrigger<CountTrigger>>>
        + WindowAssigner<Pair, PurgingTrigger<EventTimeTrigger>>
        + WindowAssigner<Pair, PurgingTrigger<CountTrigger>>
        + WindowAssigner<Pair, PurgingTrigger<ContinuousEventTimeTrigger>>
        + WindowAssigner<Pair, PurgingTrigger<ContinuousProcessingTimeTrigger>>
        + WindowAssigner<Pair, PurgingTrigger<EarlyTrigger<EventTimeTrigger>>>,
{
    macro_rules! run {
        ($trigger:expr) => {
            match case.purging {
                true => with_evictor(case, windows, PurgingTrigger::of($trigger), steps),
                false => with_evictor(case, windows, $trigger, steps),
            }
        };
    }
    let interval = |every: i64| ms(every as u64);
    match case.when {
        When::EventTime => run!(EventTimeTrigger),
        When::Count(count) => run!(CountTrigger::of(count)),
        When::ContinuousEventTime(every) => run!(ContinuousEventTimeTrigger::of(interval(every))),
        When::ContinuousProcessingTime(every) => run!(ContinuousProcessingTimeTrigger::of(interval(every))),
        When::Timeout(count, after) => {
            run!(ProcessingTimeoutTrigger::of(interval(after), CountTrigger::of(count)))
        }
        When::Silence(count, after) => {
            let trigger = ProcessingTimeoutTrigger::of(interval(after), CountTrigger::of(count));
            run!(trigger.since_last_record())
        }
        When::Early(every) => run!(EarlyTrigger::every(interval(every), EventTimeTrigger)),
    }
}

fn with_evictor<W, G>(case: Case, windows: W, trigger: G, steps: &[Step])
where
    W: WindowAssigner<Pair, G>,
    G: Trigger<Pair>,
{
    let lateness = case.lateness as u64;
    match case.keeps {
        Some(keeps) => {
            let contents = Keep::<Pair, All>::contents(Evicted::by(CountEvictor::of(keeps)), All);
            compare(case, plan(windows, trigger, contents, lateness, Aside), steps);
        }
        None => {
            let contents = Keep::<Pair, All>::contents(Unevicted, All);
            compare(case, plan(windows, trigger, contents, lateness, Aside), steps);
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let kinds = [
        Kind::Sliding(10, 10),
        Kind::Sliding(10, 5),
        Kind::Sliding(7, 3),
        Kind::Session(4),
        Kind::Session(1),
        Kind::Global,
    ];
    let when = [
        When::EventTime,
        When::Count(1),
        When::Count(3),
        When::ContinuousEventTime(4),
        When::ContinuousProcessingTime(6),
        When::Early(5),
        When::Timeout(3, 5),
        When::Silence(4, 5),
    ];
    let (kind, when) = (prop::sample::select(kinds.to_vec()), prop::sample::select(when.to_vec()));
    let lateness = prop::sample::select(vec![0, 0, 5, 20]);
    let keeps = prop::sample::select(vec![None, None, Some(0), Some(2)]);
    (kind, when, any::<bool>(), lateness, keeps).prop_map(|(kind, when, purging, lateness, keeps)| {
        // What a merged session keeps is in no certain order, so an evictor by order is for the others.
        let keeps = keeps.filter(|_| !matches!(kind, Kind::Session(_)));
        Case { kind, when, purging, lateness, keeps }
    })
}

/// Records in disorder, watermarks that only grow, and a clock that goes on.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..10u8, prop::sample::select(vec!['a', 'b', 'c']), -14..3i64, 0..30i64);
    prop::collection::vec(step, 0..100).prop_map(|steps| {
        let (mut now, mut watermark, mut clock) = (-20, -30, 0);
        let step = |(number, (kind, key, behind, gap)): (u64, (u8, char, i64, i64))| match kind {
            0 => {
                watermark = watermark.max(now - 25 + gap);
                Step::Watermark(watermark)
            }
            1 => {
                clock += gap / 3;
                Step::ProcessingTime(clock)
            }
            _ => {
                now += gap / 10;
                Step::Record(key, number, now + behind)
            }
        };
        let steps: Vec<_> = (0..).zip(steps).map(step).collect();
        steps.into_iter().chain([Step::Watermark(MAX_TIMESTAMP)]).collect()
    })
}

/// What windows give at each step of records and watermarks, sorted, with late records as a key `late`.
fn given<R: 'static>(
    build: impl Build<Owned<Pair>, Out = Owned<Routed<R, Pair>>>,
    steps: &[tests::Step],
    result: impl Fn(R) -> WindowResult<char, u64>,
) -> Vec<Vec<(Option<WindowResult<char, u64>>, Option<Pair>, Timestamp)>> {
    let mut harness = Harness::new(build).unwrap();
    let routed = |routed| match routed {
        Routed::Main(firing) => (Some(result(firing)), None),
        Routed::Side(pair) => (None, Some(pair)),
    };
    let step = |step: &tests::Step| {
        match *step {
            tests::Step::Record(key, n, time) => harness.push_at((key, n), time),
            tests::Step::Watermark(watermark) => harness.watermark(watermark),
        }
        .unwrap();
        let given = harness.take_timed().into_iter().map(|(it, time)| (routed(it), time));
        let mut given: Vec<_> = given.map(|((main, side), time)| (main, side, time)).collect();
        given.sort();
        given
    };
    steps.iter().map(step).collect()
}

/// What windows by the clock give in all, sorted, when it has moved on by so much before each record.
fn by_clock<R: 'static>(
    build: impl Build<Owned<Pair>, Out = Owned<Routed<R, Pair>>>,
    records: &[(char, u64, i64)],
    result: impl Fn(R) -> WindowResult<char, u64>,
) -> Vec<WindowResult<char, u64>> {
    let (mut harness, mut clock) = (Harness::new(build).unwrap(), 0);
    for (key, n, gap) in records {
        clock += (gap - 4).max(0);
        harness.processing_time(clock).unwrap();
        harness.push((*key, *n)).unwrap();
    }
    harness.end().unwrap();
    let main = |routed| match routed {
        Routed::Main(firing) => result(firing),
        Routed::Side(pair) => panic!("{pair:?} is late by the clock"),
    };
    let mut given: Vec<_> = harness.take().into_iter().map(main).collect();
    given.sort();
    given
}

/// Windows without a trigger.
fn without<W>(windows: W, lateness_ms: i64) -> WindowPlan<W, Selector, Sum, Aside> {
    let (selector, assigner, aggregate, late) = (selector(), Assigner::Hash, Sum, Aside);
    WindowPlan { selector, assigner, windows, lateness_ms, aggregate, late }
}

/// The same with the one that they have by default.
fn with<W: DefaultTrigger>(windows: W, lateness_ms: i64) -> Plan<W, W::Trigger, Aggregating<Sum>, Aside> {
    let contents = Keep::<Pair, Sum>::contents(Unevicted, Sum);
    plan(windows, W::Trigger::default(), contents, lateness_ms as u64, Aside)
}

/// A session that a record makes longer after it has fired and was purged waits for its early result anew.
#[test]
fn an_early_result_counts_from_the_first_record_behind_a_purge() {
    let (kind, when) = (Kind::Session(4), When::Early(5));
    let case = Case { kind, when, purging: true, lateness: 5, keeps: None };
    let steps = [
        Step::Record('a', 0, -22),
        Step::Watermark(-19),
        Step::ProcessingTime(4),
        Step::Record('a', 1, -20),
        Step::ProcessingTime(5),
        Step::ProcessingTime(9),
        Step::Watermark(MAX_TIMESTAMP),
    ];
    with_trigger(case, Session::with_gap(ms(4)), &steps);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What fires at each step, with what timing and records, and what is late.
    #[test]
    fn firings_are_those_of_the_naive_model(case in case(), steps in steps()) {
        match case.kind {
            Kind::Global => with_trigger(case, Global, &steps),
            Kind::Session(gap) => with_trigger(case, Session::with_gap(ms(gap as u64)), &steps),
            Kind::Sliding(size, slide) => {
                with_trigger(case, Sliding::of(ms(size as u64), ms(slide as u64)), &steps);
            }
        }
    }

    /// Panes, stacks and sessions give what a trigger that fires at the end gives.
    #[test]
    fn the_default_trigger_gives_what_windows_without_one_give(
        shape in prop::sample::select(vec![(10, 10, 0), (10, 5, 2), (7, 3, 0), (12, 1, 0)]),
        gap in 1..8u64,
        lateness in prop::sample::select(vec![0, 0, 4, 20]),
        steps in tests::steps(),
    ) {
        let (windows, plain) = (Sliding::of(ms(shape.0), ms(shape.1)).offset_ms(shape.2), |result| result);
        let triggered = given(with(windows, lateness), &steps, WindowFiring::into_result);
        prop_assert_eq!(triggered, given(without(windows, lateness), &steps, plain));
        let sessions = Session::with_gap(ms(gap));
        let triggered = given(with(sessions, lateness), &steps, WindowFiring::into_result);
        prop_assert_eq!(triggered, given(without(sessions, lateness), &steps, plain));
    }

    #[test]
    fn the_default_trigger_by_the_clock_gives_what_windows_without_one_give(
        shape in prop::sample::select(vec![(10, 10), (10, 5), (7, 3)]),
        gap in 1..8u64,
        records in prop::collection::vec((prop::sample::select(vec!['a', 'b', 'c']), 0..9u64, 0..9i64), 0..80),
    ) {
        let (windows, plain) = (Sliding::of(ms(shape.0), ms(shape.1)).in_processing_time(), |result| result);
        let triggered = by_clock(with(windows, 0), &records, WindowFiring::into_result);
        prop_assert_eq!(triggered, by_clock(without(windows, 0), &records, plain));
        let sessions = Session::with_gap(ms(gap)).in_processing_time();
        let triggered = by_clock(with(sessions, 0), &records, WindowFiring::into_result);
        prop_assert_eq!(triggered, by_clock(without(sessions, 0), &records, plain));
    }
}
