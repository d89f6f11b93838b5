//! A service of lines over TCP: quotes come in as JSON from many clients, and the good ones go out as JSON.
//!
//! The job listens; some clients connect, each sends its quotes, one of them also what is no quote. What the job lets
//! through goes to a far end of its own, which counts it.
//!
//! run: 1000

// An example prints its result.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde::{Deserialize, Serialize};
use slotflow::io::formats::{Malformed, decode_to_result, encode, json};
use slotflow::io::net::{SocketSink, SocketSource};
use slotflow::prelude::*;

/// How many clients there are.
const CLIENTS: u64 = 3;

/// What somebody wants for something, in cents.
#[derive(Serialize, Deserialize)]
struct Quote {
    symbol: String,
    bid: u64,
    ask: u64,
}

/// Sends quotes, every second of which is crossed, and a line that is none.
fn send(to: TcpStream, client: u64, quotes: u64) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    for i in 0..quotes {
        let quote = Quote { symbol: format!("S{client}"), bid: 100 + i % 2, ask: 100 };
        serde_json::to_writer(&mut to, &quote)?;
        writeln!(to)?;
    }
    writeln!(to, "bye")
}

/// Counts the lines of one connection.
fn count(far: &TcpListener) -> io::Result<usize> {
    let (connection, _) = far.accept()?;
    BufReader::new(connection).lines().try_fold(0, |count, line| line.map(|_| count + 1))
}

fn main() -> Result<(), Box<dyn Error>> {
    let quotes: u64 = std::env::args().nth(1).map_or(Ok(1_000), |quotes| quotes.parse())?;
    let (near, far) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let (here, there) = (near.local_addr()?, far.local_addr()?.to_string());
    let counting = thread::spawn(move || count(&far));
    // Connected before the job starts, so that it ends with the last of them.
    let clients = (0..CLIENTS).map(|_| TcpStream::connect(here)).collect::<io::Result<Vec<_>>>()?;

    let env = Environment::with(Config::default());
    let letters = Collected::new();
    let lines = env.source(SocketSource::listening(near).end_when_closed());
    let (good, bad) = lines.then("json", decode_to_result(json::<Quote>())).try_map_split(|result| result);
    good.filter(|quote| quote.bid <= quote.ask)
        .then("json", encode(json::<Quote>()))
        .sink(SocketSink::connect(there));
    bad.map(|bad: Malformed| bad.to_string()).sink(letters.sink());
    let job = env.start("quotes")?;

    let senders: Vec<_> =
        (0..).zip(clients).map(|(client, to)| thread::spawn(move || send(to, client, quotes))).collect();
    for sender in senders {
        sender.join().map_err(|_| "a client panicked")??;
    }
    println!("{}", job.wait()?);
    let sent_on = counting.join().map_err(|_| "the far end panicked")??;
    let letters = letters.take();
    letters.iter().for_each(|letter| println!("{letter}"));
    if (sent_on as u64, letters.len() as u64) != (CLIENTS * quotes.div_ceil(2), CLIENTS) {
        return Err(format!("{sent_on} lines came out, and {} letters", letters.len()).into());
    }
    println!("verified: {sent_on} of {} quotes went on", CLIENTS * quotes);
    Ok(())
}
