//! Queries of auctions that have ended: `q9` gives the bid that has won, `q4` the average price of each category.

use nexmark::event::Event;
use serde::{Deserialize, Serialize};
use slotflow::prelude::*;
use slotflow::runtime::Timestamp;
use slotflow::{ListState, Timer, ValueState};

use super::{Query, checksum};

/// The highest bid of an auction that has ended.
pub struct Winner {
    pub auction: u64,
    pub category: u64,
    pub price: u64,
    pub bidder: u64,
    pub time_ms: u64,
}

/// The average price of a category so far, as sum and count, and the price that was added last.
pub struct Average {
    pub category: u64,
    pub price: u64,
    pub sum: u64,
    pub count: u64,
}

impl Average {
    pub fn add(state: &mut (u64, u64), winner: &Winner) -> Average {
        *state = (state.0 + winner.price, state.1 + 1);
        Average { category: winner.category, price: winner.price, sum: state.0, count: state.1 }
    }
}

/// A bid, without what no query asks for.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Offer {
    pub auction: u64,
    pub price: u64,
    pub bidder: u64,
    pub time_ms: u64,
}

impl Offer {
    /// The dearest wins, then the earliest, then that of the lowest bidder.
    pub fn beats(&self, other: &Offer) -> bool {
        let rank = |offer: &Offer| (!offer.price, offer.time_ms, offer.bidder);
        rank(self) < rank(other)
    }
}

/// An auction, and the best offer so far.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Sale {
    pub auction: u64,
    pub category: u64,
    pub opens_ms: u64,
    pub expires_ms: u64,
    pub best: Option<Offer>,
}

impl Sale {
    /// Takes an offer that was made while the auction was open, if it is the best one.
    pub fn offer(&mut self, offer: Offer) {
        let open = (self.opens_ms..=self.expires_ms).contains(&offer.time_ms);
        if open && self.best.is_none_or(|best| offer.beats(&best)) {
            self.best = Some(offer);
        }
    }

    pub fn winner(&self) -> Option<Winner> {
        let Offer { auction, price, bidder, time_ms } = self.best?;
        Some(Winner { auction, category: self.category, price, bidder, time_ms })
    }
}

pub enum Entry {
    Auction(Sale),
    Bid(Offer),
}

pub fn entry(event: Event) -> Option<Entry> {
    match event {
        Event::Auction(it) => Some(Entry::Auction(Sale {
            auction: it.id as u64,
            category: it.category as u64,
            opens_ms: it.date_time,
            expires_ms: it.expires,
            best: None,
        })),
        Event::Bid(it) => Some(Entry::Bid(Offer {
            auction: it.auction as u64,
            price: it.price as u64,
            bidder: it.bidder as u64,
            time_ms: it.date_time,
        })),
        Event::Person(_) => None,
    }
}

fn auction(entry: &Entry) -> u64 {
    match entry {
        Entry::Auction(sale) => sale.auction,
        Entry::Bid(offer) => offer.auction,
    }
}

/// Keeps an auction until event time has passed its end. A bid may come before its auction does, since two sources
/// race, so it waits for it as long as event time has not passed the bid itself.
struct Auctions {
    sale: ValueState<Sale>,
    waiting: ListState<Offer>,
}

impl Auctions {
    fn open(states: &mut StateDescriptors<'_>) -> Auctions {
        Auctions { sale: states.value("sale"), waiting: states.list("waiting") }
    }

    fn begin(&self, mut sale: Sale, ctx: &mut ProcessContext<'_, u64, Winner>) {
        self.waiting.take(ctx).into_iter().for_each(|offer| sale.offer(offer));
        ctx.register_event_time_timer(sale.expires_ms as Timestamp);
        self.sale.set(ctx, sale);
    }

    fn offer(&self, offer: Offer, ctx: &mut ProcessContext<'_, u64, Winner>) {
        match self.sale.value(ctx).copied() {
            Some(mut sale) => {
                sale.offer(offer);
                self.sale.set(ctx, sale);
            }
            None => {
                self.waiting.add(ctx, offer);
                ctx.register_event_time_timer(offer.time_ms as Timestamp);
            }
        }
    }
}

impl KeyedProcessFunction<u64, Entry> for Auctions {
    type Out = Winner;

    fn process(&mut self, entry: Entry, ctx: &mut ProcessContext<'_, u64, Winner>) {
        match entry {
            Entry::Auction(sale) => self.begin(sale, ctx),
            Entry::Bid(offer) => self.offer(offer, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, u64, Winner>) {
        let now_ms = timer.time as u64;
        match self.sale.value(ctx).copied() {
            Some(sale) if sale.expires_ms <= now_ms => {
                self.sale.clear(ctx);
                sale.winner().into_iter().for_each(|winner| ctx.push(winner));
            }
            Some(_) => {}
            None => {
                let mut waiting = self.waiting.take(ctx);
                waiting.retain(|offer| offer.time_ms > now_ms);
                self.waiting.set(ctx, waiting);
            }
        }
    }
}

pub fn q4(query: &Query) {
    let entries = query.timed_events().filter_map(entry);
    let winners = entries.key_by(auction).process(Auctions::open);
    let averages = winners
        .key_by(|winner| winner.category)
        .map_with_state(|state: &mut (u64, u64), winner| Average::add(state, &winner));
    query.sum(averages.map(|average| checksum::average(&average)));
}

pub fn q9(query: &Query) {
    let entries = query.timed_events().filter_map(entry);
    let winners = entries.key_by(auction).process(Auctions::open);
    query.sum(winners.map(|winner| checksum::winner(&winner)));
}
