//! Tests of visits of all keys, and of stored broadcast state.

use std::collections::BTreeMap;

use proptest::prelude::*;
use slotflow_runtime::testing::{Harness, subtask};
use slotflow_runtime::{Arena, Blame, Build, Error, MIN_TIMESTAMP, Routed, SubtaskContext};

use super::*;
use crate::{StateDescriptors, ValueState, broadcast_process};

/// Sums numbers by key, up to a rule that has all sums given, with the number of rules so far.
struct Sums(ValueState<u64>);

impl BroadcastProcessFunction<u64, (u64, u64), ()> for Sums {
    type Out = (u64, u64, u64);
    type Broadcast = u64;

    fn process(&mut self, record: (u64, u64), _: &u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        *self.0.value_or_default(ctx) += record.1;
        ctx.register_event_time_timer(9);
    }

    fn process_broadcast(&mut self, (): (), rules: &mut u64, ctx: &mut BroadcastContext<'_, Self::Out>) {
        *rules += 1;
        ctx.apply_to_keyed_state();
    }

    fn on_each_key(&mut self, rules: &u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        ctx.delete_event_time_timer(9);
        let sum = self.0.clear(ctx).unwrap_or(0);
        ctx.push((*rules, *ctx.key(), sum));
    }

    fn on_timer(&mut self, _: Timer, _: &u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        let sum = self.0.clear(ctx).unwrap_or(0);
        ctx.push((0, *ctx.key(), sum));
    }
}

type Record = Either<(u64, u64), ()>;

#[derive(Default)]
struct Given(Vec<((u64, u64, u64), Timestamp)>);

impl Output<Owned<(u64, u64, u64)>> for Given {
    fn push<'s>(&mut self, record: (u64, u64, u64), ctx: &mut Context<'s>) {
        self.0.push((record, ctx.timestamp()));
    }
}

macro_rules! sums {
    () => {{
        let open = |states: &mut StateDescriptors<'_>| Sums(states.value("sum"));
        let plan = broadcast_process(|record: &(u64, u64)| record.0, open);
        Build::<Owned<Record>>::build(plan, &subtask()).unwrap()
    }};
}

#[test]
fn all_keys_are_visited_in_portions_and_what_comes_behind_waits() {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    let (mut operator, mut given, keys) = (sums!(), Given::default(), 5 * FIRING_BUDGET as u64);
    for key in 0..keys {
        operator.process(Either::First((key, key)), &mut ctx, &mut given);
    }
    for (time, record) in [(5, Either::Second(())), (6, Either::First((7, 70))), (7, Either::Second(()))] {
        ctx.set_timestamp(time);
        operator.process(record, &mut ctx, &mut given);
    }
    assert!(given.0.is_empty() && operator.due_ns() == 0, "it is called before any other record");
    let (mut before, mut calls) = (0, 0);
    while operator.tick(&mut ctx, &mut given) == Flow::More {
        assert!(given.0.len() - before <= FIRING_BUDGET, "one call visits more than a budget");
        (before, calls) = (given.0.len(), calls + 1);
    }
    assert!(calls > 5 && operator.due_ns() == u64::MAX);
    assert_eq!(given.0.pop(), Some(((2, 7, 70), 7)), "the key of the record behind the first rule is new");
    given.0.sort_unstable();
    assert!(given.0.iter().copied().eq((0..keys).map(|key| ((1, key, key), 5))));
    assert_eq!(operator.state().size().keys, 0, "a key that has nothing left is forgotten");
}

/// Tells what it knows when a rule comes, and fails at a rule of 0.
struct Told;

/// Watermark, processing time and subtask.
type Known = (Timestamp, Timestamp, usize);

impl BroadcastProcessFunction<u64, u64, u64> for Told {
    type Out = Routed<u64, Known>;
    type Broadcast = u64;

    fn process(&mut self, n: u64, by: &u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        ctx.main(n + by);
    }

    fn process_broadcast(&mut self, rule: u64, by: &mut u64, ctx: &mut BroadcastContext<'_, Self::Out>) {
        if rule == 0 {
            return ctx.fail(Error::user("no rule"));
        }
        *by = *ctx.arena().keep(rule);
        ctx.side((ctx.watermark(), ctx.processing_time(), ctx.subtask()));
        ctx.push_at(Routed::Main(rule), ctx.timestamp() + 5);
        ctx.main(ctx.timestamp() as u64);
    }
}

