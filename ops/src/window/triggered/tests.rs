//! Tests of windows with triggers, by marbles.

use slotflow_runtime::testing::{Harness, Marble, check, subtask};
use slotflow_runtime::{
    Arena, Blame, Build, Context, FIRING_BUDGET, Flow, MAX_TIMESTAMP, Operator, Result, Routed,
    SubtaskContext, Timestamp,
};

use super::super::shape::milliseconds;
use super::super::tests::{Given, Pair, Selector, ms, selector};
use super::super::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, DeltaTrigger,
    EventTimeTrigger, Global, Late, MergingTrigger, ProcessingTimeTrigger, ProcessingTimeoutTrigger,
    PurgingTrigger, Session, Sliding, TriggerContext, Tumbling,
};
use super::*;
use crate::Aggregate;
use crate::window::Merge;

mod model;
mod properties;

/// `a:12[0,10)` are the records 1 and 2 of the window from 0 to 10 for the key a; `[..)` is a global window.
impl<K: Marble, V: Marble> Marble for WindowFiring<K, V> {
    fn read(_: &str) -> Option<Self> {
        None
    }
    fn show(&self) -> String {
        let edges = match self.end {
            MAX_TIMESTAMP => "..".into(),
            end => format!("{},{end}", self.start),
        };
        let timing = match self.timing {
            Timing::Early => "early",
            Timing::OnTime => "",
            Timing::Late => "late",
        };
        format!("{}:{}[{edges}){timing}", self.key.show(), self.value.show())
    }
}

/// The records as digits of a number, in their order.
#[derive(Clone)]
pub(in super::super) struct Digits;

impl Aggregate<Pair> for Digits {
    type Acc = u64;
    type Out = u64;
    fn create(&self) -> u64 {
        0
    }
    fn add(&self, digits: &mut u64, (_, n): Pair) {
        *digits = *digits * 10 + n;
    }
    fn result(&self, digits: &u64) -> u64 {
        *digits
    }
}

impl Merge<Pair> for Digits {
    fn merge(&self, into: &mut u64, other: &u64) {
        *into = *into * 10_u64.pow(other.checked_ilog10().map_or(0, |places| places + 1)) + other;
    }
}

type Plan<W, G, C, L = Dropped> = TriggeredPlan<W, Selector, G, C, L>;

pub(in super::super) fn plan<W, G, C, L>(
    windows: W,
    trigger: G,
    contents: C,
    lateness: u64,
    late: L,
) -> Plan<W, G, C, L> {
    let (selector, assigner, lateness_ms) = (selector(), Assigner::Hash, milliseconds(ms(lateness)));
    TriggeredPlan { selector, assigner, windows, lateness_ms, trigger, contents, late }
}

fn digits<W, G>(windows: W, trigger: G) -> Plan<W, G, Aggregating<Digits>> {
    with_lateness(windows, trigger, 0)
}

fn with_lateness<W, G>(windows: W, trigger: G, lateness: u64) -> Plan<W, G, Aggregating<Digits>> {
    let contents = Keep::<Pair, Digits>::contents(Unevicted, Digits);
    plan(windows, trigger, contents, lateness, Dropped::default())
}

fn tens() -> Sliding {
    Tumbling::of(ms(10))
}

#[test]
fn event_time_fires_once_the_watermark_has_passed_the_last_time() {
    let plan = digits(tens(), EventTimeTrigger);
    check(plan, "a:1@0 a:2@9 b:3@4 |8 a:4@5 |9 |10 #", "|8 a:124[0,10)@9 b:3[0,10)@9 |9 |10 #");
}

#[test]
fn event_time_fires_with_each_late_record_that_is_allowed() {
    let plan = with_lateness(tens(), EventTimeTrigger, 5);
    let fired = "a:1[0,10)@9 |9 a:12[0,10)late@9 b:7[0,10)late@9 |13 a:124[0,10)late@9 |14 |15";
    check(plan, "a:1@1 |9 a:2@2 b:7@3 |13 a:4@4 |14 a:8@5 |15", fired);
}

