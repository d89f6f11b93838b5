//! Tests of tumbling and sliding windows, by marbles and against a naive model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use slotflow_runtime::testing::{Harness, Marble, check, subtask};
use slotflow_runtime::{
    Arena, Blame, Build, Context, FIRING_BUDGET, Flow, Hint, MAX_TIMESTAMP, Operator, Output, Owned, Routed,
    Timestamp,
};

use super::shape::milliseconds;
use super::*;
use crate::keyed::{Assigner, ByValue};

pub(super) type Pair = (char, u64);

/// `a:3[0,10)` is the result 3 of the window from 0 to 10 for the key a.
impl<K: Marble, V: Marble> Marble for WindowResult<K, V> {
    fn read(_: &str) -> Option<Self> {
        None
    }
    fn show(&self) -> String {
        format!("{}:{}[{},{})", self.key.show(), self.value.show(), self.start, self.end)
    }
}

#[derive(Clone)]
pub(super) struct Sum;

impl Aggregate<Pair> for Sum {
    type Acc = u64;
    type Out = u64;
    fn create(&self) -> u64 {
        0
    }
    fn add(&self, sum: &mut u64, (_, n): Pair) {
        *sum += n;
    }
    fn result(&self, sum: &u64) -> u64 {
        *sum
    }
}

impl Merge<Pair> for Sum {
    fn merge(&self, into: &mut u64, other: &u64) {
        *into += other;
    }
}

fn key(pair: &Pair) -> char {
    pair.0
}

pub(super) type Selector = ByValue<fn(&Pair) -> char>;

pub(super) fn selector() -> Selector {
    ByValue::hashed(key)
}

pub(super) fn ms(length: u64) -> Duration {
    Duration::from_millis(length)
}

fn with<L>(windows: Sliding, lateness: u64, late: L) -> WindowPlan<Sliding, Selector, Sum, L> {
    let lateness_ms = milliseconds(ms(lateness));
    let selector = selector();
    WindowPlan { selector, assigner: Assigner::Hash, windows, lateness_ms, aggregate: Sum, late }
}

pub(super) fn sums(windows: Sliding) -> WindowPlan<Sliding, Selector, Sum, Dropped> {
    with(windows, 0, Dropped::default())
}

/// Of each key the record that came last.
pub(super) fn lasts(
    windows: Sliding,
) -> WindowPlan<Sliding, Selector, Joining<fn(Pair, Pair) -> Pair>, Dropped> {
    let (late, aggregate) = (Dropped::default(), Joining::new((|_, last| last) as fn(Pair, Pair) -> Pair));
    WindowPlan { selector: selector(), assigner: Assigner::Hash, windows, lateness_ms: 0, aggregate, late }
}

fn all<W>(windows: W, lateness_ms: i64) -> WindowPlan<W, Selector, All<Pair>, Dropped> {
    let (selector, late, aggregate) = (selector(), Dropped::default(), All::new());
    WindowPlan { selector, assigner: Assigner::Hash, windows, lateness_ms, aggregate, late }
}

/// Keys and bytes while 100 records of each of ten keys are in windows, and once these are gone.
fn sizes(plan: impl Build<Owned<Pair>, Out = Owned<WindowResult<char, Vec<Pair>>>>) -> [(usize, usize); 2] {
    let mut harness = Harness::new(plan).unwrap();
    (0..1000)
        .for_each(|n| harness.push_at((char::from(b'a' + (n % 10) as u8), n), 5 + n as i64 % 3).unwrap());
    harness.watermark(5).unwrap();
    let full = harness.measured();
    harness.watermark(1000).unwrap();
    let empty = harness.measured();
    harness.push_at(('a', 1), 9).unwrap();
    assert_eq!(harness.measured().dropped("late"), 1);
    [(full.state_keys, full.state_bytes), (empty.state_keys, empty.state_bytes)]
}

