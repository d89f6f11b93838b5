//! What it costs to make a record of a JSON payload, by serde_json, sonic-rs and simd-json: payloads as in slotflow's
//! example `tcp_lines`, and larger ones; in turns, of which the median ratios are printed.

use std::hint::black_box;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const TURNS: usize = 15;

/// How many payloads there are of a shape: more than a branch predictor learns by heart.
const PAYLOADS: u64 = 256;

/// About how many bytes each parser reads in a turn.
const BYTES: usize = 20_000_000;

#[derive(Serialize, Deserialize)]
struct Quote {
    symbol: String,
    bid: u64,
    ask: u64,
}

#[derive(Serialize, Deserialize)]
struct Order {
    id: u64,
    user: String,
    email: String,
    at: i64,
    note: String,
    price: f64,
    lines: Vec<Line>,
    shipped: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    sku: String,
    title: String,
    count: u32,
    price: f64,
}

fn quote(n: u64) -> Quote {
    Quote { symbol: format!("S{n}"), bid: 100 + n, ask: 101 + n }
}

fn order(n: u64, lines: u64) -> Order {
    let line = |i: u64| Line {
        sku: format!("SKU-{:08}", i * 31 + n),
        title: format!("a thing of some length, number {i}, blue"),
        count: (i % 9) as u32,
        price: 0.99 + i as f64 * 1.37,
    };
    Order {
        id: n * 7_919,
        user: format!("user {n}"),
        email: format!("user{n}@example.com"),
        at: 1_767_225_600_000 + n as i64,
        note: "leave it at the door, \"please\", and ring twice".into(),
        price: 12.5 + n as f64 / 7.0,
        lines: (0..lines).map(line).collect(),
        shipped: Some(n.is_multiple_of(2)),
    }
}

/// Nanoseconds for a payload.
fn turn(payloads: &[Vec<u8>], mut parses: impl FnMut(&[u8]) -> bool) -> f64 {
    let rounds = BYTES / payloads.iter().map(Vec::len).sum::<usize>();
    let began = Instant::now();
    for _ in 0..rounds {
        assert!(payloads.iter().all(|payload| black_box(parses(black_box(payload)))));
    }
    began.elapsed().as_nanos() as f64 / (rounds * payloads.len()) as f64
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn compare<T: Serialize + DeserializeOwned>(shape: &str, make: impl Fn(u64) -> T) {
    let payload = |n| serde_json::to_vec(&make(n)).expect("it has a form");
    let payloads: Vec<Vec<u8>> = (0..PAYLOADS).map(payload).collect();
    let (mut buffers, mut copy) = (simd_json::Buffers::default(), Vec::new());
    // It writes into what it parses, and a payload is lent.
    let mut simd = |payload: &[u8]| {
        copy.clear();
        copy.extend_from_slice(payload);
        simd_json::serde::from_slice_with_buffers::<T>(&mut copy, &mut buffers).is_ok()
    };
    let turns: Vec<[f64; 3]> = (0..TURNS)
        .map(|_| {
            [
                turn(&payloads, |payload| serde_json::from_slice::<T>(payload).is_ok()),
                turn(&payloads, |payload| sonic_rs::from_slice::<T>(payload).is_ok()),
                turn(&payloads, &mut simd),
            ]
        })
        .collect();
    let ns = median(turns.iter().map(|turn| turn[0]).collect());
    let [sonic, simd] = [1, 2].map(|of| median(turns.iter().map(|turn| turn[of] / turn[0]).collect()));
    let bytes = payloads[0].len();
    println!("{shape}, {bytes} bytes: serde_json {ns:.0} ns, sonic-rs {sonic:.2}, simd-json {simd:.2} of it");
}

fn main() {
    compare("a quote", quote);
    compare("an order of 3 lines", |n| order(n, 3));
    compare("an order of 40 lines", |n| order(n, 40));
}