#[test]
fn a_late_record_opens_no_window_that_was_purged() {
    let plan = || with_lateness(tens(), PurgingTrigger::of(EventTimeTrigger), 5);
    check(plan(), "a:1@1 |9 |14 a:2@2 |20 #", "a:1[0,10)@9 |9 |14 |20 #");
    // Within the lateness that is allowed it does, and the window begins anew.
    check(plan(), "a:1@1 |9 a:2@2 a:3@2 |20 #", "a:1[0,10)@9 |9 a:2[0,10)late@9 a:3[0,10)late@9 |20 #");
}

#[test]
fn late_records_go_aside_at_their_own_time() {
    let contents = Keep::<Pair, Digits>::contents(Unevicted, Digits);
    let plan = plan(tens(), EventTimeTrigger, contents, 0, Aside);
    let mut harness = Harness::new(plan).unwrap();
    harness.push_at(('a', 1), 5).unwrap();
    harness.watermark(9).unwrap();
    harness.push_at(('b', 2), 3).unwrap();
    let side = |given: Vec<(Routed<_, Pair>, Timestamp)>| {
        given.into_iter().map(|(it, time)| (matches!(it, Routed::Side(_)), time)).collect::<Vec<_>>()
    };
    assert_eq!(side(harness.take_timed()), [(false, 9), (true, 3)]);
}

#[test]
fn a_record_is_in_each_window_that_slides_over_it() {
    let plan = digits(Sliding::of(ms(10), ms(5)), EventTimeTrigger);
    check(plan, "a:1@4 a:2@7 |4 |9 |30", "a:1[-5,5)@4 |4 a:12[0,10)@9 |9 a:2[5,15)@14 |30");
}

#[test]
fn a_count_fires_each_so_many_records_of_a_window() {
    let fired = "a:12[0,10)early@9 |4 a:56[10,20)early@19 a:1234[0,10)early@9 #";
    check(digits(tens(), CountTrigger::of(2)), "a:1@1 a:5@11 b:7@2 a:2@3 |4 a:6@12 a:3@1 a:4@4 #", fired);
}

#[test]
fn a_delta_fires_with_what_differs_from_what_it_last_fired_with() {
    let by_three = DeltaTrigger::of(2.0, |last: &Pair, now: &Pair| last.1.abs_diff(now.1) as f64);
    let fired =
        "a:14[0,10)early@9 b:15[0,10)early@9 b:159[0,10)early@9 a:14[10,20)early@19 a:1427[10,20)early@19 #";
    check(digits(tens(), by_three), "a:1@1 b:1@1 a:4@2 b:5@3 b:9@4 a:1@11 a:4@12 a:2@13 a:7@14 #", fired);
    // Of sessions that merge the first has the say: 6 differs by much from 1, and by little from 8.
    check(digits(Session::with_gap(ms(5)), by_three), "a:1@0 a:8@7 a:6@4 #", "a:186[0,12)early@11 #");
}

#[test]
fn a_global_window_has_all_records_and_the_latest_time_of_them() {
    let plan = digits(Global, CountTrigger::of(2));
    let fired = "a:12[..)early@5 |7 a:1234[..)early@9 b:78[..)early@6 #";
    check(plan, "a:1@5 a:2@3 |7 b:7@6 a:3@9 a:4@1 b:8@2 #", fired);
}

#[test]
fn a_global_window_fires_by_event_time_at_the_true_end_and_not_at_a_drain() {
    check(digits(Global, EventTimeTrigger), "a:1@5 |20 a:2@3 #", "|20 a:12[..)@5 #");
    check(digits(Global, EventTimeTrigger), "a:1@5 |20 a:2@3 #drain", "|20 #drain");
}

#[test]
fn purging_gives_each_record_once() {
    let plan = digits(Global, PurgingTrigger::of(CountTrigger::of(2)));
    check(plan, "a:1 b:7 a:2 a:3 b:8 a:4 a:5 #", "a:12[..)early b:78[..)early a:34[..)early #");
}

#[test]
fn processing_time_fires_once_the_clock_has_reached_the_end() {
    let plan = digits(tens().in_processing_time(), ProcessingTimeTrigger);
    let fired = "~4 ~9 a:12[0,10)@9 b:8[0,10)@9 ~10 a:4[10,20)@19 ~35 ~40";
    check(plan, "a:1 ~4 a:2 b:8 ~9 ~10 a:4 ~35 ~40", fired);
}