#[test]
fn what_windows_keep_is_measured_with_the_records_they_keep_and_given_back() {
    let records = 1000 * size_of::<Pair>();
    for lateness_ms in [0, 50] {
        let tumbling = sizes(all(Tumbling::of(ms(10)), lateness_ms));
        let sessions = sizes(all(Session::with_gap(ms(10)), lateness_ms));
        for [full, empty] in [tumbling, sessions] {
            assert_eq!((full.0, empty.0), (10, 0));
            assert!(
                (records..10 * records).contains(&full.1) && empty.1 <= full.1 - records,
                "{full:?} {empty:?}"
            );
        }
    }
    let [full, empty] = sizes(all(Sliding::of(ms(10), ms(2)), 0));
    assert!(full.0 >= 10 && empty.0 == 0 && empty.1 < full.1 - 10 * size_of::<Vec<Pair>>());
}

/// Counts, in a kilobyte that it has from the beginning.
#[derive(Clone)]
struct InBuckets;

impl Aggregate<Pair> for InBuckets {
    type Acc = Vec<u8>;
    type Out = u8;
    fn create(&self) -> Vec<u8> {
        vec![0; 1024]
    }
    fn add(&self, buckets: &mut Vec<u8>, (_, n): Pair) {
        buckets[n as usize % 1024] += 1;
    }
    fn result(&self, buckets: &Vec<u8>) -> u8 {
        buckets.iter().sum()
    }
    fn heap_bytes(&self, buckets: &Vec<u8>) -> usize {
        buckets.capacity()
    }
}

impl Merge<Pair> for InBuckets {
    fn merge(&self, into: &mut Vec<u8>, other: &Vec<u8>) {
        into.iter_mut().zip(other).for_each(|(into, other)| *into += other);
    }
}

#[test]
fn what_an_aggregate_has_from_the_beginning_is_counted_and_given_back() {
    for lateness_ms in [0, 50] {
        let (selector, late) = (selector(), Dropped::default());
        let windows = Tumbling::of(ms(10));
        let plan = WindowPlan {
            selector,
            assigner: Assigner::Hash,
            windows,
            lateness_ms,
            aggregate: InBuckets,
            late,
        };
        let mut harness = Harness::new(plan).unwrap();
        harness.push_at(('a', 1), 5).unwrap();
        harness.watermark(6).unwrap();
        let full = harness.measured().state_bytes;
        harness.watermark(1000).unwrap();
        assert!((1024..10_000).contains(&full) && harness.measured().state_bytes <= full - 1024, "{full}");
    }
}

#[test]
fn a_window_fires_once_event_time_has_passed_its_last_time() {
    let windows = Tumbling::of(ms(10));
    check(sums(windows), "a:1@0 a:2@9 |8 a:4@5 |9 |10 #", "|8 a:7[0,10)@9 |9 |10 #");
}

#[test]
fn the_end_of_a_window_is_the_next_one_s() {
    check(sums(Tumbling::of(ms(10))), "a:1@9 a:2@10 |9 |19", "a:1[0,10)@9 |9 a:2[10,20)@19 |19");
}

#[test]
fn windows_are_moved_by_their_offset() {
    let windows = Tumbling::of(ms(10)).offset_ms(-3);
    check(sums(windows), "a:1@6 a:2@7 |16", "a:1[-3,7)@6 a:2[7,17)@16 |16");
}

#[test]
fn times_before_the_epoch_have_windows_too() {
    check(sums(Tumbling::of(ms(10))), "a:1@-1 a:2@-11 |0", "a:2[-20,-10)@-11 a:1[-10,0)@-1 |0");
}

#[test]
fn a_drain_fires_nothing_and_the_true_end_everything() {
    check(sums(Tumbling::of(ms(10))), "a:1@1 #drain", "#drain");
    check(sums(Tumbling::of(ms(10))), "a:1@1 a:2@25 #", "a:1[0,10)@9 a:2[20,30)@29 #");
}

#[test]
fn a_record_is_in_every_window_that_slides_over_it() {
    let windows = Sliding::of(ms(10), ms(5));
    check(sums(windows), "a:1@4 a:2@7 |4 |9 |30", "a:1[-5,5)@4 |4 a:3[0,10)@9 |9 a:2[5,15)@14 |30");
}