#[test]
fn a_rule_s_function_knows_the_time_gives_to_both_outputs_and_may_fail_the_job() {
    let open = |_: &mut StateDescriptors<'_>| Told;
    let place = SubtaskContext { index: 3, ..subtask() };
    let mut harness = Harness::at(broadcast_process(|n: &u64| *n, open), place).unwrap();
    harness.watermark(4).unwrap();
    harness.processing_time(20).unwrap();
    harness.push_at(Either::Second(100), 7).unwrap();
    harness.push_at(Either::First(1), 8).unwrap();
    let known = Routed::Side((4, 20, 3));
    let given = [(known, 7), (Routed::Main(100), 12), (Routed::Main(7), 7), (Routed::Main(101), 8)];
    assert_eq!(harness.take_timed(), given);
    let failed = harness.push(Either::Second(0)).unwrap_err().to_string();
    assert!(failed.contains("\"test\"") && failed.contains("no rule"), "{failed}");
}

#[test]
fn broadcast_state_is_stored_once_and_restored_at_another_subtask() {
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    let (mut operator, mut given) = (sums!(), Given::default());
    operator.process(Either::Second(()), &mut ctx, &mut given);
    operator.process(Either::First((7, 70)), &mut ctx, &mut given);
    assert_eq!(operator.tick(&mut ctx, &mut given), Flow::More, "what was held comes at the next call");
    assert_eq!(operator.tick(&mut ctx, &mut given), Flow::Done);
    let (mut broadcast, mut groups) = (Vec::new(), vec![Vec::new(); place.max_parallelism]);
    operator.state().snapshot_broadcast(&mut broadcast).unwrap();
    groups.iter_mut().enumerate().for_each(|(group, into)| operator.state().snapshot(group, into).unwrap());
    let mut other = sums!();
    other.state().restore_broadcast(&broadcast).unwrap();
    groups.iter().enumerate().for_each(|(group, from)| other.state().restore(group, from).unwrap());
    other.process(Either::Second(()), &mut ctx, &mut given);
    assert_eq!(other.tick(&mut ctx, &mut given), Flow::Done);
    assert_eq!(given.0.last().unwrap().0, (2, 7, 70));
    let refused = other.state().restore_broadcast(b"\x61x").unwrap_err().to_string();
    assert!(refused.contains("stored state cannot be read"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever steps end and barriers come: as if each rule had visited all keys at once. No barrier passes anything.
    #[test]
    fn a_visit_is_as_if_it_happened_at_once(
        steps in prop::collection::vec((0..8u64, 1..100u64, 0..10u8, 0..3u8), 0..100),
    ) {
        let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
        let mut ctx = Context::new(&arena, &place, &blame, 1);
        let (mut operator, mut given) = (sums!(), Given::default());
        let (mut sums, mut rules, mut expected) = (BTreeMap::<u64, u64>::new(), 0, Vec::new());
        for (key, n, kind, then) in steps {
            ctx.set_timestamp(MIN_TIMESTAMP);
            if kind == 0 {
                rules += 1;
                expected.extend(std::mem::take(&mut sums).into_iter().map(|(key, sum)| (rules, key, sum)));
                operator.process(Either::Second(()), &mut ctx, &mut given);
            } else {
                *sums.entry(key).or_default() += n;
                operator.process(Either::First((key, n)), &mut ctx, &mut given);
            }
            while then == 1 && operator.due_ns() == 0 && operator.tick(&mut ctx, &mut given) == Flow::More {}
            while then == 2 && operator.settle(&mut ctx, &mut given) == Flow::More {}
            prop_assert!(then != 2 || given.0.len() == expected.len(), "a barrier has passed a visit");
        }
        while operator.watermark(9, &mut ctx, &mut given) == Flow::More {}
        expected.extend(sums.into_iter().map(|(key, sum)| (0, key, sum)));
        let mut given: Vec<_> = given.0.into_iter().map(|it| it.0).collect();
        given.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(given, expected);
    }
}
