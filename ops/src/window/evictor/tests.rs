//! Tests of the evictors, by marbles.

use slotflow_runtime::testing::check;

use super::super::tests::{Pair, ms};
use super::super::triggered::tests::{Digits, plan};
use super::super::triggered::{Keep, Listing};
use super::super::{
    CountTrigger, Dropped, EventTimeTrigger, Evicted, Global, PurgingTrigger, Session, Trigger,
    TriggeredPlan, Tumbling, WindowAssigner,
};
use super::*;
use crate::keyed::ByValue;

type Plan<W, G, E> = TriggeredPlan<W, ByValue<fn(&Pair) -> char>, G, Listing<Digits, E>, Dropped>;

fn digits<W, G, E>(windows: W, trigger: G, evictor: E) -> Plan<W, G, E>
where
    W: WindowAssigner<Pair, G>,
    G: Trigger<Pair>,
    E: Evictor<Pair>,
{
    let contents = Keep::<Pair, Digits>::contents(Evicted::by(evictor), Digits);
    plan(windows, trigger, contents, 0, Dropped::default())
}

#[test]
fn a_count_keeps_the_last_records() {
    let plan = digits(Global, CountTrigger::of(2), CountEvictor::of(3));
    check(plan, "a:1 a:2 a:3 b:9 a:4 a:5 a:6 #", "a:12[..)early a:234[..)early a:456[..)early #");
}

#[test]
fn what_is_evicted_after_a_firing_was_in_it() {
    let plan = digits(Global, CountTrigger::of(3), CountEvictor::of(1).after());
    check(plan, "a:1 a:2 a:3 a:4 a:5 a:6 #", "a:123[..)early a:3456[..)early #");
}

#[test]
fn a_window_without_a_record_left_gives_nothing() {
    check(digits(Global, CountTrigger::of(1), CountEvictor::of(0)), "a:1 a:2 #", "#");
    let none = TimeEvictor::of(ms(0));
    check(digits(Tumbling::of(ms(10)), EventTimeTrigger, none), "a:1@1 |9 #", "|9 #");
}

#[test]
fn time_keeps_what_is_near_the_newest() {
    let plan = digits(Tumbling::of(ms(10)), EventTimeTrigger, TimeEvictor::of(ms(3)));
    check(plan, "a:1@1 a:2@7 a:3@4 a:4@5 b:5@1 |9 #", "a:24[0,10)@9 b:5[0,10)@9 |9 #");
    let without_time = digits(Global, CountTrigger::of(2), TimeEvictor::of(ms(3)));
    check(without_time, "a:1 a:2 #", "a:12[..)early #");
}

#[test]
fn time_evicts_after_a_firing() {
    let plan = digits(Global, CountTrigger::of(2), TimeEvictor::of(ms(3)).after());
    check(plan, "a:1@1 a:2@5 a:3@6 a:4@7 #", "a:12[..)early@5 a:234[..)early@7 #");
}

#[test]
fn a_delta_keeps_what_is_like_the_last() {
    let delta = DeltaEvictor::of(3.0, |a: &Pair, b: &Pair| (a.1 as f64 - b.1 as f64).abs());
    let plan = digits(Global, CountTrigger::of(2), delta);
    check(plan, "a:1 a:2 a:7 a:4 a:5 a:6 #", "a:12[..)early a:24[..)early a:456[..)early #");
    let plan = digits(Global, CountTrigger::of(2), delta.after());
    check(plan, "a:1 a:9 a:8 a:4 a:5 a:6 #", "a:19[..)early a:984[..)early a:456[..)early #");
    let nothing_is_like_itself = DeltaEvictor::of(0.0, |_: &Pair, _: &Pair| 0.0);
    check(digits(Global, CountTrigger::of(2), nothing_is_like_itself), "a:1 a:2 #", "#");
}

#[test]
fn a_delta_below_nothing_is_refused_with_the_remedy() {
    let delta = DeltaEvictor::of(f64::NAN, |_: &Pair, _: &Pair| 0.0);
    let refused = Evictor::<Pair>::check(&delta).unwrap_err().to_string();
    assert!(refused.contains("it must be a number"), "{refused}");
    let no_number = DeltaEvictor::of(3.0, |_: &Pair, _: &Pair| f64::NAN);
    check(digits(Global, CountTrigger::of(2), no_number), "a:1 a:2 #", "#");
}

#[test]
fn purging_forgets_what_the_evictor_keeps() {
    let plan = digits(Global, PurgingTrigger::of(CountTrigger::of(3)), CountEvictor::of(2));
    check(plan, "a:1 a:2 a:3 a:4 a:5 a:6 #", "a:23[..)early a:56[..)early #");
}

#[test]
fn sessions_that_merge_put_their_records_together() {
    let plan = digits(Session::with_gap(ms(5)), EventTimeTrigger, CountEvictor::of(3));
    check(plan, "a:1@0 a:2@9 a:3@10 a:4@5 #", "a:234[0,15)@14 #");
}
