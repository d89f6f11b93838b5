//! Two phases give what one phase gives, whatever comes when.

use proptest::prelude::*;
use slotflow_runtime::edge::combine::{BuildCombine, Combine};
use slotflow_runtime::testing::{Harness, subtask};
use slotflow_runtime::{Operator, TimeSaid, Timestamp};

use super::*;
use crate::Tumbling;
use crate::keyed::Assigner;
use crate::window::tests::{Pair, Selector, Sum, ms, selector};
use crate::window::{Joining, Late, WindowResult};

type Part = PartialOf<Pair, Sum>;

/// What happens to both phases.
#[derive(Clone, Debug)]
enum Step {
    /// A record comes.
    Record(Pair, Timestamp),
    /// A step ends.
    Flush,
    /// Event time goes on, here and there.
    Watermark(Timestamp),
    /// This side is idle, so time behind the edge goes on without it.
    Idle(Timestamp),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pair = (prop::sample::select(vec!['a', 'a', 'a', 'b', 'c']), 1..100u64);
    let step = prop_oneof![
        12 => (pair, -5..40i64).prop_map(|(pair, time)| Step::Record(pair, time)),
        3 => Just(Step::Flush),
        3 => (-5..40i64).prop_map(Step::Watermark),
        1 => (-5..40i64).prop_map(Step::Idle),
    ];
    prop::collection::vec(step, 0..80)
}

fn plan<S, A, L>(windows: Sliding, lateness_ms: Timestamp, parts: (S, A, L)) -> WindowPlan<Sliding, S, A, L> {
    let (selector, aggregate, late) = parts;
    WindowPlan { selector, assigner: Assigner::Hash, windows, lateness_ms, aggregate, late }
}

/// Adds the numbers of one key.
type Join = fn(Pair, Pair) -> Pair;

fn add(a: Pair, b: Pair) -> Pair {
    (a.0, a.1 + b.1)
}

/// What combines records.
fn local<G: Gather<Pair>>(gather: G, windows: Sliding, lateness_ms: Timestamp) -> Local<Pair, Selector, G> {
    LocalPlan::new((selector(), gather), windows, lateness_ms).build(&subtask()).unwrap()
}

fn partials(windows: Sliding, lateness_ms: Timestamp) -> Local<Pair, Selector, Partials<Sum>> {
    local(Partials(Sum), windows, lateness_ms)
}

/// What windows give, in any order, and how many records were late.
type Ended<V> = (Vec<(char, i64, V)>, u64);

fn ended<T: 'static, V: Ord + 'static, O>(mut windows: Harness<T, WindowResult<char, V>, O>) -> Ended<V>
where
    O: Operator<Owned<T>, Out = Owned<WindowResult<char, V>>>,
{
    windows.end().unwrap();
    let late = windows.measured().dropped("late");
    let mut given: Vec<_> = windows.take().into_iter().map(|it| (it.key, it.start, it.value)).collect();
    given.sort_unstable();
    (given, late)
}

fn in_one<A>(windows: Sliding, lateness_ms: i64, aggregate: A, steps: &[Step]) -> Ended<A::Out>
where
    A: Merge<Pair, Out: Ord> + Clone + Send,
{
    let plan = plan(windows, lateness_ms, (selector(), aggregate, Dropped::default()));
    let mut behind = Harness::new(plan).unwrap();
    for step in steps {
        match step {
            Step::Record(pair, time) => behind.push_at(*pair, *time).unwrap(),
            Step::Watermark(time) | Step::Idle(time) => behind.watermark(*time).unwrap(),
            Step::Flush => {}
        }
    }
    ended(behind)
}

/// The same where `local` combines in front of the windows of this plan.
fn in_two<G, S, A, L>(
    mut local: Local<Pair, Selector, G>,
    behind: WindowPlan<Sliding, S, A, L>,
    steps: &[Step],
) -> Ended<A::Out>
where
    G: Gather<Pair>,
    S: KeySelector<G::Out, Stored = char>,
    A: Merge<G::Out, Out: Ord> + Clone + Send,
    L: Late<WindowResult<char, A::Out>, G::Out, Out = WindowResult<char, A::Out>>,
{
    let mut behind = Harness::<G::Out, _, _>::new(behind).unwrap();
    for step in steps {
        let mut cross = |it, time| behind.push_at(it, time).unwrap();
        match step {
            Step::Record(pair, time) => local.add(*pair, *time, &mut cross),
            Step::Flush | Step::Watermark(_) | Step::Idle(_) => local.release(&mut cross),
        }
        if let Step::Watermark(time) | Step::Idle(time) = step {
            assert_eq!(local.kept(), 0);
            behind.watermark(*time).unwrap();
        }
        match step {
            Step::Watermark(time) => local.said(TimeSaid::Watermark(*time)),
            Step::Idle(_) => local.said(TimeSaid::Idle),
            _ => {}
        }
    }
    local.release(&mut |it, time| behind.push_at(it, time).unwrap());
    ended(behind)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_phases_give_what_one_gives(
        steps in steps(), lateness in prop::sample::select(vec![0, 7, 100]),
        shape in prop::sample::select(vec![(10, 10, 0), (10, 5, 3), (9, 6, -2)]),
    ) {
        let windows = Sliding::of(ms(shape.0), ms(shape.1)).offset_ms(shape.2);
        let behind = (ByPartial(selector()), OfPartials(Sum), PartialsDropped::default());
        let in_two = in_two(partials(windows, lateness), plan(windows, lateness, behind), &steps);
        prop_assert_eq!(in_two, in_one(windows, lateness, Sum, &steps));
    }

    /// Of tumbling windows also where it matters which record came first, and where the key is lost on the way.
    #[test]
    fn what_is_reduced_in_two_phases_is_what_one_gives(
        steps in steps(), lateness in prop::sample::select(vec![0, 7, 100]),
        (shape, join) in prop_oneof![
            (prop::sample::select(vec![(10, 10, 0), (10, 5, 3), (9, 6, -2)]), Just(add as Join)),
            (Just((10, 10, 0)), prop::sample::select(vec![|_, b| b, |a, _| a, |a: Pair, b: Pair| ('d', a.1 + b.1)])),
        ],
    ) {
        let windows = Sliding::of(ms(shape.0), ms(shape.1)).offset_ms(shape.2);
        let behind = (selector(), Joining::new(join), Dropped::default());
        let in_two = in_two(local(Joined(join), windows, lateness), plan(windows, lateness, behind), &steps);
        prop_assert_eq!(in_two, in_one(windows, lateness, Joining::new(join), &steps));
    }
}

