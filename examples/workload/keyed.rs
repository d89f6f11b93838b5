//! `keyed`: an exchange by key, then a running sum and count for each key.

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

/// Record `i` of `keys` different keys.
#[inline(always)]
pub fn record(i: u64, keys: u64) -> (u32, u32) {
    ((splitmix64(i) % keys) as u32, (i & 0xff) as u32)
}

/// Runs it and gives the result's line.
pub fn run(args: &Args) -> Result<String> {
    let mut env = args.environment(args.parallelism)?;
    env.config_mut().job.best_effort = true;
    let outcome = Outcome::default();
    let (begin, end) = (outcome.clone(), outcome.clone());
    let job = match args.keys {
        // The usual number of keys is known to the compiler, as it is to the contestants'.
        100_000 => source(&env, args, begin, |i| record(i, 100_000), end),
        keys => source(&env, args, begin, move |i| record(i, keys), end),
    };
    job.map(|()| line(args, &outcome))
}

fn source(
    env: &Environment,
    args: &Args,
    begin: Outcome,
    make: impl FnMut(u64) -> (u32, u32) + Clone + Send + 'static,
    end: Outcome,
) -> Result<()> {
    env.source(generate(args.records, make).on_start(move |_, _| begin.begin()))
        .key_by(|(key, _)| *key)
        .map_with_state(|state: &mut (u64, u64), (key, value)| Running::step(state, key, value))
        .fold_at_end(0u64, |sum, running| *sum = sum.wrapping_add(running.checksum()))
        .sink(callback(move |sum| end.end(sum)));
    env.run("keyed").map(drop)
}