#[test]
fn a_slide_need_not_divide_the_size() {
    let windows = Sliding::of(ms(5), ms(3));
    check(sums(windows), "a:1@3 a:2@5 |20", "a:1[0,5)@4 a:3[3,8)@7 |20");
}

#[test]
fn a_late_record_is_dropped_from_the_windows_that_have_fired() {
    check(sums(Tumbling::of(ms(10))), "a:1@1 |9 a:2@9 a:4@10 |19", "a:1[0,10)@9 |9 a:4[10,20)@19 |19");
    let windows = Sliding::of(ms(10), ms(5));
    check(sums(windows), "a:1@1 |4 a:2@3 |9", "a:1[-5,5)@4 |4 a:3[0,10)@9 |9");
}

#[test]
fn a_window_that_may_be_late_fires_again() {
    let windows = with(Tumbling::of(ms(10)), 5, Dropped::default());
    check(
        windows,
        "a:1@1 |9 a:2@2 b:7@3 |13 a:4@4 |14 a:8@5 |15",
        "a:1[0,10)@9 |9 a:3[0,10)@9 b:7[0,10)@9 |13 a:7[0,10)@9 |14 |15",
    );
    let windows = with(Sliding::of(ms(10), ms(5)), 5, Dropped::default());
    check(windows, "a:1@1 |9 a:2@3 |14", "a:1[-5,5)@4 a:1[0,10)@9 |9 a:3[0,10)@9 |14");
}

/// An operator in front that gives several records for one goes on with that one's time.
#[test]
fn what_fires_again_leaves_the_time_of_the_record_in_hand() {
    let mut operator = built(with(Sliding::of(ms(10), ms(5)), 50, Dropped::default()));
    let mut given = Given(Vec::new());
    context(|ctx| {
        while operator.watermark(30, ctx, &mut given) == Flow::More {}
        ctx.set_timestamp(3);
        operator.process(('a', 1), ctx, &mut given);
        assert_eq!(ctx.timestamp(), 3);
    });
    assert_eq!(given.0.iter().map(|(_, time)| *time).collect::<Vec<_>>(), [4, 9]);
}

#[test]
fn late_records_go_aside_at_their_own_time() {
    let (mut given, mut operator) = (Vec::new(), built(with(Tumbling::of(ms(10)), 0, Aside)));
    drive(
        &mut operator,
        [Step::Record('a', 1, 5), Step::Watermark(9), Step::Record('b', 2, 3)],
        |out, time| {
            given.push(match out {
                Routed::Main(result) => format!("{}@{time}", result.show()),
                Routed::Side(pair) => format!("late:{}@{time}", pair.show()),
            });
        },
    );
    assert_eq!(given, ["a:1[0,10)@9", "late:b:2@3"]);
}

#[test]
fn only_what_is_late_for_all_its_windows_goes_aside() {
    let mut harness = Harness::new(with(Sliding::of(ms(10), ms(5)), 5, Aside)).unwrap();
    harness.push_at(('a', 1), 3).unwrap();
    harness.watermark(9).unwrap();
    harness.take();
    // The window up to 5 is over with the lateness that is allowed; the one up to 10 fires again with each record.
    for (n, time) in [(2, 3), (4, -1), (8, 4)] {
        harness.push_at(('a', n), time).unwrap();
    }
    harness.watermark(14).unwrap();
    let shown = harness.take_timed().into_iter().map(|(out, time)| match out {
        Routed::Main(result) => format!("{}@{time}", result.show()),
        Routed::Side(pair) => format!("late:{}@{time}", pair.show()),
    });
    assert_eq!(shown.collect::<Vec<_>>(), ["a:3[0,10)@9", "late:a:4@-1", "a:11[0,10)@9"]);
}