#[test]
fn windows_by_the_clock_fire_at_the_true_end_and_not_at_a_drain() {
    let plan = || digits(tens().in_processing_time(), ProcessingTimeTrigger);
    check(plan(), "~4 a:1 #", "~4 a:1[0,10)@9 #");
    check(plan(), "~4 a:1 #drain", "~4 #drain");
}

#[test]
fn event_time_fires_continuously_at_each_multiple_and_at_the_end() {
    let plan = digits(tens(), ContinuousEventTimeTrigger::of(ms(4)));
    let fired = "|3 a:1[0,10)early@9 |4 a:12[0,10)early@9 |8 a:12[0,10)@9 b:3[0,10)@9 |9 |12";
    check(plan, "a:1@1 |3 |4 a:2@5 |8 b:3@8 |9 |12", fired);
}

#[test]
fn event_time_fires_continuously_once_for_all_multiples_that_a_watermark_passes() {
    let plan = || digits(Global, ContinuousEventTimeTrigger::of(ms(4)));
    let fired = "a:1[..)early@1 |8 a:12[..)early@13 |20 a:12[..)early@13 a:12[..)@13 #";
    check(plan(), "a:1@1 |8 a:2@13 |20 #", fired);
    // Time that a wrong record has moved to its end is no flood.
    check(
        plan(),
        "a:1@1 |9223372036854775806 #drain",
        "a:1[..)early@1 a:1[..)@1 |9223372036854775806 #drain",
    );
}

#[test]
fn the_clock_fires_continuously_at_each_multiple_once() {
    let plan = digits(Global, ContinuousProcessingTimeTrigger::of(ms(4)));
    let fired = "~2 a:1[..)early ~4 ~7 a:12[..)early ~17 a:12[..)early ~20";
    check(plan, "~2 a:1 ~4 a:2 ~7 ~17 ~20", fired);
    let plan = digits(tens().in_processing_time(), ContinuousProcessingTimeTrigger::of(ms(8)));
    check(plan, "a:1 ~8 a:2 ~10 ~30", "a:1[0,10)early@9 ~8 a:12[0,10)@9 ~10 ~30");
}

#[test]
fn early_results_come_after_an_interval_and_only_with_news() {
    let plan = digits(tens(), EarlyTrigger::every(ms(5), EventTimeTrigger));
    let fired = "~1 ~5 a:12[0,10)early@9 ~6 ~30 ~31 a:123[0,10)@9 |9 ~40";
    check(plan, "~1 a:1@1 a:2@2 ~5 ~6 ~30 a:3@3 ~31 |9 ~40", fired);
}

#[test]
fn early_on_time_and_late_results_accumulate_or_not() {
    let early = EarlyTrigger::every(ms(5), EventTimeTrigger);
    let line = "a:1@1 ~5 a:2@2 |9 a:3@3 |30";
    let fired = "a:1[0,10)early@9 ~5 a:12[0,10)@9 |9 a:123[0,10)late@9 |30";
    check(with_lateness(tens(), early, 20), line, fired);
    let fired = "a:1[0,10)early@9 ~5 a:2[0,10)@9 |9 a:3[0,10)late@9 |30";
    check(with_lateness(tens(), PurgingTrigger::of(early), 20), line, fired);
}

#[test]
fn an_early_result_that_is_due_at_the_end_is_the_one_at_the_end() {
    let plan = digits(tens().in_processing_time(), EarlyTrigger::every(ms(10), ProcessingTimeTrigger));
    check(plan, "a:1 ~10 ~20", "a:1[0,10)@9 ~10 ~20");
}

#[test]
fn sessions_fire_by_triggers_and_merge_their_states() {
    let plan = || digits(Session::with_gap(ms(5)), EventTimeTrigger);
    check(plan(), "a:1@0 b:9@1 a:2@5 |4 |9 #", "|4 b:9[1,6)@5 a:12[0,10)@9 |9 #");
    check(plan(), "a:1@0 a:2@8 a:3@4 |11 |12 #", "|11 a:123[0,13)@12 |12 #");
    let counts = digits(Session::with_gap(ms(5)), CountTrigger::of(4));
    check(counts, "a:1@0 a:2@1 a:3@9 a:4@5 #", "a:1234[0,14)early@13 #");
}

