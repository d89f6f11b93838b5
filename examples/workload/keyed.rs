//! `keyed`: an exchange by key, then a running sum and count for each key.
//!
//! A variant is one word or several with `+` between them: `zipf`, keys of unequal frequency; `sparse`, keys that are
//! far from each other; `crossing`, sources in slots of their own, so that every record leaves its slot; `fanout`, one
//! source for all keyed subtasks.

use slotflow::prelude::*;

use crate::args::Args;
use crate::chain::splitmix64;
use crate::report::{Outcome, line};

/// What the keyed operator emits for every record.
pub struct Running {
    pub key: u32,
    pub value: u32,
    pub sum: u64,
    pub count: u64,
}

impl Running {
    /// Takes a record into its key's sum and count.
    #[inline(always)]
    pub fn step(state: &mut (u64, u64), key: u32, value: u32) -> Running {
        state.0 += u64::from(value);
        state.1 += 1;
        Running { key, value, sum: state.0, count: state.1 }
    }

    /// Its part of the checksum, which does not depend on the order in which sources race.
    #[inline(always)]
    pub fn checksum(&self) -> u64 {
        let weight = 2 * u64::from(self.key) + 1;
        weight.wrapping_mul(self.count.wrapping_add(self.sum.wrapping_mul(u64::from(self.value))))
    }
}

/// Record `i` of `keys` different keys that are equally frequent.
#[inline(always)]
pub fn record(i: u64, keys: u64) -> (u32, u32) {
    ((splitmix64(i) % keys) as u32, (i & 0xff) as u32)
}

/// Record `i` of at most `2^octaves - 1` keys whose frequency falls with their rank: each octave of ranks, 1, 2 to 3, 4
/// to 7 and so on, is as frequent as any other. That is Zipf's law with exponent 1, in steps, and needs no fractions.
#[inline(always)]
fn zipf(i: u64, octaves: u32) -> (u32, u32) {
    let hash = splitmix64(i);
    let octave = ((hash & 0xffff_ffff) * u64::from(octaves)) >> 32;
    let rank = (1 << octave) | ((hash >> 32) & ((1 << octave) - 1));
    (rank as u32 - 1, (i & 0xff) as u32)
}

/// Which keys there are.
#[derive(Clone, Copy)]
pub struct Shape {
    keys: u64,
    /// 0 if all keys are equally frequent.
    octaves: u32,
    /// What each key is multiplied by.
    apart: u32,
}

/// 2^32 divided by the golden ratio: multiples of it are as far from each other as can be (Knuth, TAOCP 3, 6.4).
const FAR: u32 = 0x9E37_79B9;

impl Shape {
    pub fn of(args: &Args) -> Shape {
        let octaves = if args.has("zipf") { (args.keys + 1).ilog2() } else { 0 };
        Shape { keys: args.keys, octaves, apart: if args.has("sparse") { FAR } else { 1 } }
    }

    #[inline(always)]
    pub fn record(&self, i: u64) -> (u32, u32) {
        let (key, value) = if self.octaves > 0 { zipf(i, self.octaves) } else { record(i, self.keys) };
        (key.wrapping_mul(self.apart), value)
    }
}

/// Runs it and gives the result's line.
pub fn run(args: &Args) -> Result<String> {
    let slots = args.parallelism * if args.has("crossing") { 2 } else { 1 };
    let mut env = args.environment(slots)?;
    env.config_mut().job.best_effort = true;
    let outcome = Outcome::default();
    if args.has("crossing") || args.has("fanout") {
        apart(&env, args, outcome.clone())?;
    } else if args.has("sparse") && args.keys == 100_000 {
        let far = |(key, value): (u32, u32)| (key.wrapping_mul(FAR), value);
        together(&env, args, outcome.clone(), move |i| far(record(i, 100_000)))?;
    } else if args.has("zipf") || args.keys != 100_000 {
        let shape = Shape::of(args);
        together(&env, args, outcome.clone(), move |i| shape.record(i))?;
    } else {
        // The usual number of keys is known to the compiler, as it is to the contestants'.
        together(&env, args, outcome.clone(), |i| record(i, 100_000))?;
    }
    Ok(line(args, &outcome))
}

/// Each slot has a source subtask and a keyed one.
fn together(
    env: &Environment,
    args: &Args,
    outcome: Outcome,
    make: impl FnMut(u64) -> (u32, u32) + Clone + Send + 'static,
) -> Result<()> {
    let begin = outcome.clone();
    env.source(generate(args.records, make).on_start(move |_, _| begin.begin()))
        .key_by(|(key, _)| *key)
        .map_with_state(|state: &mut (u64, u64), (key, value)| Running::step(state, key, value))
        .fold_at_end(0u64, |sum, running| *sum = sum.wrapping_add(running.checksum()))
        .sink(callback(move |sum| outcome.end(sum)));
    env.run("keyed").map(drop)
}

/// Sources are fewer than keyed subtasks, or in slots of their own.
fn apart(env: &Environment, args: &Args, outcome: Outcome) -> Result<()> {
    let (begin, shape) = (outcome.clone(), Shape::of(args));
    let sources = if args.has("fanout") { 1 } else { args.parallelism };
    let group = if args.has("crossing") { "sources" } else { "default" };
    env.source(generate(args.records, move |i| shape.record(i)).on_start(move |_, _| begin.begin()))
        .parallelism(sources)
        .slot_sharing_group(group)
        .key_by(|(key, _)| *key)
        .map_with_state(|state: &mut (u64, u64), (key, value)| Running::step(state, key, value))
        .slot_sharing_group("default")
        .fold_at_end(0u64, |sum, running| *sum = sum.wrapping_add(running.checksum()))
        .sink(callback(move |sum| outcome.end(sum)));
    env.run("keyed").map(drop)
}
