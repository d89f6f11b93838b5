//! Orders in other currencies: who the customer is, is asked of a service; what they are worth, is a matter of when.
//!
//! run:
//!
//! The service is asked for many orders at a time, and the slot does other work meanwhile: the requests run in a tokio
//! runtime whose threads are on the I/O cores, off the slots. Then each order meets the rate that was valid at its
//! time, whichever of the two came first.

// An example prints its result.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use slotflow::prelude::*;
use tokio::runtime::Builder;

/// An order: customer, time in milliseconds, currency, amount.
type Order = (u32, i64, &'static str, i64);

/// What one of a currency is worth in cents, from a time in milliseconds on.
type Rate = (&'static str, i64, i64);

/// The service: it takes its time.
async fn customer(id: u32) -> std::result::Result<&'static str, String> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    match id {
        1 => Ok("Ada"),
        2 => Ok("Grace"),
        _ => Err(format!("there is no customer {id}")),
    }
}

fn main() -> Result<()> {
    let orders: [Order; 5] = [
        (1, 1_000, "EUR", 10),
        (2, 2_500, "GBP", 20),
        (1, 2_000, "EUR", 30),
        (2, 1_500, "JPY", 900),
        (2, 4_000, "EUR", 40),
    ];
    let rates: [Rate; 4] = [("EUR", 0, 110), ("GBP", 1_000, 130), ("EUR", 2_000, 120), ("EUR", 3_000, 100)];

    let slots = Slots::new(&Config::default())?;
    // A thread inherits the cores of the one that makes it.
    let make = || Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let tokio = slots.io_cores().run(make)?.map_err(|error| Error::user(error.to_string()))?;
    let handle = tokio.handle().clone();
    let service =
        AsyncIo::unordered(move |request| drop(handle.spawn(request))).timeout_ms(1_000).retry(3, 10);

    let env = Environment::with(Config::default()).on(&slots);
    let lag = Duration::from_secs(1);
    let named = env
        .source(from_iterator(orders))
        .with_timestamps(|order| order.1, Watermarks::bounded_out_of_orderness(lag))
        .map_async(service, |order: &Order| {
            let order = *order;
            async move { customer(order.0).await.map(|name| (name, order)) }
        });
    let rates = env
        .source(from_iterator(rates))
        .with_timestamps(|rate| rate.1, Watermarks::bounded_out_of_orderness(lag));

    let bills = Collected::new();
    named
        .connect(rates)
        .key_by(|either| match either {
            Either::First((_, order)) => order.2,
            Either::Second(rate) => rate.0,
        })
        // An order without a rate goes on, too: this is a left join.
        .as_of_join(|(name, order), rate| Some((name, order.1, rate.map(|rate| order.3 * rate.2))))
        .sink(bills.sink());
    env.run("enrich")?;

    let mut bills = bills.take();
    bills.sort();
    for (name, at_ms, cents) in &bills {
        println!(
            "{name} at {at_ms} ms: {}",
            cents.map_or("no rate".into(), |cents| format!("{cents} cents"))
        );
    }
    let expected = [
        ("Ada", 1_000, Some(1_100)),
        ("Ada", 2_000, Some(3_600)),
        ("Grace", 1_500, None),
        ("Grace", 2_500, Some(2_600)),
        ("Grace", 4_000, Some(4_000)),
    ];
    assert_eq!(bills, expected, "each order has the rate of its time");
    Ok(())
}
