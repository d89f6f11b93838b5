//! `window` and `sliding`: event time in disorder, an exchange by key, then count and maximum of windows.

use std::time::Duration;

use slotflow::prelude::*;

use crate::args::Args;
use crate::chain::splitmix64;
use crate::report::{Outcome, line};

const KEYS: u64 = 1000;

/// Event time of record 0; a multiple of both sizes.
const BEGIN_MS: u64 = 1_000_000;

const RECORDS_PER_MS: u64 = 1000;

/// How far watermarks stay behind. Disorder is up to 4 ms.
const BOUND: Duration = Duration::from_millis(5);

/// A record: its event time, its key and its value.
#[derive(Clone, Copy)]
pub struct Reading {
    pub time_ms: u32,
    pub key: u32,
    pub value: u32,
}

/// Record `i`.
#[inline(always)]
pub fn reading(i: u64) -> Reading {
    let hash = splitmix64(i);
    let jitter = (splitmix64(i ^ 0x5bd1_e995_0000_0000) >> 33) % 5;
    Reading {
        time_ms: (BEGIN_MS + i / RECORDS_PER_MS + jitter - 2) as u32,
        key: (hash % KEYS) as u32,
        value: (hash >> 40) as u32,
    }
}

/// Count and maximum.
#[derive(Clone)]
struct CountAndMax;

impl Aggregate<Reading> for CountAndMax {
    type Acc = (u32, u32);
    type Out = (u32, u32);

    #[inline(always)]
    fn create(&self) -> (u32, u32) {
        (0, 0)
    }
    #[inline(always)]
    fn add(&self, (count, max): &mut (u32, u32), reading: Reading) {
        *count += 1;
        *max = reading.value.max(*max);
    }
    #[inline(always)]
    fn result(&self, acc: &(u32, u32)) -> (u32, u32) {
        *acc
    }
}

impl Merge<Reading> for CountAndMax {
    #[inline(always)]
    fn merge(&self, into: &mut (u32, u32), other: &(u32, u32)) {
        *into = (into.0 + other.0, into.1.max(other.1));
    }
}

/// A record that stands for some: what they come to is one again.
#[derive(Clone, Copy)]
struct Counted {
    key: u32,
    count: u32,
    max: u32,
}

#[inline(always)]
fn joined(a: Counted, b: Counted) -> Counted {
    Counted { key: a.key, count: a.count + b.count, max: a.max.max(b.max) }
}

/// A result's part of the checksum, in any order.
#[inline(always)]
pub fn checksum(start_ms: u64, key: u32, count: u32, max: u32) -> u64 {
    let start = start_ms.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let key = u64::from(key).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    ((start ^ key) | 1).wrapping_mul(u64::from(count) << 32 | u64::from(max))
}

/// A window's part of it.
#[inline(always)]
fn part(window: &WindowResult<u32, (u32, u32)>) -> u64 {
    checksum(window.start as u64, window.key, window.value.0, window.value.1)
}

/// Runs it and gives the result's line.
pub fn run(args: &Args, size_ms: u64, slide_ms: u64) -> Result<String> {
    let mut env = args.environment(args.parallelism)?;
    env.config_mut().job.best_effort = true;
    let outcome = Outcome::default();
    let (begin, end) = (outcome.clone(), outcome.clone());
    let (size, slide) = (Duration::from_millis(size_ms), Duration::from_millis(slide_ms));
    let readings = env
        .source(generate(args.records, reading).on_start(move |_, _| begin.begin()))
        .with_timestamps(|reading| i64::from(reading.time_ms), Watermarks::bounded_out_of_orderness(BOUND));
    let windows = Sliding::of(size, slide);
    macro_rules! summed {
        ($results:expr) => {
            drop(
                $results
                    .fold_at_end(0u64, |sum, result| *sum = sum.wrapping_add(part(&result)))
                    .sink(callback(move |sum| end.end(sum))),
            )
        };
    }
    macro_rules! aggregated {
        () => {
            readings.key_by(|reading| reading.key).window(windows)
        };
    }
    macro_rules! reduced {
        () => {
            readings
                .map(|Reading { key, value, .. }| Counted { key, count: 1, max: value })
                .key_by(|reading| reading.key)
                .window(windows)
        };
    }
    let result = |it: WindowResult<u32, Counted>| WindowResult {
        key: it.key,
        start: it.start,
        end: it.end,
        value: (it.value.count, it.value.max),
    };
    match &*args.variant {
        "two-phases" => summed!(aggregated!().two_phases().aggregate(CountAndMax)),
        "reduce" => summed!(reduced!().reduce(joined).map(result)),
        "reduce+one-phase" => summed!(reduced!().one_phase().reduce(joined).map(result)),
        _ => summed!(aggregated!().aggregate(CountAndMax)),
    }
    env.run(&args.workload)?;
    Ok(line(args, &outcome))
}
