//! The steps of `keyed`.

use crate::args::Args;
use crate::splitmix64;

/// The number of keys that the compiler knows, as it does in slotflow's runner.
pub const KEYS: u64 = 100_000;

/// Key and value.
pub type Record = (u32, u32);

/// Which keys there are.
#[derive(Clone, Copy)]
pub struct Keys {
    count: u64,
    /// 0 if all keys are equally frequent.
    octaves: u32,
}

impl Keys {
    pub fn of(args: &Args) -> Keys {
        Keys { count: args.keys, octaves: if args.has("zipf") { (args.keys + 1).ilog2() } else { 0 } }
    }

    pub fn is_usual(&self) -> bool {
        self.octaves == 0 && self.count == KEYS
    }

    /// Record `i`.
    #[inline(always)]
    pub fn record(&self, i: u64) -> Record {
        let hash = splitmix64(i);
        let key = if self.octaves > 0 { zipf(hash, self.octaves) } else { hash % self.count };
        (key as u32, value(i))
    }

    /// Record `i` of the usual keys.
    #[inline(always)]
    pub fn usual(i: u64) -> Record {
        ((splitmix64(i) % KEYS) as u32, value(i))
    }
}

#[inline(always)]
fn value(i: u64) -> u32 {
    (i & 0xff) as u32
}

/// A key whose octave of ranks is as frequent as any other.
#[inline(always)]
fn zipf(hash: u64, octaves: u32) -> u64 {
    let octave = ((hash & 0xffff_ffff) * u64::from(octaves)) >> 32;
    ((1 << octave) | ((hash >> 32) & ((1 << octave) - 1))) - 1
}

/// What is emitted for every record.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Running {
    key: u32,
    value: u32,
    sum: u64,
    count: u64,
}

/// Adds a record to its key's sum and count.
#[inline(always)]
pub fn add(state: &mut (u64, u64), (key, value): Record) -> Running {
    *state = (state.0 + u64::from(value), state.1 + 1);
    Running { key, value, sum: state.0, count: state.1 }
}

/// A result's part of the checksum.
#[inline(always)]
pub fn checksum(running: &Running) -> u64 {
    let last = running.sum.wrapping_mul(u64::from(running.value));
    (2 * u64::from(running.key) + 1).wrapping_mul(running.count.wrapping_add(last))
}
