//! Queries of bids in windows: `q5` the auction with most bids, `q7` the highest bid, `q11` sessions of a bidder, `q12`
//! the bids of a bidder by the host's clock.

use std::cmp::Reverse;
use std::time::Duration;

use nexmark::event::Event;
use slotflow::prelude::*;

use super::{Query, SLIDE_MS, WINDOW_MS, checksum};

/// Into how many parts `q7` divides the bids, so that more than one subtask looks for the highest: a guess, many times
/// the parallelism.
const PARTS: u64 = 64;

/// A bid as a rank: a dearer one is greater, then one of a lower auction, then one of a lower bidder.
pub type Rank = (u64, Reverse<u64>, Reverse<u64>);

pub fn rank(event: Event) -> Option<Rank> {
    match event {
        Event::Bid(bid) => Some((bid.price as u64, Reverse(bid.auction as u64), Reverse(bid.bidder as u64))),
        _ => None,
    }
}

fn auction(event: Event) -> Option<u64> {
    rank(event).map(|(_, auction, _)| auction.0)
}

fn bidder(event: Event) -> Option<u64> {
    rank(event).map(|(_, _, bidder)| bidder.0)
}

/// How many records a window has.
#[derive(Clone)]
struct Count;

impl Aggregate<u64> for Count {
    type Acc = u64;
    type Out = u64;

    #[inline(always)]
    fn create(&self) -> u64 {
        0
    }
    #[inline(always)]
    fn add(&self, count: &mut u64, _: u64) {
        *count += 1;
    }
    #[inline(always)]
    fn result(&self, count: &u64) -> u64 {
        *count
    }
}

impl Merge<u64> for Count {
    #[inline(always)]
    fn merge(&self, count: &mut u64, other: &u64) {
        *count += other;
    }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// All counts of one window carry its last time, so windows as long as a slide bring them together again.
pub fn q5(query: &Query) {
    let bids = query.timed_events().filter_map(auction).key_by(|auction| *auction);
    let counts = bids.window(Sliding::of(millis(WINDOW_MS), millis(SLIDE_MS))).aggregate(Count);
    let hottest = counts
        .map(|window| (window.value, window.key, window.start as u64))
        .window_all(Tumbling::of(millis(SLIDE_MS)))
        .reduce(Ord::max);
    query.sum(hottest.map(|window| {
        let (count, auction, start_ms) = window.value;
        checksum::hottest(start_ms, auction, count)
    }));
}

/// Parts of a window carry its last time, too.
pub fn q7(query: &Query) {
    let window = || Tumbling::of(millis(WINDOW_MS));
    let bids = query.timed_events().filter_map(rank);
    let parts = bids.key_by(|(_, auction, _)| auction.0 % PARTS).window(window()).reduce(Ord::max);
    let highest = parts.map(|part| part.value).window_all(window()).reduce(Ord::max);
    query.sum(highest.map(|window| {
        let (price, auction, bidder) = window.value;
        checksum::highest(window.start as u64, price, auction.0, bidder.0)
    }));
}

pub fn q11(query: &Query) {
    let bids = query.timed_events().filter_map(bidder).key_by(|bidder| *bidder);
    let sessions = bids.window(Session::with_gap(millis(WINDOW_MS))).aggregate(Count);
    query.sum(sessions.map(|session| {
        checksum::session(session.key, session.start as u64, session.end as u64, session.value)
    }));
}

pub fn q12(query: &Query) {
    let bids = query.events().filter_map(bidder).key_by(|bidder| *bidder);
    let windows = bids.window(Tumbling::of(millis(WINDOW_MS)).in_processing_time()).aggregate(Count);
    query.sum(windows.map(|window| checksum::by_the_clock(window.key, window.value)));
}
