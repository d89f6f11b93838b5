//! Orders that a process function divides four ways: accepted ones, and three side outputs of a type each.
//!
//! A side output may have side outputs of its own. So the type says which ways there are, and no record goes another.
//!
//! run:

// An example prints its result.
#![allow(clippy::print_stdout)]

use slotflow::prelude::*;
use slotflow::{MapState, ReducingState};

/// What a customer may order for until somebody looks at it.
const LIMIT_CENTS: u64 = 10_000;

#[derive(Debug, PartialEq)]
struct Order {
    customer: u64,
    id: u64,
    cents: u64,
}

/// An order that came again, and how often it has come now.
#[derive(Debug, PartialEq)]
struct Repeated {
    id: u64,
    times: u64,
}

/// An order that somebody has to look at.
#[derive(Debug, PartialEq)]
struct Review {
    order: Order,
    total_cents: u64,
}

/// Accepted, repeated, to be looked at, or wrong, for a reason.
type Checked = Routed<Order, Routed<Repeated, Routed<Review, String>>>;

/// Knows the orders of each customer.
struct Checks {
    times: MapState<u64, u64>,
    total: ReducingState<u64>,
}

impl Checks {
    fn open(states: &mut StateDescriptors<'_>) -> Checks {
        Checks { times: states.map("times"), total: states.reducing("total", |sum, cents| sum + cents) }
    }
}

impl KeyedProcessFunction<u64, Order> for Checks {
    type Out = Checked;

    fn process(&mut self, order: Order, ctx: &mut ProcessContext<'_, u64, Checked>) {
        let Order { customer, id, cents } = order;
        if cents == 0 {
            return ctx.side(Routed::Side(Routed::Side(format!(
                "order {id} of customer {customer} is for nothing"
            ))));
        }
        let times = self.times.value(ctx, &id).copied().unwrap_or(0) + 1;
        self.times.put(ctx, id, times);
        if times > 1 {
            return ctx.side(Routed::Main(Repeated { id, times }));
        }
        match *self.total.add(ctx, cents) {
            total_cents if total_cents > LIMIT_CENTS => {
                ctx.side(Routed::Side(Routed::Main(Review { order, total_cents })));
            }
            _ => ctx.main(order),
        }
    }
}

fn main() -> Result<()> {
    let env = Environment::new()?.parallelism(2);
    let order = |(customer, id, cents)| Order { customer, id, cents };
    let orders = [(7, 1, 900), (8, 2, 9_000), (7, 1, 900), (8, 3, 1_001), (9, 4, 0)];
    let checked = env.source(from_iterator(orders.map(order))).key_by(|it| it.customer).process(Checks::open);
    let (accepted, aside) = checked.side_output();
    let (repeated, aside) = aside.side_output();
    let (reviews, wrong) = aside.side_output();
    let (taken, again, seen, refused) =
        (Collected::new(), Collected::new(), Collected::new(), Collected::new());
    accepted.sink(taken.sink());
    repeated.sink(again.sink());
    reviews.sink(seen.sink());
    wrong.sink(refused.sink());
    env.run("order checks")?;
    let (mut taken, again, seen, refused) = (taken.take(), again.take(), seen.take(), refused.take());
    taken.sort_by_key(|order| order.id);
    println!("accepted {taken:?}\nrepeated {again:?}\nto be looked at {seen:?}\nwrong {refused:?}");
    assert_eq!(taken, [(7, 1, 900), (8, 2, 9_000)].map(order));
    assert_eq!(again, [Repeated { id: 1, times: 2 }]);
    assert_eq!(seen, [Review { order: order((8, 3, 1_001)), total_cents: 10_001 }]);
    assert_eq!(refused, ["order 4 of customer 9 is for nothing"]);
    Ok(())
}