#[test]
fn a_session_that_grows_does_not_fire_at_its_old_end() {
    let plan = with_lateness(Session::with_gap(ms(5)), EarlyTrigger::every(ms(5), EventTimeTrigger), 3);
    let fired = "a:1[0,5)early@4 ~5 |2 |4 a:12[0,9)@8 |8 a:123[0,9)late@8 |11 #";
    check(plan, "a:1@0 ~5 |2 a:2@4 |4 |8 a:3@3 |11 a:4@3 #", fired);
}

#[test]
fn a_session_that_was_purged_still_reaches_as_far() {
    let plan = digits(Session::with_gap(ms(5)), PurgingTrigger::of(CountTrigger::of(1)));
    check(plan, "a:1@0 a:2@4 |8 a:3@9 #", "a:1[0,5)early@4 a:2[0,9)early@8 |8 a:3[9,14)early@13 #");
}

#[test]
fn sessions_by_the_clock_merge() {
    let plan = digits(Session::with_gap(ms(5)).in_processing_time(), ProcessingTimeTrigger);
    check(plan, "a:1 ~3 a:2 ~6 b:4 ~8 a:8 ~30", "~3 ~6 a:12[0,8)@7 ~8 b:4[6,11)@10 a:8[8,13)@12 ~30");
}

/// Purges by a timer at a distance behind each record, and fires once it has three; forgets its count then.
#[derive(Clone)]
struct Impatient;

impl Trigger<Pair> for Impatient {
    type State = u64;

    fn on_record(&mut self, _: &Pair, count: &mut u64, ctx: &mut TriggerContext<'_>) -> TriggerResult {
        *count += 1;
        ctx.register_event_time_timer(ctx.timestamp() + 3);
        if *count < 3 {
            return TriggerResult::Continue;
        }
        *count = 0;
        ctx.delete_event_time_timer(ctx.timestamp() + 3);
        TriggerResult::FireAndPurge
    }

    fn on_event_time(&mut self, _: Timestamp, count: &mut u64, _: &mut TriggerContext<'_>) -> TriggerResult {
        *count = 0;
        TriggerResult::Purge
    }
}

#[test]
fn a_trigger_of_a_user_s_own_has_state_and_timers_for_each_window() {
    check(digits(Global, Impatient), "a:1@1 a:2@2 a:3@3 |9 a:4@9 #", "a:123[..)early@3 |9 #");
    check(digits(Global, Impatient), "a:1@1 a:2@2 |5 a:3@6 a:4@7 a:5@8 #", "|5 a:345[..)early@8 #");
}

/// A row that is used again has not the timers of the window that has left it.
#[test]
fn a_window_takes_its_timers_along_when_it_goes() {
    let mut harness = Harness::new(digits(tens(), Impatient)).unwrap();
    harness.push_at(('a', 1), 9).unwrap();
    harness.watermark(9).unwrap();
    // The window of a is over, with a timer for 12; that of b lives in its row.
    [1, 2].into_iter().for_each(|n| harness.push_at(('b', n), 19).unwrap());
    harness.watermark(12).unwrap();
    harness.push_at(('b', 3), 18).unwrap();
    let values: Vec<u64> = harness.take().into_iter().map(|firing| firing.value).collect();
    assert_eq!(values, [123]);
}

#[test]
fn what_is_purged_and_waits_for_nothing_is_forgotten() {
    let place = subtask();
    let mut operator = digits(Global, PurgingTrigger::of(CountTrigger::of(3))).build(&place).unwrap();
    let many = (0..9_000).map(|n| (key(n / 3), 1));
    feed(&mut operator, many.chain([('a', 1), ('b', 1)]), &place).unwrap();
    assert_eq!(operator.state.open.size().keys, 2);
}

/// How many keys have a window when all are purged at 10, by either time.
fn left_after_a_purge<G: Trigger<Pair>>(trigger: G) -> usize {
    let mut harness = Harness::new(digits(Global, PurgingTrigger::of(trigger))).unwrap();
    (0..100).for_each(|n| harness.push_at((key(n), 1), 5).unwrap());
    assert_eq!(harness.operator().state.open.size().keys, 100);
    harness.watermark(10).unwrap();
    harness.processing_time(10).unwrap();
    assert_eq!(harness.take().len(), 100);
    harness.operator().state.open.size().keys
}

