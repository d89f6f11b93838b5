//! Queries that join people with the auctions that they open: `q3` for ever, `q8` within ten seconds.

use std::time::Duration;

use nexmark::event::Event;
use serde::{Deserialize, Serialize};
use slotflow::prelude::*;
use slotflow::{CoProcessFunction, ListState, ValueState};

use super::{Query, WINDOW_MS, checksum};

/// What is kept of a person.
#[derive(Clone, Serialize, Deserialize)]
pub struct Person {
    pub id: u64,
    pub name: String,
    pub city: String,
    pub state: String,
}

/// What is kept of an auction.
#[derive(Clone)]
pub struct Listing {
    pub id: u64,
    pub seller: u64,
    pub reserve: u64,
}

type Entry = Either<Person, Listing>;

/// What `q3` joins: people of three states, and auctions of category 10.
pub fn local(event: Event) -> Option<Entry> {
    match &event {
        Event::Person(person) if matches!(person.state.as_str(), "or" | "id" | "ca") => any(event),
        Event::Auction(auction) if auction.category == 10 => any(event),
        _ => None,
    }
}

/// What `q8` joins.
pub fn any(event: Event) -> Option<Entry> {
    match event {
        Event::Person(it) => {
            Some(Either::First(Person { id: it.id as u64, name: it.name, city: it.city, state: it.state }))
        }
        Event::Auction(it) => Some(Either::Second(Listing {
            id: it.id as u64,
            seller: it.seller as u64,
            reserve: it.reserve as u64,
        })),
        Event::Bid(_) => None,
    }
}

fn seller(entry: &Entry) -> u64 {
    match entry {
        Either::First(person) => person.id,
        Either::Second(listing) => listing.seller,
    }
}

/// Keeps a person for the auctions to come, and auctions until their person comes.
struct Sellers {
    person: ValueState<Person>,
    waiting: ListState<u64>,
}

impl Sellers {
    fn open(states: &mut StateDescriptors<'_>) -> Sellers {
        Sellers { person: states.value("person"), waiting: states.list("waiting") }
    }
}

impl CoProcessFunction<u64, Person, Listing> for Sellers {
    type Out = u64;

    fn process_first(&mut self, person: Person, ctx: &mut ProcessContext<'_, u64, u64>) {
        for auction in self.waiting.take(ctx) {
            ctx.push(checksum::listing(&person, auction));
        }
        self.person.set(ctx, person);
    }

    fn process_second(&mut self, listing: Listing, ctx: &mut ProcessContext<'_, u64, u64>) {
        match self.person.value(ctx) {
            Some(person) => {
                let joined = checksum::listing(person, listing.id);
                ctx.push(joined);
            }
            None => self.waiting.add(ctx, listing.id),
        }
    }
}

pub fn q3(query: &Query) {
    let entries = query.events().filter_map(local);
    query.sum(entries.key_by(seller).co_process(Sellers::open));
}

pub fn q8(query: &Query) {
    let entries = query.timed_events().filter_map(any).key_by(seller);
    let windows = entries.window(Tumbling::of(Duration::from_millis(WINDOW_MS)));
    query.sum(windows.join(|person, listing| checksum::new_seller(person.id, &person.name, listing.reserve)));
}
