//! The same queries over all events at once, without an engine, windows, watermarks or state.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use nexmark::event::Event;
use slotflow::prelude::*;

use super::auctions::{Average, Entry, Offer, Sale, Winner};
use super::bids::{self, InEuros};
use super::joins::{self, Listing, Person};
use super::windows::{Rank, rank};
use super::{SLIDE_MS, WINDOW_MS, checksum, events};
use crate::args::Args;

/// The checksum of a query; none if there is no such query.
pub fn sum(args: &Args) -> Option<u64> {
    let checksums: fn(Vec<Event>) -> Vec<u64> = match args.workload.as_str() {
        "q0" => |events| all_bids(events).map(|bid| checksum::bid(&InEuros::same_price(bid))).collect(),
        "q1" => |events| all_bids(events).map(|bid| checksum::bid(&InEuros::converted(bid))).collect(),
        "q2" => selected,
        "q3" => local_sellers,
        "q4" => averages,
        "q5" => hottest,
        "q7" => highest,
        "q8" => new_sellers,
        "q9" => |events| winners(events).iter().map(checksum::winner).collect(),
        "q11" => sessions,
        "q12" => {
            |events| timed_bidders(events).map(|(bidder, _)| checksum::by_the_clock(bidder, 1)).collect()
        }
        _ => return None,
    };
    Some(checksums(events(args, 0, 1)).into_iter().fold(0, u64::wrapping_add))
}

fn all_bids(events: Vec<Event>) -> impl Iterator<Item = nexmark::event::Bid> {
    events.into_iter().filter_map(bids::bid)
}

fn timed_bidders(events: Vec<Event>) -> impl Iterator<Item = (u64, u64)> {
    all_bids(events).map(|bid| (bid.bidder as u64, bid.date_time))
}

fn selected(events: Vec<Event>) -> Vec<u64> {
    let selected = all_bids(events).filter(|bid| bid.auction % 123 == 0);
    selected.map(|bid| checksum::price(bid.auction as u64, bid.price as u64)).collect()
}

/// People by identity, and auctions in order.
fn both(entries: impl Iterator<Item = Either<Person, Listing>>) -> (BTreeMap<u64, Person>, Vec<Listing>) {
    let (mut people, mut listings) = (BTreeMap::new(), Vec::new());
    for entry in entries {
        match entry {
            Either::First(person) => drop(people.insert(person.id, person)),
            Either::Second(listing) => listings.push(listing),
        }
    }
    (people, listings)
}

fn local_sellers(events: Vec<Event>) -> Vec<u64> {
    let (people, listings) = both(events.into_iter().filter_map(joins::local));
    let join = |it: &Listing| people.get(&it.seller).map(|person| checksum::listing(person, it.id));
    listings.iter().filter_map(join).collect()
}

fn new_sellers(events: Vec<Event>) -> Vec<u64> {
    let mut windows = BTreeMap::<u64, Vec<Event>>::new();
    for event in events {
        windows.entry(event.timestamp() / WINDOW_MS).or_default().push(event);
    }
    let mut checksums = Vec::new();
    for window in windows.into_values() {
        let (people, listings) = both(window.into_iter().filter_map(joins::any));
        let join = |it: &Listing| {
            people.get(&it.seller).map(|person| checksum::new_seller(person.id, &person.name, it.reserve))
        };
        checksums.extend(listings.iter().filter_map(join));
    }
    checksums
}

fn winners(events: Vec<Event>) -> Vec<Winner> {
    let (mut offers, mut sales) = (BTreeMap::<u64, Vec<Offer>>::new(), Vec::new());
    for entry in events.into_iter().filter_map(super::auctions::entry) {
        match entry {
            Entry::Auction(sale) => sales.push(sale),
            Entry::Bid(offer) => offers.entry(offer.auction).or_default().push(offer),
        }
    }
    let winner = |sale: &Sale| {
        let during = |it: &&Offer| sale.opens_ms <= it.time_ms && it.time_ms <= sale.expires_ms;
        let mut offers = offers.get(&sale.auction)?.iter().filter(during).collect::<Vec<_>>();
        offers.sort_by_key(|it| (Reverse(it.price), it.time_ms, it.bidder));
        let Offer { auction, price, bidder, time_ms } = **offers.first()?;
        Some(Winner { auction, category: sale.category, price, bidder, time_ms })
    };
    sales.iter().filter_map(winner).collect()
}

fn averages(events: Vec<Event>) -> Vec<u64> {
    let mut categories = BTreeMap::<u64, (u64, u64)>::new();
    let add = |winner: &Winner| Average::add(categories.entry(winner.category).or_default(), winner);
    winners(events).iter().map(add).map(|average| checksum::average(&average)).collect()
}

fn hottest(events: Vec<Event>) -> Vec<u64> {
    let mut windows = BTreeMap::<u64, BTreeMap<u64, u64>>::new();
    for bid in all_bids(events) {
        let last_ms = bid.date_time / SLIDE_MS * SLIDE_MS;
        for start_ms in (0..WINDOW_MS / SLIDE_MS).map(|back| last_ms - back * SLIDE_MS) {
            *windows.entry(start_ms).or_default().entry(bid.auction as u64).or_default() += 1;
        }
    }
    let most = |counts: &BTreeMap<u64, u64>| counts.iter().map(|(auction, count)| (*count, *auction)).max();
    let hottest = windows.iter().filter_map(|(start_ms, counts)| Some((*start_ms, most(counts)?)));
    hottest.map(|(start_ms, (count, auction))| checksum::hottest(start_ms, auction, count)).collect()
}

fn highest(events: Vec<Event>) -> Vec<u64> {
    let mut windows = BTreeMap::<u64, Rank>::new();
    for event in events {
        let start_ms = event.timestamp() / WINDOW_MS * WINDOW_MS;
        if let Some(rank) = rank(event) {
            let best = windows.entry(start_ms).or_insert(rank);
            *best = rank.max(*best);
        }
    }
    let checksum = |(start_ms, (price, auction, bidder)): (u64, Rank)| {
        checksum::highest(start_ms, price, auction.0, bidder.0)
    };
    windows.into_iter().map(checksum).collect()
}

fn sessions(events: Vec<Event>) -> Vec<u64> {
    let mut bidders = BTreeMap::<u64, Vec<u64>>::new();
    for (bidder, time_ms) in timed_bidders(events) {
        bidders.entry(bidder).or_default().push(time_ms);
    }
    let mut checksums = Vec::new();
    for (bidder, times_ms) in bidders {
        for session in times_ms.chunk_by(|earlier, later| later - earlier <= WINDOW_MS) {
            let (first_ms, last_ms) = (session[0], session[session.len() - 1]);
            checksums.push(checksum::session(bidder, first_ms, last_ms + WINDOW_MS, session.len() as u64));
        }
    }
    checksums
}