#[test]
fn the_ends_of_time_are_in_windows() {
    let (first, last) = (Timestamp::MIN + 1, Timestamp::MAX);
    for windows in [Tumbling::of(ms(10)), Sliding::of(ms(10), ms(5))] {
        let mut values = Vec::new();
        let steps = [Step::Record('a', 1, first), Step::Record('a', 2, last), Step::Watermark(last)];
        drive(&mut built(sums(windows)), steps, |result, _| values.push(result.value));
        values.dedup();
        assert_eq!(values, [1, 2]);
    }
}

#[test]
fn a_window_fires_in_portions_and_each_key_once() {
    for (windows, times) in [(Tumbling::of(ms(10)), 1), (Sliding::of(ms(10), ms(5)), 2)] {
        let mut operator = built(sums(windows));
        let keys = 2 * FIRING_BUDGET as u32;
        let of = |n: u32| char::from_u32(0x1_0000 + n).unwrap();
        let records = (0..keys).map(|n| Step::Record(of(n), u64::from(n), 5));
        drive(&mut operator, records, |_, _| panic!("nothing is over yet"));
        let mut given = Given(Vec::new());
        let mut calls = 0;
        while context(|ctx| operator.watermark(100, ctx, &mut given)) == Flow::More {
            calls += 1;
            assert!(calls < 100, "firing never ends");
            assert!(given.0.len() <= calls * FIRING_BUDGET);
        }
        assert!(calls >= 2 * times);
        assert_eq!(given.0.len(), keys as usize * times);
        assert_eq!(
            given.0.iter().map(|(result, _)| (result.key, result.start)).collect::<BTreeSet<_>>().len(),
            given.0.len()
        );
    }
}

/// What a test feeds an operator.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Record(char, u64, Timestamp),
    Watermark(Timestamp),
}

fn time_of(step: &Step) -> Timestamp {
    match step {
        Step::Record(_, _, time) | Step::Watermark(time) => *time,
    }
}

pub(super) struct Given<R>(pub(super) Vec<(R, Timestamp)>);

impl<R: 'static> Output<Owned<R>> for Given<R> {
    fn push<'s>(&mut self, record: R, ctx: &mut Context<'s>) {
        self.0.push((record, ctx.timestamp()));
    }
}

pub(super) fn built<B: Build<Owned<Pair>>>(build: B) -> B::Operator {
    build.build(&subtask()).unwrap()
}

fn context<R>(with: impl FnOnce(&mut Context<'_>) -> R) -> R {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    with(&mut Context::new(&arena, &place, &blame, 1))
}

/// Feeds an operator, showing it some records before it gets them.
pub(super) fn drive<R: 'static, O: Operator<Owned<Pair>, Out = Owned<R>>>(
    operator: &mut O,
    steps: impl IntoIterator<Item = Step>,
    mut seen: impl FnMut(R, Timestamp),
) {
    let (steps, mut given) = (steps.into_iter().collect::<Vec<_>>(), Given(Vec::new()));
    context(|ctx| {
        for batch in steps.chunk_by(|a, b| matches!((a, b), (Step::Record(..), Step::Record(..)))) {
            for part in batch.chunks(20) {
                let records = part.iter().filter_map(|step| match step {
                    Step::Record(key, n, _) => Some((*key, *n)),
                    Step::Watermark(_) => None,
                });
                let records: Vec<_> = records.collect();
                operator.hint(records.iter(), Hint(0), ctx);
                let mut hints = (0..records.len()).map(Hint);
                part.iter().for_each(|step| feed(operator, *step, &mut hints, ctx, &mut given));
            }
        }
    });
    given.0.into_iter().for_each(|(record, time)| seen(record, time));
}

fn feed<R: 'static>(
    operator: &mut impl Operator<Owned<Pair>, Out = Owned<R>>,
    step: Step,
    hints: &mut impl Iterator<Item = Hint>,
    ctx: &mut Context<'_>,
    given: &mut Given<R>,
) {
    match step {
        Step::Record(key, n, time) => {
            ctx.set_timestamp(time);
            operator.process_hinted((key, n), hints.next(), ctx, given);
        }
        Step::Watermark(watermark) => while operator.watermark(watermark, ctx, given) == Flow::More {},
    }
}

