//! Card payments against rules that come and go while the job runs: alerts to a side output.
//!
//! Every subtask sees all rules (broadcast state) and its own cards (keyed state). A card that spends more within a
//! minute than the rules allow is told of once and blocked; a timer lets it go.
//!
//! run:

// An example prints its result.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;

use slotflow::prelude::*;
use slotflow::{BroadcastContext, BroadcastProcessFunction, ReducingState, Timer, ValueState};

/// How long spending is remembered and a card blocked.
const MINUTE_MS: i64 = 60_000;

struct Payment {
    card: u64,
    cents: u64,
    time_ms: i64,
}

/// A rule by its name: how much a card may spend in a minute; `None` takes the rule back.
type Rule = (&'static str, Option<u64>);

struct Fraud {
    spent: ReducingState<u64>,
    blocked: ValueState<bool>,
}

impl Fraud {
    fn open(states: &mut StateDescriptors<'_>) -> Fraud {
        Fraud { spent: states.reducing("spent", |sum, cents| sum + cents), blocked: states.value("blocked") }
    }
}

impl BroadcastProcessFunction<u64, Payment, Rule> for Fraud {
    type Out = Routed<Payment, String>;
    type Broadcast = BTreeMap<String, u64>;

    fn process(
        &mut self,
        payment: Payment,
        rules: &Self::Broadcast,
        ctx: &mut ProcessContext<'_, u64, Self::Out>,
    ) {
        if self.blocked.value(ctx).is_some() {
            return ctx.side(format!("card {}: {} cents refused", payment.card, payment.cents));
        }
        if self.spent.value(ctx).is_none() {
            ctx.register_event_time_timer(payment.time_ms + MINUTE_MS);
        }
        let spent = *self.spent.add(ctx, payment.cents);
        match rules.iter().find(|(_, limit)| spent > **limit) {
            Some((rule, limit)) => {
                self.blocked.set(ctx, true);
                ctx.side(format!("card {}: {spent} cents, {rule} allows {limit}", payment.card));
            }
            None => ctx.main(payment),
        }
    }

    fn process_broadcast(
        &mut self,
        (name, limit): Rule,
        rules: &mut Self::Broadcast,
        _: &mut BroadcastContext<'_, Self::Out>,
    ) {
        match limit {
            Some(limit) => rules.insert(name.into(), limit),
            None => rules.remove(name),
        };
    }

    fn on_timer(&mut self, _: Timer, _: &Self::Broadcast, ctx: &mut ProcessContext<'_, u64, Self::Out>) {
        self.spent.take(ctx);
        self.blocked.clear(ctx);
    }
}

fn main() -> Result<()> {
    let env = Environment::new()?.parallelism(2);
    let rules = env.source(from_iterator([("gold", Some(50_000)), ("basic", Some(20_000)), ("gold", None)]));
    let rules = rules.with_timestamps(|_| 0, Watermarks::monotonous());
    let pay = |n: u64| Payment { card: n % 5, cents: 1_000 + n % 3, time_ms: n as i64 * 500 };
    let payments = env.source(generate(500, pay)).with_timestamps(|it| it.time_ms, Watermarks::monotonous());
    let (passed, alerts) = payments.broadcast_process(rules, |it| it.card, Fraud::open).side_output();
    let (accepted, told) = (Collected::new(), Collected::new());
    passed.sink(accepted.sink());
    alerts.sink(told.sink());
    env.run("fraud rules")?;
    let told = told.take();
    told.iter().filter(|alert| alert.contains("allows")).for_each(|alert| println!("{alert}"));
    println!("{} of 500 payments refused or told of", told.len());
    assert_eq!(accepted.take().len() + told.len(), 500);
    Ok(())
}
