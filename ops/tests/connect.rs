//! Operators with two inputs, and one of a user's own.

#![allow(clippy::unwrap_used)] // Clippy does not take a test's helpers for tests.

use std::collections::HashMap;

use slotflow::io::{Collected, generate};
use slotflow_ops::{Either, Environment};
use slotflow_runtime::{Cloned, Config, Context, FIRING_BUDGET, Flow, Operator, Output, Owned};

type Order = (u64, u64);
type Payment = (u64, char);

/// Joins an order with its payment, whichever comes first, and gives at the end what found no other.
#[derive(Clone, Default)]
struct Join {
    orders: HashMap<u64, u64>,
    payments: HashMap<u64, char>,
}

impl Operator<Owned<Either<Order, Payment>>> for Join {
    type Out = Owned<(u64, Option<u64>, Option<char>)>;

    fn process<'s>(
        &mut self,
        record: Either<Order, Payment>,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Self::Out>,
    ) {
        match record {
            Either::First((key, order)) => match self.payments.remove(&key) {
                Some(payment) => out.push((key, Some(order), Some(payment)), ctx),
                None => drop(self.orders.insert(key, order)),
            },
            Either::Second((key, payment)) => match self.orders.remove(&key) {
                Some(order) => out.push((key, Some(order), Some(payment)), ctx),
                None => drop(self.payments.insert(key, payment)),
            },
        }
    }

    fn end<'s>(&mut self, ctx: &mut Context<'s>, out: &mut impl Output<Self::Out>) -> Flow {
        let orders = self.orders.drain().map(|(key, order)| (key, Some(order), None));
        let payments = self.payments.drain().map(|(key, payment)| (key, None, Some(payment)));
        let left: Vec<_> = orders.chain(payments).collect();
        assert!(left.len() < FIRING_BUDGET);
        left.into_iter().for_each(|left| out.push(left, ctx));
        Flow::Done
    }
}

/// What joins 60 orders, of every number, with 30 payments, of every second and beyond.
fn joined(seed: u64) -> Vec<(u64, Option<u64>, Option<char>)> {
    let mut env = Environment::with(Config::default()).parallelism(3);
    env.config_mut().edges.capacity = Some(1 << (seed % 3));
    let joined = Collected::new();
    let orders = env.source(generate(60, |n| (n, 10 * n))).partition_custom(|order, _| order.0 as usize);
    let payments = env.source(generate(40, |n| (2 * n, 'p'))).parallelism(2);
    let payments = payments.partition_custom(|payment, _| payment.0 as usize);
    orders.connect(payments).then("join", Cloned(Join::default())).sink(joined.sink());
    env.simulate("join", seed).unwrap();
    let mut joined = joined.take();
    joined.sort_unstable();
    joined
}

#[test]
fn an_operator_of_one_s_own_sees_both_streams_of_its_subtask() {
    let expected: Vec<_> = (0..60)
        .map(|n| (n, Some(10 * n), (n % 2 == 0).then_some('p')))
        .chain((60..80).step_by(2).map(|n| (n, None, Some('p'))))
        .collect();
    for seed in 0..200 {
        assert_eq!(joined(seed), expected, "seed {seed}");
    }
}

#[test]
fn every_subtask_sees_all_of_a_broadcast_side() {
    let env = Environment::with(Config::default()).parallelism(3);
    let seen = Collected::new();
    let rules = env.source(generate(4, |n| n)).parallelism(1).broadcast();
    let records = env.source(generate(30, |_| 'r'));
    records.connect(rules).co_map(|_| 100, |rule| rule).sink(seen.sink());
    env.simulate("rules", 7).unwrap();
    let mut seen = seen.take();
    seen.sort_unstable();
    let rules = (0..4).flat_map(|rule| [rule; 3]);
    assert_eq!(seen, rules.chain([100; 30]).collect::<Vec<u64>>());
}

#[test]
fn explain_shows_both_ways_in() {
    let env = Environment::with(Config::default());
    let (numbers, signs) = (env.source(generate(3, |n| n)), env.source(generate(3, |_| 's')));
    let both = numbers.name("numbers").connect(signs.name("signs"));
    both.co_map(|n| n, u64::from).sink(Collected::new().sink());
    let text = env.explain().unwrap().text();
    for line in
        ["0  numbers -> first  x 1", "1  signs -> second  x 1", "2  connect -> co_map -> collect  x 1"]
    {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}