/// What each window of each key comes to, in the end.
type Results = BTreeMap<(char, Timestamp), u64>;

/// Every record in each of its windows that may still change, and the late ones.
fn model((size, slide, offset): (i64, i64, i64), lateness: i64, steps: &[Step]) -> (Results, Vec<u64>) {
    let (mut results, mut late, mut watermark) = (Results::new(), Vec::new(), Timestamp::MIN);
    for step in steps {
        match *step {
            Step::Watermark(at) => watermark = at,
            Step::Record(key, n, time) => {
                let starts = (time - size + 1..=time).filter(|start| (start - offset).rem_euclid(slide) == 0);
                let open = starts.filter(|start| start + size - 1 + lateness > watermark).collect::<Vec<_>>();
                if open.is_empty() {
                    late.push(n);
                }
                open.iter().for_each(|start| *results.entry((key, *start)).or_default() += n);
            }
        }
    }
    (results, late)
}

/// Records in disorder, and watermarks that only grow; times near each other tie.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..8u8, prop::sample::select(vec!['a', 'b', 'c', 'd', 'e']), -12..3i64, 0..30i64);
    prop::collection::vec(step, 0..120).prop_map(|steps| {
        let (mut now, mut watermark) = (-20, -30);
        let step = |(number, (kind, key, behind, gap)): (u64, (u8, char, i64, i64))| {
            if kind > 0 {
                now += gap / 10;
                return Step::Record(key, 1 << (number % 60), now + behind);
            }
            watermark = watermark.max(now - 30 + gap);
            Step::Watermark(watermark)
        };
        let mut steps: Vec<_> = (0..).zip(steps).map(step).collect();
        steps.push(Step::Watermark(MAX_TIMESTAMP));
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The last result of each window is the model's; a result comes when its window is over, and after that
    /// only as often as a record has changed it; what is in no window any more is late.
    #[test]
    fn windows_are_those_of_the_naive_model(
        shape in prop::sample::select(vec![(10, 10, 0), (10, 10, -3), (10, 5, 2), (9, 6, 1), (7, 3, 0), (12, 1, 0)]),
        lateness in prop::sample::select(vec![0, 0, 4, 20]),
        steps in steps(),
    ) {
        let (size, slide, offset) = shape;
        let windows = Sliding::of(ms(size as u64), ms(slide as u64)).offset_ms(offset);
        let mut operator = built(with(windows, lateness as u64, Aside));
        let (mut results, mut late, mut again) = (Results::new(), Vec::new(), 0);
        drive(&mut operator, steps.clone(), |routed, time| match routed {
            Routed::Main(WindowResult { key, start, end, value }) => {
                assert_eq!((end - start, time), (size, end - 1));
                again += usize::from(results.insert((key, start), value).is_some());
            }
            Routed::Side((_, n)) => late.push(n),
        });
        prop_assert_eq!((results, late), model(shape, lateness, &steps));
        prop_assert!(lateness > 0 || again == 0, "fired again without being allowed to");
    }

    /// However often watermarks come in between: the last results are the same as long as nothing is late.
    #[test]
    fn watermarks_change_no_result_that_nothing_is_late_for(steps in steps()) {
        let last = |steps: Vec<Step>| {
            let mut results = Results::new();
            drive(&mut built(sums(Sliding::of(ms(10), ms(5)))), steps, |result, _| {
                assert_eq!(results.insert((result.key, result.start), result.value), None);
            });
            results
        };
        let records = steps.iter().filter(|step| matches!(step, Step::Record(..)));
        let mut sorted: Vec<_> = records.copied().collect();
        sorted.sort_by_key(time_of);
        let dense = sorted.iter().flat_map(|step| [Step::Watermark(time_of(step) - 1), *step]);
        let end = Step::Watermark(MAX_TIMESTAMP);
        let rare = sorted.iter().copied().chain([end]).collect();
        prop_assert_eq!(last(dense.chain([end]).collect()), last(rare));
    }
}