#[test]
fn what_fires_again_and_again_is_forgotten_when_it_is_purged() {
    assert_eq!(left_after_a_purge(ContinuousEventTimeTrigger::of(ms(10))), 0);
    assert_eq!(left_after_a_purge(ContinuousProcessingTimeTrigger::of(ms(10))), 0);
    assert_eq!(left_after_a_purge(EarlyTrigger::every(ms(10), EventTimeTrigger)), 0);
    assert_eq!(left_after_a_purge(ProcessingTimeoutTrigger::of(ms(10), EventTimeTrigger)), 0);
}

#[test]
fn a_window_that_was_purged_fires_again_with_what_comes_then() {
    let plan = digits(Global, PurgingTrigger::of(ContinuousEventTimeTrigger::of(ms(10))));
    let fired = "a:1[..)early@1 |10 |30 a:2[..)early@31 |40 a:3[..)early@41 #";
    check(plan, "a:1@1 |10 |30 a:2@31 |40 a:3@41 #", fired);
}

/// Waits for 10 on the clock, and no more once its window is purged or another: what is around it may wait for 10, too.
#[derive(Clone, Copy)]
struct Until10;

impl Trigger<Pair> for Until10 {
    type State = ();

    fn on_record(&mut self, pair: &Pair, (): &mut (), ctx: &mut TriggerContext<'_>) -> TriggerResult {
        if ctx.processing_time() < 5 {
            ctx.register_processing_time_timer(10);
        }
        if pair.1 == 9 { TriggerResult::FireAndPurge } else { TriggerResult::Continue }
    }

    fn on_purge(&mut self, (): &mut (), ctx: &mut TriggerContext<'_>) {
        ctx.delete_processing_time_timer(10);
    }
}

impl MergingTrigger<Pair> for Until10 {
    fn on_merge(&mut self, (): &mut (), (): (), ctx: &mut TriggerContext<'_>) {
        ctx.delete_processing_time_timer(10);
    }
}

#[test]
fn a_timer_that_an_inner_trigger_deletes_is_still_that_of_the_one_around_it() {
    let (early, timeout) =
        (EarlyTrigger::every(ms(10), Until10), ProcessingTimeoutTrigger::of(ms(10), Until10));
    let (line, fired) =
        ("a:1 ~5 a:9 ~11 a:2 ~20 ~21 #drain", "~5 a:19[..)early ~11 ~20 a:2[..)early ~21 #drain");
    check(digits(Global, early), line, fired);
    check(digits(Global, timeout), line, fired);
    let (line, fired) = ("a:1@0 a:2@8 ~6 a:3@4 ~10 #drain", "~6 a:123[0,13)early@12 ~10 #drain");
    check(digits(Session::with_gap(ms(5)), early), line, fired);
    check(digits(Session::with_gap(ms(5)), timeout), line, fired);
}

/// Waits for the end of its window, and then does not.
#[derive(Clone)]
struct Fickle;

impl Trigger<Pair> for Fickle {
    type State = ();

    fn on_record(&mut self, _: &Pair, (): &mut (), ctx: &mut TriggerContext<'_>) -> TriggerResult {
        let last = ctx.max_timestamp();
        assert!(ctx.register_event_time_timer(last) && !ctx.register_event_time_timer(last));
        assert!(ctx.delete_event_time_timer(last) && !ctx.delete_event_time_timer(last));
        TriggerResult::Continue
    }
}

#[test]
fn a_window_is_cleaned_up_whatever_its_trigger_deletes() {
    let mut harness = Harness::new(digits(tens(), Fickle)).unwrap();
    harness.push_at(('a', 1), 5).unwrap();
    harness.watermark(8).unwrap();
    assert_eq!(harness.operator().state.open.size().keys, 1);
    harness.watermark(9).unwrap();
    assert_eq!((harness.operator().state.open.size().keys, harness.take().len()), (0, 0));
}

