//! What each query's results come to. Checksums are wrapping sums of these, so the order of results does not matter.

use super::auctions::{Average, Winner};
use super::bids::InEuros;
use super::joins::Person;

/// Two numbers as one. What they are multiplied by is 2^64 divided by the golden ratio, which spreads the bits.
#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let x = (a ^ b.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^ (x >> 29)
}

/// FNV-1a with 64 bits: Fowler, Noll, Vo; RFC 9923.
fn fnv(text: &str) -> u64 {
    let add = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, add)
}

#[inline(always)]
pub fn bid(bid: &InEuros) -> u64 {
    mix(mix(bid.auction, bid.price), mix(bid.bidder, bid.time_ms))
}

#[inline(always)]
pub fn price(auction: u64, price: u64) -> u64 {
    mix(auction, price)
}

pub fn listing(seller: &Person, auction: u64) -> u64 {
    mix(mix(fnv(&seller.name), fnv(&seller.city)), mix(fnv(&seller.state), auction))
}

/// A running average, in any order of the sales: as that of `keyed`.
pub fn average(average: &Average) -> u64 {
    let weight = 2 * average.category + 1;
    weight.wrapping_mul(average.count.wrapping_add(average.sum.wrapping_mul(average.price)))
}

pub fn winner(winner: &Winner) -> u64 {
    mix(mix(winner.auction, winner.bidder), mix(winner.price, winner.time_ms))
}

pub fn hottest(start_ms: u64, auction: u64, count: u64) -> u64 {
    mix(start_ms, mix(auction, count))
}

pub fn highest(start_ms: u64, price: u64, auction: u64, bidder: u64) -> u64 {
    mix(start_ms, mix(price, mix(auction, bidder)))
}

pub fn new_seller(id: u64, name: &str, reserve: u64) -> u64 {
    mix(mix(id, fnv(name)), reserve)
}

pub fn session(bidder: u64, start_ms: u64, end_ms: u64, count: u64) -> u64 {
    mix(mix(bidder, count), mix(start_ms, end_ms))
}

/// The counts of a bidder add up to the same, whatever windows the clock has made.
pub fn by_the_clock(bidder: u64, count: u64) -> u64 {
    (2 * bidder + 1).wrapping_mul(count)
}
