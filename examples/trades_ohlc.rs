//! Trades as candles: open, high, low and close of the last minute, every twenty seconds; and as bursts of trading.
//!
//! run:
//!
//! A trade changes one accumulator, that of its pane of twenty seconds, although it is in three candles. A burst ends
//! when a symbol was not traded for a quarter of a minute.

use std::time::Duration;

use slotflow::prelude::*;

/// A trade: symbol, time in milliseconds, price in cents, shares.
#[derive(Clone, Copy, Debug)]
struct Trade(&'static str, i64, u32, u32);

/// A candle; open and close go by the trades' times, so panes can be merged in any order.
#[derive(Clone, Copy, Debug)]
struct Candle {
    open: (i64, u32),
    high: u32,
    low: u32,
    close: (i64, u32),
}

#[derive(Clone)]
struct Ohlc;

impl Aggregate<Trade> for Ohlc {
    type Acc = Candle;
    type Out = Candle;

    fn create(&self) -> Candle {
        Candle { open: (i64::MAX, 0), high: 0, low: u32::MAX, close: (i64::MIN, 0) }
    }
    fn add(&self, candle: &mut Candle, Trade(_, at_ms, price, _): Trade) {
        let trade = Candle { open: (at_ms, price), high: price, low: price, close: (at_ms, price) };
        Merge::<Trade>::merge(self, candle, &trade);
    }
    fn result(&self, candle: &Candle) -> Candle {
        *candle
    }
}

impl Merge<Trade> for Ohlc {
    fn merge(&self, into: &mut Candle, other: &Candle) {
        into.open = into.open.min(other.open);
        into.high = into.high.max(other.high);
        into.low = into.low.min(other.low);
        into.close = into.close.max(other.close);
    }
}

fn main() -> Result<()> {
    let trades = [
        Trade("SLOT", 1_000, 1_010, 5),
        Trade("FLOW", 2_000, 250, 100),
        Trade("SLOT", 9_500, 1_030, 7),
        Trade("SLOT", 8_000, 990, 1),
        Trade("SLOT", 41_000, 1_000, 20),
        Trade("FLOW", 44_000, 260, 10),
    ];
    let env = Environment::new()?;
    let lag = Watermarks::bounded_out_of_orderness(Duration::from_secs(5));
    let (left, right) = env.source(from_iterator(trades)).with_timestamps(|trade| trade.1, lag).tee();

    let (candles, bursts) = (Collected::new(), Collected::new());
    left.key_by(|trade| trade.0)
        .window(Sliding::of(Duration::from_secs(60), Duration::from_secs(20)))
        .aggregate(Ohlc)
        .map(|WindowResult { key, end, value: candle, .. }| {
            (key, end, candle.open.1, candle.high, candle.low, candle.close.1)
        })
        .sink(candles.sink());
    right
        .key_by(|trade| trade.0)
        .window(Session::with_gap(Duration::from_secs(15)))
        .reduce(|a, b| Trade(a.0, a.1.max(b.1), a.2.max(b.2), a.3 + b.3))
        .map(|burst| (burst.key, burst.start, burst.value.1, burst.value.3))
        .sink(bursts.sink());
    env.run("trades_ohlc")?;

    let (mut candles, mut bursts) = (candles.take(), bursts.take());
    candles.sort();
    bursts.sort();
    for (symbol, end, open, high, low, close) in &candles {
        println!("{symbol} at {end} ms: open {open} high {high} low {low} close {close}");
    }
    for (symbol, start, last, shares) in &bursts {
        println!("{symbol}: {shares} shares from {start} to {last} ms");
    }
    assert_eq!(candles.len(), 10, "two symbols, whose trades are in five minutes each");
    assert_eq!(candles[2], ("FLOW", 60_000, 250, 260, 250, 260));
    assert_eq!(candles[6], ("SLOT", 40_000, 1_010, 1_030, 990, 1_030));
    assert_eq!(candles[7], ("SLOT", 60_000, 1_010, 1_030, 990, 1_000), "a later trade closes it");
    let slot = [("SLOT", 1_000, 9_500, 13), ("SLOT", 41_000, 41_000, 20)];
    assert_eq!(bursts, [[("FLOW", 2_000, 2_000, 100), ("FLOW", 44_000, 44_000, 10)], slot].concat());
    Ok(())
}
