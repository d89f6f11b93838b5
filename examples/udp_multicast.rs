//! Market data over UDP multicast: quotes come in, and the best bid of each symbol goes out.
//!
//! run: 10_000
//!
//! A venue sends each quote as a datagram of twenty bytes to a group, within this machine. The job joins the group and
//! reads the socket in every round of its slot, whose core never sleeps for that. Nobody sends again what is lost.

// An example prints its result.
#![allow(clippy::print_stdout)]

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use slotflow::io::egress;
use slotflow::io::frames::Frame;
use slotflow::io::net::UdpSource;
use slotflow::prelude::*;

/// A group for whoever wants one, and the interface on which only this machine hears it.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 73, 1);
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

const SYMBOLS: u64 = 50;

/// How many quotes the venue sends at once: less than any socket's buffer holds.
const BURST: u64 = 50;

/// What has not come by then is lost.
const LOST: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Quote {
    number: u64,
    symbol: u32,
    cents: u64,
}

impl Quote {
    fn of(number: u64) -> Quote {
        Quote { number, symbol: (number % SYMBOLS) as u32, cents: 100 + number * 37 % 101 }
    }

    fn to_bytes(self) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], &self.symbol.to_be_bytes(), &self.cents.to_be_bytes()].concat()
    }

    fn from_datagram(datagram: Frame<'_>) -> Result<Quote> {
        let bytes: &[u8; 20] = datagram.bytes().try_into().map_err(Error::user)?;
        let number = |field: &[u8]| field.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (number, symbol, cents) = (number(&bytes[..8]), number(&bytes[8..12]), number(&bytes[12..]));
        Ok(Quote { number, symbol: symbol as u32, cents })
    }
}

/// The best bid of a symbol, in the quote that came last.
fn best_bid(best: &mut u64, quote: Quote) -> Quote {
    *best = quote.cents.max(*best);
    Quote { cents: *best, ..quote }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let quotes: u64 = std::env::args().nth(1).map_or(Ok(10_000), |quotes| quotes.replace('_', "").parse())?;
    // Whoever is bound there is the venue, so the port is nobody else's in the group, either.
    let venue = UdpSocket::bind((LOOPBACK, 0))?;
    let group = SocketAddrV4::new(GROUP, venue.local_addr()?.port());

    let feed = UdpSource::bind(group.to_string()).join_on(GROUP.into(), LOOPBACK).busy_poll();
    let (counts, (mut bids, sink)) = (feed.counts(), egress(BURST as usize));
    let env = Environment::with(Config::default());
    env.source(feed)
        .try_map(Quote::from_datagram)
        .key_by(|quote: &Quote| quote.symbol)
        .map_with_state(best_bid)
        .sink(sink);
    let job = env.start("best bids")?;

    let (mut came, mut best) = (0, [0; SYMBOLS as usize]);
    for number in 0..quotes {
        venue.send_to(&Quote::of(number).to_bytes(), group)?;
        let burst_ends = (number + 1) % BURST == 0 || number + 1 == quotes;
        while burst_ends && let Ok(bid) = bids.recv(LOST) {
            let known = &mut best[bid.symbol as usize];
            *known = Quote::of(bid.number).cents.max(*known);
            assert_eq!(bid.cents, *known, "the best bid of symbol {}", bid.symbol);
            came += 1;
            if bid.number == number {
                break;
            }
        }
    }
    println!("{}", job.stop()?);
    println!("{came} of {quotes} quotes came; the system has dropped {}", counts.dropped());
    if came > 0 { Ok(()) } else { Err(format!("nothing came to {group}").into()) }
}