/// What crosses when these records are combined, until the step ends.
fn crossed<G: Gather<Pair>>(
    local: &mut Local<Pair, Selector, G>,
    records: &[(Pair, i64)],
) -> Vec<(G::Out, i64)> {
    let mut crossed = Vec::new();
    records
        .iter()
        .for_each(|(pair, time)| local.add(*pair, *time, &mut |part, time| crossed.push((part, time))));
    local.release(&mut |part, time| crossed.push((part, time)));
    crossed
}

/// A record, and what so many others come to.
fn part(record: Pair, acc: u64, records: u32) -> Part {
    Partial { record, others: (records > 0).then_some(Others { acc, records }) }
}

#[test]
fn records_of_a_key_and_pane_cross_as_one_and_others_as_they_came() {
    let mut local = partials(Tumbling::of(ms(10)), 0);
    let records = [(('a', 1), 3), (('a', 2), 9), (('b', 5), 9), (('a', 4), 1), (('a', 8), 10)];
    let mut crossed = crossed(&mut local, &records);
    crossed.sort_by_key(|(_, time)| *time);
    assert_eq!(crossed, [(part(('a', 1), 6, 2), 3), (part(('b', 5), 0, 0), 9), (part(('a', 8), 0, 0), 10)]);
}

#[test]
fn what_time_may_have_overtaken_crosses_as_it_came() {
    let [at_4, at_5] = [(('a', 1), 4), (('a', 1), 5)];
    let alone = |record: (Pair, i64)| (part(record.0, 0, 0), record.1);
    for (lateness, combined_when_idle) in [(0, true), (1, false)] {
        let mut local = partials(Tumbling::of(ms(10)), lateness);
        local.said(TimeSaid::Watermark(4));
        assert_eq!(crossed(&mut local, &[at_4, at_4]), [alone(at_4), alone(at_4)]);
        assert_eq!(crossed(&mut local, &[at_5, at_5]), [(part(('a', 1), 1, 1), 5)]);
        local.said(TimeSaid::Idle);
        local.said(TimeSaid::Watermark(4));
        assert_eq!(crossed(&mut local, &[at_5, at_5]).len() == 1, combined_when_idle);
    }
}

#[test]
fn what_is_reduced_crosses_as_records_do_and_one_by_one_once_this_side_was_idle() {
    let mut local = local(Joined(add as Join), Tumbling::of(ms(10)), 0);
    let records = [(('a', 1), 3), (('a', 2), 9), (('a', 4), 1)];
    assert_eq!((crossed(&mut local, &records), local.rests()), (vec![(('a', 7), 3)], 0));
    local.said(TimeSaid::Idle);
    local.said(TimeSaid::Watermark(0));
    assert_eq!((crossed(&mut local, &records), local.rests()), (records.to_vec(), usize::MAX));
}

#[test]
fn what_is_late_lets_out_what_came_before_it() {
    let mut local = local(Joined(add as Join), Tumbling::of(ms(10)), 0);
    local.said(TimeSaid::Watermark(4));
    let records = [(('a', 1), 5), (('b', 1), 5), (('a', 2), 4), (('a', 3), 6), (('a', 4), 6)];
    let crossed = crossed(&mut local, &records);
    let of_a: Vec<_> = crossed.into_iter().filter(|(pair, _)| pair.0 == 'a').collect();
    assert_eq!(of_a, [(('a', 1), 5), (('a', 2), 4), (('a', 7), 6)]);
}

/// In one phase nobody looks at the key of what a closure gives.
#[test]
fn a_closure_that_gives_another_key_joins_nothing_in_front_of_the_exchange() {
    let mut local = local(Joined((|a, b| ('z', a.1 + b.1)) as Join), Tumbling::of(ms(10)), 0);
    let records = [(('a', 1), 5), (('a', 2), 5), (('a', 3), 5)];
    assert_eq!((crossed(&mut local, &records), local.rests()), (records.to_vec(), usize::MAX));
}

#[test]
fn what_is_kept_is_bounded() {
    let selector = crate::keyed::ByValue::hashed(|n: &u64| *n);
    let aggregate = crate::window::Joining::new(|a: u64, b: u64| a + b);
    let plan = LocalPlan::new((selector, Partials(aggregate)), Tumbling::of(ms(10)), 0);
    let (mut local, mut crossed, mut most) = (plan.build(&subtask()).unwrap(), 0, 0);
    // Few enough for one trial, so all are combined.
    for n in 0..4_000 {
        local.add(n, 5, &mut |_, _| crossed += 1);
        most = most.max(local.kept());
        assert_eq!(crossed + local.kept() as u64, n + 1, "no key comes twice");
    }
    assert!((64..2_000).contains(&most), "{most}");
}
