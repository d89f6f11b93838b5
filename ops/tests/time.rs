//! What jobs are told about time: event time's end, drains, and processing time.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::sync::{Arc, Mutex};

use slotflow::prelude::*;
use slotflow_runtime::testing::simulation::Simulation;
use slotflow_runtime::{Cloned, Flow, MAX_TIMESTAMP, Timestamp};

/// How many orders of turns a job is run in.
const SEEDS: u64 = 50;

/// Where and in which subtask something was seen.
type Sight = (&'static str, usize, Saw);

/// What the subtasks of a job have seen, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Sight>>>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Saw {
    Record(u64),
    Watermark(Timestamp),
    Tick(Timestamp),
    End,
}

impl Seen {
    fn by(&self, place: &'static str) -> Watch {
        Watch { place, seen: self.clone(), every_ms: 0, due_ns: u64::MAX }
    }

    /// What each of `subtasks` subtasks has seen.
    fn at(&self, place: &str, subtasks: usize) -> Vec<Vec<Saw>> {
        let seen = self.0.lock().unwrap();
        let by = |index| seen.iter().filter(move |it| (it.0, it.1) == (place, index)).map(|it| it.2);
        (0..subtasks).map(|index| by(index).collect()).collect()
    }
}

/// Passes records on and notes everything.
#[derive(Clone)]
struct Watch {
    place: &'static str,
    seen: Seen,
    /// Wants to be called so often once a record has come.
    every_ms: i64,
    due_ns: u64,
}

impl Watch {
    fn every_ms(self, every_ms: i64) -> Watch {
        Watch { every_ms, ..self }
    }

    fn note(&self, saw: Saw, ctx: &Context<'_>) {
        self.seen.0.lock().unwrap().push((self.place, ctx.subtask().index, saw));
    }

    fn set_alarm(&mut self, ctx: &Context<'_>) {
        self.due_ns = ctx.ns_at(ctx.processing_time() + self.every_ms);
    }
}

impl Operator<Owned<u64>> for Watch {
    type Out = Owned<u64>;
    fn process<'s>(&mut self, n: u64, ctx: &mut Context<'s>, out: &mut impl Output<Owned<u64>>) {
        self.note(Saw::Record(n), ctx);
        if self.every_ms > 0 && self.due_ns == u64::MAX {
            self.set_alarm(ctx);
        }
        out.push(n, ctx);
    }
    fn watermark<'s>(
        &mut self,
        watermark: i64,
        ctx: &mut Context<'s>,
        _: &mut impl Output<Owned<u64>>,
    ) -> Flow {
        self.note(Saw::Watermark(watermark), ctx);
        Flow::Done
    }
    fn due_ns(&self) -> u64 {
        self.due_ns
    }
    fn tick<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) -> Flow {
        assert!(ctx.now_ns() >= self.due_ns, "called too early");
        self.note(Saw::Tick(ctx.processing_time()), ctx);
        self.set_alarm(ctx);
        Flow::Done
    }
    fn end<'s>(&mut self, ctx: &mut Context<'s>, _: &mut impl Output<Owned<u64>>) -> Flow {
        self.note(Saw::End, ctx);
        Flow::Done
    }
}

fn environment() -> Environment {
    let mut env = Environment::with(Config::default()).parallelism(2);
    env.config_mut().edges.capacity = Some(4);
    env
}

#[test]
fn time_ends_in_each_subtask_right_before_the_end_of_the_input() {
    for seed in 0..SEEDS {
        let (env, seen) = (environment(), Seen::default());
        let numbers = env.source(generate(20, |n| n)).then("first", Cloned(seen.by("first")));
        let numbers = numbers.rebalance().then("second", Cloned(seen.by("second"))).boxed();
        let keyed = numbers.key_by(|n| *n).map_with_state(|_: &mut u64, n| n).parallelism(3);
        keyed.then("third", Cloned(seen.by("third"))).sink(callback(|_| ()));
        env.simulate("ends", seed).unwrap();
        for (place, subtasks) in [("first", 2), ("second", 2), ("third", 3)] {
            for saw in seen.at(place, subtasks) {
                let (records, end) = saw.split_at(saw.len() - 2);
                assert!(records.iter().all(|saw| matches!(saw, Saw::Record(_))), "{place}: {saw:?}");
                assert_eq!(end, [Saw::Watermark(MAX_TIMESTAMP), Saw::End], "{place}, seed {seed}");
            }
        }
    }
}

#[test]
fn time_does_not_end_when_a_job_is_drained() {
    for seed in 0..SEEDS {
        let (env, seen) = (environment(), Seen::default());
        let numbers = env.source(generate(u64::MAX, |n| n).rate(1_000_000));
        let numbers = numbers.then("first", Cloned(seen.by("first")));
        numbers.rebalance().then("second", Cloned(seen.by("second"))).sink(callback(|_| ()));
        env.simulate("drained", Simulation::seed(seed).drain_at(100)).unwrap();
        for saw in seen.at("first", 2).into_iter().chain(seen.at("second", 2)) {
            assert!(!saw.iter().any(|saw| matches!(saw, Saw::Watermark(_))), "{saw:?}");
            assert_eq!(saw.iter().filter(|saw| **saw == Saw::End).count(), 1);
        }
    }
}

#[test]
fn processing_time_goes_on_while_nothing_comes() {
    for seed in 0..SEEDS {
        let (env, seen) = (environment(), Seen::default());
        // The second record comes a second after the first.
        let numbers = env.source(generate(2, |n| n).rate(1)).parallelism(1);
        let first = numbers.then("first", Cloned(seen.by("first").every_ms(100)));
        let second = first.rebalance().then("second", Cloned(seen.by("second").every_ms(300))).parallelism(1);
        second.boxed().sink(callback(|_| ()));
        env.simulate("pauses", seed).unwrap();
        let ticks = |place| {
            let saw = seen.at(place, 1).remove(0);
            let time = |saw: Saw| if let Saw::Tick(time) = saw { Some(time) } else { None };
            saw.into_iter().filter_map(time).collect::<Vec<_>>()
        };
        let [first, second] = [ticks("first"), ticks("second")];
        assert!([9, 10].contains(&first.len()) && second.len() == 3, "seed {seed}: {first:?}, {second:?}");
        assert!(first.is_sorted_by(|a, b| b - a >= 100) && second.is_sorted_by(|a, b| b - a >= 300));
    }
}
