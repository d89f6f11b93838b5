//! Process functions against a naive model: states, time to live, timers, and all of it stored and found again.
#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

mod process {
    pub mod model;
    pub mod probe;
}

use process::model::Model;
use process::probe::{Given, Op, Probe};
use proptest::prelude::*;
use slotflow::prelude::*;
use slotflow::{BroadcastContext, BroadcastProcessFunction, CoProcessFunction, ReducingState, Timer};
use slotflow_ops::{KeyedProcess, ProcessPlan, StateBackend, ValueState, keyed_process};
use slotflow_runtime::Build;
use slotflow_runtime::testing::Harness;

/// What comes to the operator.
#[derive(Clone, Debug)]
enum Input {
    Record(u64, Op, i64),
    Watermark(i64),
    Processing(i64),
    /// All of its state is stored, and found again by another.
    Restored,
}

fn input() -> impl Strategy<Value = Input> {
    let times = prop_oneof![8 => 0..60i64, 1 => -5..3i64];
    prop_oneof![
        12 => (0..4u64, op(), times.clone()).prop_map(|(key, op, time)| Input::Record(key, op, time)),
        3 => times.clone().prop_map(Input::Watermark),
        2 => times.prop_map(Input::Processing),
        1 => Just(Input::Restored),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => any::<u8>().prop_map(|value| Op::Set(value.into())),
        4 => Just(Op::Read),
        1 => Just(Op::Clear),
        2 => any::<u8>().prop_map(|value| Op::Add(value.into())),
        3 => (0..60i64).prop_map(Op::Timer),
        1 => (0..60i64).prop_map(Op::Delete),
        2 => (0..60i64).prop_map(Op::Clocked),
        1 => (0..60i64).prop_map(Op::Unclock),
    ]
}

fn key(record: &(u64, Op)) -> u64 {
    record.0
}

type Tested = Harness<(u64, Op), Given, Operator>;
type Plan<M> = ProcessPlan<slotflow_ops::ByValue<fn(&(u64, Op)) -> u64>, M>;
type Operator = KeyedProcess<(u64, Op), slotflow_ops::ByValue<fn(&(u64, Op)) -> u64>, Probe>;

fn plan() -> Plan<impl Fn(&mut StateDescriptors<'_>) -> Probe + Clone + Send> {
    keyed_process(key as fn(&(u64, Op)) -> u64, Probe::open)
}

fn tested() -> Tested {
    Harness::new(plan()).unwrap()
}

/// All of the state of one in another, which stands at the same time.
fn restored(mut from: Tested, watermark: i64, processing: i64) -> Tested {
    let mut to = tested();
    for group in 0..16 {
        let mut bytes = Vec::new();
        from.operator().state().snapshot(group, &mut bytes).unwrap();
        to.operator().state().restore(group, &bytes).unwrap();
    }
    assert_eq!(to.operator().state().size().keys, from.operator().state().size().keys);
    to.stand_at(watermark, processing);
    to
}

/// Between keys whose timers are due together there is no order.
fn ties_sorted(mut given: Vec<Given>) -> Vec<Given> {
    given.chunk_by_mut(|one, other| one.time() == other.time()).for_each(|ties| ties.sort());
    given
}

fn runs_as_the_model_does(inputs: Vec<Input>) {
    let (mut harness, mut model) = (tested(), Model::default());
    for input in inputs {
        match input.clone() {
            Input::Record(key, op, time) => {
                harness.push_at((key, op.clone()), time).unwrap();
                model.record(key, op, time);
            }
            Input::Watermark(time) => {
                harness.watermark(time).unwrap();
                model.watermark(time);
            }
            Input::Processing(time) => {
                harness.processing_time(time).unwrap();
                model.processing(time);
            }
            Input::Restored => harness = restored(harness, model.watermark, model.now),
        }
        assert_eq!(ties_sorted(harness.take()), ties_sorted(model.take()), "at {input:?}");
        assert_eq!(harness.operator().state().size().keys, model.keys_at_least(&mut harness), "at {input:?}");
    }
    harness.end().unwrap();
    model.watermark(i64::MAX);
    assert_eq!(ties_sorted(harness.take()), ties_sorted(model.take()), "at the end");
}

