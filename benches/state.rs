//! How much memory does a key of value state take, and how long are the steps while state grows? Beside a hash map of
//! the same keys and values, which is what a hand-written job would have.
//!
//!   cargo bench --bench state            ten million keys
//!   cargo bench --bench state -- --test  a few, to see that it runs
//!
//! No criterion: each number is of one run that grows, and a step that is slow once is what is looked for.

#[path = "common/histogram.rs"]
mod histogram;

use std::collections::HashMap;
use std::hint::black_box;

use histogram::Steps;
use slotflow::prelude::*;
use slotflow::runtime::testing::subtask;
use slotflow::runtime::{Arena, Blame, Build};
use slotflow::testing::keyed_process;
use slotflow::{StateDescriptors, ValueState};

/// Records of a step: what one may always take in.
const STEP: u64 = 1024;

/// Counts the records of each key.
struct Count(ValueState<u64>);

impl KeyedProcessFunction<u64, u64> for Count {
    type Out = u64;
    fn process(&mut self, _: u64, ctx: &mut ProcessContext<'_, u64, u64>) {
        *self.0.value_or_default(ctx) += 1;
    }
}

/// Takes what nobody wants.
struct Nowhere;

impl Output<Owned<u64>> for Nowhere {
    fn push<'s>(&mut self, record: u64, _: &mut Context<'s>) {
        black_box(record);
    }
}

/// What the process has in memory, in bytes; 0 where there is no such file.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Runs `step` for each stretch of keys, and tells what they take and how long the steps were.
fn grow(name: &str, keys: u64, mut step: impl FnMut(std::ops::Range<u64>)) {
    let (before, mut steps) = (resident(), Steps::default());
    for first in (0..keys).step_by(STEP as usize) {
        steps.time(|| step(first..(first + STEP).min(keys)));
    }
    steps.show(name);
    println!("  {:.1} bytes a key", resident().saturating_sub(before) as f64 / keys as f64);
}

/// Key `n`, in no order.
fn key(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn value_state(keys: u64) -> Result<()> {
    let plan =
        keyed_process(|key: &u64| *key, |states: &mut StateDescriptors<'_>| Count(states.value("count")));
    let (arena, blame, place) = (Arena::new(), Blame::default(), subtask());
    let mut operator = Build::<Owned<u64>>::build(plan, &place)?;
    let mut ctx = Context::new(&arena, &place, &blame, 1);
    grow("value state", keys, |numbers| {
        numbers.for_each(|n| operator.process(key(n), &mut ctx, &mut Nowhere));
    });
    black_box(&operator);
    Ok(())
}

fn hash_map(keys: u64) {
    let mut counts = HashMap::<u64, u64>::new();
    grow("a hash map", keys, |numbers| {
        numbers.for_each(|n| *counts.entry(key(n)).or_default() += 1);
    });
    black_box(&counts);
}

fn main() -> Result<()> {
    let keys = if std::env::args().any(|argument| argument == "--test") { 100_000 } else { 10_000_000 };
    value_state(keys)?;
    hash_map(keys);
    Ok(())
}
