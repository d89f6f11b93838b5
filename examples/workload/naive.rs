//! Each workload's checksum by plain loops over all records, without an engine: `--verify yes` compares.

use std::collections::BTreeMap;

use crate::args::Args;
use crate::chain::splitmix64;
use crate::keyed::{Running, Shape};
use crate::{nexmark, window};

/// The checksum; none if there is no such workload.
pub fn sum(args: &Args) -> Option<u64> {
    match args.workload.as_str() {
        "chain" => Some(chain(args.records)),
        "keyed" | "latency" => Some(keyed(args)),
        "window" => Some(windows(args.records, 100, 100)),
        "sliding" => Some(windows(args.records, 1000, 10)),
        _ => nexmark::naive::sum(args),
    }
}

fn chain(records: u64) -> u64 {
    let mut sum = 0u64;
    for x in (0..records).map(splitmix64) {
        let x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (x >> 32);
        if !x.is_multiple_of(4) {
            let x = x.wrapping_add(1);
            let half = if x.is_multiple_of(8) { x >> 3 } else { 0 };
            sum = sum.wrapping_add(x).wrapping_add(half);
        }
    }
    sum
}

fn keyed(args: &Args) -> u64 {
    let shape = Shape::of(args);
    let mut states = BTreeMap::<u32, (u64, u64)>::new();
    let running = |i| {
        let (key, value) = shape.record(i);
        Running::step(states.entry(key).or_default(), key, value).checksum()
    };
    (0..args.records).map(running).fold(0, u64::wrapping_add)
}

fn windows(records: u64, size_ms: u64, slide_ms: u64) -> u64 {
    let mut windows = BTreeMap::<(u64, u32), (u32, u32)>::new();
    for reading in (0..records).map(window::reading) {
        let last_ms = u64::from(reading.time_ms) / slide_ms * slide_ms;
        for start_ms in (0..size_ms / slide_ms).map(|back| last_ms - back * slide_ms) {
            let (count, max) = windows.entry((start_ms, reading.key)).or_default();
            (*count, *max) = (*count + 1, reading.value.max(*max));
        }
    }
    let checksum = |((start_ms, key), (count, max))| window::checksum(start_ms, key, count, max);
    windows.into_iter().map(checksum).fold(0, u64::wrapping_add)
}