impl Model {
    /// How many keys there are: those with something that is not over, and up to all that were not met since.
    fn keys_at_least(&self, harness: &mut Tested) -> usize {
        let keys = harness.operator().state().size().keys;
        let (least, most) = self.keys();
        assert!((least..=most).contains(&keys), "{keys} keys, and not {least} to {most}");
        keys
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn states_and_timers_are_those_of_a_naive_model(inputs in prop::collection::vec(input(), 0..120)) {
        runs_as_the_model_does(inputs);
    }
}

/// Numbers the records of a key.
struct Number(ValueState<u64>);

impl KeyedProcessFunction<u64, u64> for Number {
    type Out = (u64, u64);
    fn process(&mut self, _: u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        let number = self.0.value_or_default(ctx);
        *number += 1;
        let number = *number;
        ctx.push((*ctx.key(), number));
    }
}

#[test]
fn a_job_s_keys_have_their_own_states_at_any_parallelism() {
    for parallelism in 1..=4 {
        let env = Environment::with(Config::default()).parallelism(parallelism);
        let numbers = Collected::new();
        let keyed = env.source(generate(10_000, |n| n)).key_by(|n| n % 1_000);
        keyed.process(|states| Number(states.value("number"))).sink(numbers.sink());
        env.run("number").unwrap();
        let mut numbers = numbers.take();
        numbers.sort_unstable();
        let all = (0..1_000).flat_map(|key| (1..=10).map(move |number| (key, number)));
        assert!(numbers.into_iter().eq(all), "at parallelism {parallelism}");
    }
}

#[test]
fn more_timers_than_a_call_may_fire_fire_once_and_in_order() {
    let mut harness = tested();
    let times = (0..3_000i64).map(|n| 1 + 3 * (n * 7 % 3_000)).collect::<Vec<_>>();
    times.iter().for_each(|time| harness.push_at((*time as u64, Op::Timer(*time)), 0).unwrap());
    harness.watermark(9_000).unwrap();
    let fired: Vec<_> = harness.take().iter().filter_map(|given| given.time()).map(|it| it.0).collect();
    let first: Vec<_> = fired.iter().copied().filter(|time| time % 3 == 1).collect();
    assert!(fired.is_sorted());
    assert_eq!(first, (0..3_000).map(|n| 1 + 3 * n).collect::<Vec<_>>());
}

#[test]
fn at_a_drain_no_timer_fires_and_at_the_true_end_each_once() {
    let registered = || {
        let mut harness = tested();
        [7, 8, 7].iter().for_each(|time| harness.push_at((1, Op::Timer(*time)), 0).unwrap());
        harness
    };
    let (mut drained, mut ended) = (registered(), registered());
    drained.drain().unwrap();
    ended.end().unwrap();
    assert_eq!(drained.take(), []);
    assert_eq!(ended.take().iter().filter_map(Given::time).map(|it| it.0).collect::<Vec<_>>(), [7, 8]);
}

#[test]
fn state_by_source_partition_needs_no_exchange_and_is_found_again_by_its_timers() {
    struct Last(ReducingState<u64>);
    impl KeyedProcessFunction<u64, u64> for Last {
        type Out = (u64, u64);
        fn process(&mut self, n: u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
            self.0.add(ctx, n);
            ctx.register_event_time_timer(1);
        }
        fn on_timer(&mut self, _: Timer, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
            let last = self.0.take(ctx).unwrap_or(0);
            ctx.push((*ctx.key(), last));
        }
    }
    let env = Environment::with(Config::default());
    let keyed = env.source(generate(1_000, |n| n)).key_by_source_partition(|n| n % 100);
    let last = Collected::new();
    keyed.process(|states| Last(states.reducing("last", u64::max))).sink(last.sink());
    env.run("last").unwrap();
    let mut last = last.take();
    last.sort_unstable();
    assert!(last.into_iter().eq((0..100).map(|key| (key, 900 + key))));
}

/// Declares two states of one name.
fn twice(states: &mut StateDescriptors<'_>) -> Number {
    let _other: ValueState<u8> = states.value("number");
    Number(states.value("number"))
}

#[test]
fn a_name_that_stands_for_two_states_is_refused_with_the_operator() {
    let plan = keyed_process(|n: &u64| n % 1_000, twice);
    let refused = plan.build(&slotflow_runtime::testing::subtask()).err().unwrap().to_string();
    assert!(refused.contains("operator \"test\"") && refused.contains("\"number\""), "{refused}");
}

#[test]
fn a_state_of_another_version_or_not_declared_is_refused_by_name() {
    let numbered = |descriptor: &'static str, version| {
        let open = move |states: &mut StateDescriptors<'_>| {
            Number(states.value(slotflow::StateDescriptor::new(descriptor).version(version)))
        };
        Harness::new(keyed_process(|n: &u64| n % 1_000, open)).unwrap()
    };
    let (mut first, mut bytes) = (numbered("number", 0), Vec::new());
    first.push(7).unwrap();
    first.operator().state().snapshot(0, &mut bytes).unwrap();
    let refusal = |mut other: Harness<u64, (u64, u64), _>| {
        let operator: &mut KeyedProcess<u64, _, Number> = other.operator();
        operator.state().restore(0, &bytes).unwrap_err().to_string()
    };
    assert!(refusal(numbered("number", 3)).contains("\"number\" has version 0, and version 3"));
    assert!(refusal(numbered("count", 0)).contains("no such state is declared"));
}

/// Adds up a key's numbers until its timer, and tells which rules each subtask has seen.
struct Ruled(ReducingState<u64>);

