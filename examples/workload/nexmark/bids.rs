//! Queries of one bid after the other: `q0` passes bids on, `q1` converts their prices, `q2` selects some.

use nexmark::event::{Bid, Event};

use super::{Query, checksum};

/// What is left of a bid; `q1` gives its price in euros.
pub struct InEuros {
    pub auction: u64,
    pub price: u64,
    pub bidder: u64,
    pub time_ms: u64,
}

impl InEuros {
    #[inline(always)]
    pub fn same_price(bid: Bid) -> InEuros {
        let price = bid.price as u64;
        InEuros { auction: bid.auction as u64, price, bidder: bid.bidder as u64, time_ms: bid.date_time }
    }

    /// At the rate that Nexmark has for a dollar.
    #[inline(always)]
    pub fn converted(bid: Bid) -> InEuros {
        let price = (bid.price as f32 * 0.908) as u64;
        InEuros { price, ..InEuros::same_price(bid) }
    }
}

/// Whether `q2` wants a bid.
#[inline(always)]
pub fn is_selected(bid: &Bid) -> bool {
    bid.auction.is_multiple_of(123)
}

#[inline(always)]
pub fn bid(event: Event) -> Option<Bid> {
    match event {
        Event::Bid(bid) => Some(bid),
        _ => None,
    }
}

pub fn q0(query: &Query) {
    let bids = query.events().filter_map(bid).map(InEuros::same_price);
    query.sum(bids.map(|bid| checksum::bid(&bid)));
}

pub fn q1(query: &Query) {
    let bids = query.events().filter_map(bid).map(InEuros::converted);
    query.sum(bids.map(|bid| checksum::bid(&bid)));
}

pub fn q2(query: &Query) {
    let bids = query.events().filter_map(bid).filter(is_selected);
    query.sum(bids.map(|bid| checksum::price(bid.auction as u64, bid.price as u64)));
}
