//! The events and the steps of Nexmark's q0, q1, q2 and q5.

use std::collections::{BTreeMap, VecDeque};

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
pub use nexmark::event::{Bid, Event};
use rustc_hash::FxHashMap;

use crate::args::Args;
use crate::share_len;

/// Event time of the first event.
pub const BEGIN_MS: u64 = 1_000_000;
pub const WINDOW_MS: u64 = 10_000;
pub const SLIDE_MS: u64 = 2_000;

/// The events of one thread, made before the clock starts.
pub fn events(args: &Args, index: usize) -> Vec<Event> {
    let config = NexmarkConfig {
        num_event_generators: 1,
        first_rate: args.rate as usize,
        next_rate: args.rate as usize,
        base_time: BEGIN_MS,
        ..NexmarkConfig::default()
    };
    let stride = args.parallelism;
    let generator = EventGenerator::new(config).with_offset(index as u64).with_step(stride as u64);
    generator.take(share_len(args.records, index, stride) as usize).collect()
}

/// Those of all threads, each made by a thread of its own.
pub fn all_events(args: &Args) -> Vec<Vec<Event>> {
    std::thread::scope(|scope| {
        let threads = (0..args.parallelism).map(|index| scope.spawn(move || events(args, index)));
        let threads = threads.collect::<Vec<_>>();
        threads.into_iter().map(|thread| thread.join().expect("the generator does not panic")).collect()
    })
}

#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let x = (a ^ b.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^ (x >> 29)
}

#[inline(always)]
pub fn bid(event: Event) -> Option<Bid> {
    match event {
        Event::Bid(bid) => Some(bid),
        _ => None,
    }
}

/// What q0 and q1 give.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Priced {
    auction: u64,
    price: u64,
    bidder: u64,
    time_ms: u64,
}

/// The step of q0.
#[inline(always)]
pub fn same_price(bid: Bid) -> Priced {
    let price = bid.price as u64;
    Priced { auction: bid.auction as u64, price, bidder: bid.bidder as u64, time_ms: bid.date_time }
}

/// The step of q1.
#[inline(always)]
pub fn in_euros(bid: Bid) -> Priced {
    let price = (bid.price as f32 * 0.908) as u64;
    Priced { price, ..same_price(bid) }
}

#[inline(always)]
pub fn priced_checksum(priced: &Priced) -> u64 {
    mix(mix(priced.auction, priced.price), mix(priced.bidder, priced.time_ms))
}

/// The step of q2.
#[inline(always)]
pub fn is_selected(bid: &Bid) -> bool {
    bid.auction % 123 == 0
}

#[inline(always)]
pub fn selected_checksum(bid: &Bid) -> u64 {
    mix(bid.auction as u64, bid.price as u64)
}

/// q0, q1 and q2 of one event; nothing if the query leaves it out.
#[inline(always)]
pub fn stateless(query: &str) -> fn(Event) -> Option<u64> {
    match query {
        "q0" => |event| bid(event).map(|bid| priced_checksum(&same_price(bid))),
        "q1" => |event| bid(event).map(|bid| priced_checksum(&in_euros(bid))),
        _ => |event| bid(event).filter(is_selected).map(|bid| selected_checksum(&bid)),
    }
}

/// The bids of an auction in a window; of equals the greater has the higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Hot {
    pub count: u64,
    pub auction: u64,
}

pub fn hot_checksum(start_ms: u64, hot: Hot) -> u64 {
    mix(start_ms, mix(hot.auction, hot.count))
}

/// The checksum of what several threads found: the best of each window counts.
pub fn hottest_checksum(found: impl IntoIterator<Item = (u64, Hot)>) -> u64 {
    let mut windows = BTreeMap::<u64, Hot>::new();
    for (start_ms, hot) in found {
        let best = windows.entry(start_ms).or_insert(hot);
        *best = hot.max(*best);
    }
    windows.into_iter().fold(0, |sum, (start_ms, hot)| sum.wrapping_add(hot_checksum(start_ms, hot)))
}

/// How often each auction comes.
type Counts = FxHashMap<u64, u64>;

/// q5's state, for contestants without windows: counts by slide, and what those of the current window come to.
pub struct HotWindows {
    /// The slide that is to be closed next, and the counts from there on.
    next: u64,
    open: VecDeque<Counts>,
    /// The slides of the current window, and their sum.
    inside: VecDeque<Counts>,
    total: Counts,
}

impl Default for HotWindows {
    fn default() -> Self {
        let (open, inside, total) = Default::default();
        HotWindows { next: BEGIN_MS / SLIDE_MS, open, inside, total }
    }
}

impl HotWindows {
    #[inline]
    pub fn add(&mut self, auction: u64, time_ms: u64) {
        let ahead = (time_ms / SLIDE_MS - self.next) as usize;
        if ahead >= self.open.len() {
            self.open.resize_with(ahead + 1, Counts::default);
        }
        *self.open[ahead].entry(auction).or_default() += 1;
    }

    /// Nothing before this time comes any more.
    pub fn advance(&mut self, to_ms: u64, mut found: impl FnMut(u64, Hot)) {
        while !self.open.is_empty() && (self.next + 1) * SLIDE_MS <= to_ms {
            self.close(&mut found);
        }
    }

    /// Nothing comes any more: the windows that have begun end, too.
    pub fn finish(&mut self, mut found: impl FnMut(u64, Hot)) {
        while !self.open.is_empty() || !self.total.is_empty() {
            self.close(&mut found);
        }
    }

    fn close(&mut self, found: &mut impl FnMut(u64, Hot)) {
        let counts = self.open.pop_front().unwrap_or_default();
        counts.iter().for_each(|(auction, count)| *self.total.entry(*auction).or_default() += count);
        self.inside.push_back(counts);
        if self.inside.len() > (WINDOW_MS / SLIDE_MS) as usize {
            self.leave();
        }
        self.next += 1;
        let best = self.total.iter().map(|(&auction, &count)| Hot { count, auction }).max();
        if let Some(best) = best {
            found(self.next * SLIDE_MS - WINDOW_MS, best);
        }
    }

    /// Takes the oldest slide out of the window.
    fn leave(&mut self) {
        for (auction, count) in self.inside.pop_front().unwrap_or_default() {
            let total = self.total.entry(auction).or_default();
            *total -= count;
            if *total == 0 {
                self.total.remove(&auction);
            }
        }
    }
}