#[test]
fn what_windows_keep_is_measured_and_given_back() {
    let place = subtask();
    let all = Listing { aggregate: Digits, evictor: Unevicted };
    let trigger = PurgingTrigger::of(CountTrigger::of(10_001));
    let mut operator = plan(Global, trigger, all, 0, Dropped::default()).build(&place).unwrap();
    let bytes_after = |operator: &mut TriggeredWindows<_, _, _, _, _, _>, count| {
        feed(operator, (0..count).map(|_| ('a', 0)), &place).unwrap();
        operator.state.open.size().bytes
    };
    let one = bytes_after(&mut operator, 1);
    assert!(bytes_after(&mut operator, 9_999) >= one + 9_000 * size_of::<Pair>());
    assert!(bytes_after(&mut operator, 1) < one);
}

fn key(n: u32) -> char {
    char::from_u32(0x1_0000 + n).unwrap()
}

fn feed<W, G, C>(
    operator: &mut TriggeredWindows<Pair, W, Selector, G, C, Dropped>,
    records: impl IntoIterator<Item = Pair>,
    place: &SubtaskContext,
) -> Result<()>
where
    W: WindowAssigner<Pair, G>,
    G: Trigger<Pair>,
    C: Contents<Pair>,
    Dropped: Late<Fired<Pair, Selector, C>, Pair>,
{
    let (arena, blame, mut given) = (Arena::new(), Blame::default(), Given(Vec::new()));
    let mut ctx = Context::new(&arena, place, &blame, 1);
    for (time, record) in (0..).zip(records) {
        ctx.set_timestamp(time);
        operator.process(record, &mut ctx, &mut given);
        assert_eq!(ctx.timestamp(), time, "a record's own time is left as it was");
    }
    ctx.into_error().map_or(Ok(()), Err)
}

/// A watermark that fires more than a budget comes back to where it was.
#[test]
fn a_watermark_fires_in_portions_and_each_window_once() {
    let place = subtask();
    let mut operator = digits(tens(), EventTimeTrigger).build(&place).unwrap();
    let keys = 3 * FIRING_BUDGET as u32;
    let (arena, blame, mut given) = (Arena::new(), Blame::default(), Given(Vec::new()));
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    for n in 0..keys {
        ctx.set_timestamp(5);
        operator.process((key(n), 1), &mut ctx, &mut given);
    }
    let mut calls = 1;
    while operator.watermark(100, &mut ctx, &mut given) == Flow::More {
        assert!(given.0.len() <= calls * FIRING_BUDGET);
        calls += 1;
        assert!(calls < 100, "firing never ends");
    }
    let mut fired: Vec<char> = given.0.iter().map(|(firing, _)| firing.key).collect();
    fired.sort_unstable();
    assert_eq!(fired, (0..keys).map(key).collect::<Vec<_>>());
    assert!(calls > 3);
}

#[test]
fn the_ends_of_time_are_in_windows() {
    for time in [Timestamp::MIN, Timestamp::MIN + 1, -1, 0, Timestamp::MAX] {
        let mut fired = Vec::new();
        let mut run = |mut harness: Harness<Pair, WindowFiring<char, u64>, _>| -> Result<()> {
            harness.push_at(('a', 1), time)?;
            harness.end()?;
            fired.push(harness.take().len());
            Ok(())
        };
        run(Harness::new(digits(tens(), EventTimeTrigger)).unwrap()).unwrap();
        assert_eq!(fired, [1], "{time}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_remedy() {
    let none = std::time::Duration::ZERO;
    let refused = |checked: Result<()>| checked.unwrap_err().to_string();
    assert!(refused(Trigger::<Pair>::check(&CountTrigger::of(0))).contains("1 or more"));
    assert!(
        refused(Trigger::<Pair>::check(&ContinuousEventTimeTrigger::of(none)))
            .contains("a millisecond or more")
    );
    let timeout = ProcessingTimeoutTrigger::of(none, EventTimeTrigger);
    assert!(refused(Trigger::<Pair>::check(&timeout)).contains("a millisecond or more"));
    let delta = DeltaTrigger::of(f64::NAN, |_: &Pair, _: &Pair| 0.0);
    assert!(refused(delta.check()).contains("a number"));
    let early = EarlyTrigger::every(none, CountTrigger::of(0));
    assert!(refused(Trigger::<Pair>::check(&PurgingTrigger::of(early))).contains("a millisecond or more"));
}
