//! `chain`: five operators without an exchange.

use slotflow::prelude::*;

use crate::args::Args;
use crate::report::{Outcome, line};

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
#[inline(always)]
pub fn splitmix64(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Runs it and gives the result's line.
pub fn run(args: &Args) -> Result<String> {
    let env = args.environment(args.parallelism)?;
    let outcome = Outcome::default();
    let (begin, end) = (outcome.clone(), outcome.clone());
    let source = generate(args.records, splitmix64).on_start(move |_, _| begin.begin());
    env.source(source)
        .map(|x| x.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (x >> 32))
        .filter(|x| x & 3 != 0)
        .map(|x| x.wrapping_add(1))
        .flat_map_with(|x, out| {
            out.push(x);
            if x % 8 == 0 {
                out.push(x >> 3);
            }
        })
        .fold_at_end(0u64, |sum, x| *sum = sum.wrapping_add(x))
        .sink(callback(move |sum| end.end(sum)));
    env.run("chain")?;
    Ok(line(args, &outcome))
}