impl BroadcastProcessFunction<u64, u64, u64> for Ruled {
    type Out = Routed<(u64, u64), (usize, Vec<u64>)>;
    type Broadcast = Vec<u64>;

    fn process(&mut self, n: u64, _: &Vec<u64>, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        self.0.add(ctx, n);
        ctx.register_event_time_timer(i64::MAX);
    }

    fn process_broadcast(
        &mut self,
        rule: u64,
        rules: &mut Vec<u64>,
        ctx: &mut BroadcastContext<'_, Self::Out>,
    ) {
        rules.push(rule);
        if rules.len() == 50 {
            ctx.push(Routed::Side((ctx.subtask(), rules.clone())));
        }
    }

    fn on_timer(&mut self, _: Timer, _: &Vec<u64>, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        let sum = self.0.take(ctx).unwrap_or(0);
        ctx.main((*ctx.key(), sum));
    }
}

#[test]
fn every_subtask_sees_all_rules_in_their_order_and_its_own_keys() {
    for (from, parallelism) in [(1, 1), (1, 3), (2, 2), (3, 2)] {
        let env = Environment::with(Config::default()).parallelism(parallelism);
        let rules = env.source(generate(50, |n| n)).parallelism(1);
        let numbers = env.source(generate(1_000, |n| n)).parallelism(from);
        let ruled =
            numbers.broadcast_process(rules, |n| n % 7, |states| Ruled(states.reducing("sum", |a, b| a + b)));
        let (sums, seen) = ruled.side_output();
        let (all, rules) = (Collected::new(), Collected::new());
        sums.sink(all.sink());
        seen.sink(rules.sink());
        env.run("ruled").unwrap();
        let (mut all, mut rules) = (all.take(), rules.take());
        all.sort_unstable();
        rules.sort();
        let sum = |key: u64| (0..1_000).filter(|n| n % 7 == key).sum::<u64>();
        assert_eq!(
            all,
            (0..7).map(|key| (key, sum(key))).collect::<Vec<_>>(),
            "from {from} to {parallelism}"
        );
        let expected: Vec<_> = (0..parallelism).map(|subtask| (subtask, (0..50).collect())).collect();
        assert_eq!(rules, expected, "from {from} to {parallelism}");
    }
}

/// Pairs the records of both streams by key, whichever comes first.
struct Pair(ValueState<u64>, ValueState<char>);

impl CoProcessFunction<u64, u64, (u64, char)> for Pair {
    type Out = (u64, char);

    fn process_first(&mut self, n: u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        match self.1.clear(ctx) {
            Some(word) => ctx.push((n, word)),
            None => drop(self.0.set(ctx, n)),
        }
    }

    fn process_second(&mut self, (_, word): (u64, char), ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        match self.0.clear(ctx) {
            Some(n) => ctx.push((n, word)),
            None => drop(self.1.set(ctx, word)),
        }
    }
}

#[test]
fn both_streams_of_a_co_process_function_meet_in_the_states_of_a_key() {
    for parallelism in 1..=4 {
        let env = Environment::with(Config::default()).parallelism(parallelism);
        let words = env.source(generate(500, |n| (n, char::from(b'a' + (n % 26) as u8))));
        let pairs = Collected::new();
        let both = env.source(generate(500, |n| n)).connect(words).key_by(|either| match either {
            Either::First(n) | Either::Second((n, _)) => *n,
        });
        both.co_process(|states| Pair(states.value("n"), states.value("word"))).sink(pairs.sink());
        env.run("pairs").unwrap();
        let mut pairs = pairs.take();
        pairs.sort_unstable();
        let all = (0..500).map(|n| (n, char::from(b'a' + (n % 26) as u8)));
        assert!(pairs.into_iter().eq(all), "at parallelism {parallelism}");
    }
}

fn with_budget(budget_bytes: usize) -> Result<Job> {
    let mut env = Environment::with(Config::default());
    env.config_mut().state.budget_bytes = Some(budget_bytes);
    let keyed = env.source(generate(20_000, |n| n)).key_by(|n| *n);
    let counted = keyed.process(|states| Number(states.value("number"))).name("count");
    counted.sink(callback(|_| ()));
    env.start("budget")
}

#[test]
fn state_beyond_its_budget_fails_the_job_by_name() {
    let refused = with_budget(500_000).unwrap().wait().unwrap_err().to_string();
    for said in ["operator \"count\", subtask 0", "state.budget_bytes = 500000", "time to live"] {
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn keys_and_bytes_of_state_are_measured() {
    let job = with_budget(5_000_000).unwrap();
    let subtasks = std::iter::repeat_with(|| job.metrics().subtasks).flatten();
    // The last of 64 records are told at the end of the input.
    let full = subtasks.inspect(|_| std::thread::yield_now()).find(|subtask| subtask.state_keys == 20_000);
    assert!((20_000 * 16..5_000_000).contains(&full.unwrap().state_bytes));
    job.wait().unwrap();
}
