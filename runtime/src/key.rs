//! Keys and key groups, format v1.
//!
//! A key's hash decides its key group, `(hash * groups) >> 64`. Both are frozen: state that is stored
//! by key group can be read by every later version, and any program can compute where a key belongs.
//! `std::hash::Hash` output is no format: it may change with the compiler.
//!
//! 1. Strings and byte strings: XXH3-64 of their bytes, seed 0.
//! 2. Integers up to 64 bits, extended to 64 bits without sign: wyhash's `mum`, the exclusive or of
//!    the two halves of the 128-bit product `(key ^ A) * B`. One multiplication, because it is
//!    computed for every record on both sides of an exchange.
//! 3. Wider integers: XXH3-64 of their little-endian bytes.
//! 4. Tuples: XXH3-64 of their parts' hashes, eight little-endian bytes each.

use std::num::NonZeroU64;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

/// wyhash's first two secrets (Wang Yi, wyhash final version 4).
const MUM: [u64; 2] = [0x2D35_8DCC_AA6C_78A5, 0x8BB8_4B93_962E_ACC9];

/// Something records are grouped by.
///
/// Implement it for a key type of your own by way of its parts, `(self.a, self.b).hash()`.
///
/// ```
/// use slotflow_runtime::Key;
/// assert_eq!("word".hash(), String::from("word").hash());
/// assert_eq!("word".hash(), b"word"[..].hash());
/// assert_eq!(1u32.hash(), 1i32.hash());
/// ```
pub trait Key {
    /// The key's hash, as the module's first lines define it.
    fn hash(&self) -> u64;

    /// The key as a number, if it is one: where keys are numbers near each other, state is found by them and not by
    /// hashes ([`values`](crate::values)). Keys of a type that wraps a number may pass it on. Equal keys have equal
    /// numbers, also where one is borrowed and the other is kept, as they have equal hashes; or one key has two states.
    /// Different keys should have different numbers: of those that do not, all but one are slow to find.
    #[inline(always)]
    fn number(&self) -> Option<u64> {
        None
    }
}

#[inline(always)]
fn mum(key: u64) -> u64 {
    let product = u128::from(key ^ MUM[0]) * u128::from(MUM[1]);
    product as u64 ^ (product >> 64) as u64
}

macro_rules! integer_keys {
    ($($integer:ty as $unsigned:ty),*) => {$(
        impl Key for $integer {
            #[inline(always)]
            fn hash(&self) -> u64 {
                mum(u64::from(*self as $unsigned))
            }
            #[inline(always)]
            fn number(&self) -> Option<u64> {
                Some(u64::from(*self as $unsigned))
            }
        }
    )*};
}
integer_keys!(u8 as u8, i8 as u8, u16 as u16, i16 as u16, u32 as u32, i32 as u32, u64 as u64, i64 as u64);

impl Key for u128 {
    fn hash(&self) -> u64 {
        xxh3_64(&self.to_le_bytes())
    }
}

/// The key of what is not grouped by any: all of it meets.
impl Key for () {
    #[inline(always)]
    fn hash(&self) -> u64 {
        0
    }
}

impl Key for bool {
    fn hash(&self) -> u64 {
        u8::from(*self).hash()
    }
}

impl Key for char {
    fn hash(&self) -> u64 {
        u32::from(*self).hash()
    }
    #[inline(always)]
    fn number(&self) -> Option<u64> {
        u32::from(*self).number()
    }
}

impl Key for [u8] {
    fn hash(&self) -> u64 {
        xxh3_64(self)
    }
}

impl<const N: usize> Key for [u8; N] {
    fn hash(&self) -> u64 {
        xxh3_64(self)
    }
}

impl Key for Vec<u8> {
    fn hash(&self) -> u64 {
        xxh3_64(self)
    }
}

impl Key for str {
    fn hash(&self) -> u64 {
        xxh3_64(self.as_bytes())
    }
}

impl Key for String {
    fn hash(&self) -> u64 {
        self.as_str().hash()
    }
}

impl<K: Key + ?Sized> Key for &K {
    #[inline(always)]
    fn hash(&self) -> u64 {
        (**self).hash()
    }
    #[inline(always)]
    fn number(&self) -> Option<u64> {
        (**self).number()
    }
}

impl<K: Key + ?Sized> Key for Arc<K> {
    fn hash(&self) -> u64 {
        (**self).hash()
    }
    fn number(&self) -> Option<u64> {
        (**self).number()
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn hash(&self) -> u64 {
        let mut parts = [0; 16];
        parts[..8].copy_from_slice(&self.0.hash().to_le_bytes());
        parts[8..].copy_from_slice(&self.1.hash().to_le_bytes());
        xxh3_64(&parts)
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn hash(&self) -> u64 {
        let mut parts = [0; 24];
        parts[..8].copy_from_slice(&self.0.hash().to_le_bytes());
        parts[8..16].copy_from_slice(&self.1.hash().to_le_bytes());
        parts[16..].copy_from_slice(&self.2.hash().to_le_bytes());
        xxh3_64(&parts)
    }
}

/// The key group of a hash among `groups`.
#[inline(always)]
pub fn key_group(hash: u64, groups: usize) -> usize {
    ((u128::from(hash) * groups as u128) >> 64) as usize
}

/// Which subtask owns which key group: contiguous ranges, as in Flink.
#[derive(Clone, Debug)]
pub struct KeyGroups {
    owner: Arc<[u16]>,
    /// The parallelism, if it divides the number of groups.
    even: Option<NonZeroU64>,
}

impl KeyGroups {
    /// Spreads `groups` over `parallelism` subtasks: group `g` goes to `g * parallelism / groups`.
    pub fn new(groups: usize, parallelism: usize) -> KeyGroups {
        let owner = (0..groups).map(|group| (group * parallelism / groups) as u16).collect();
        let even = groups.is_multiple_of(parallelism).then_some(parallelism as u64);
        KeyGroups { owner, even: even.and_then(NonZeroU64::new) }
    }

    /// The hashes that a subtask owns: the first one, and how many more follow it. Of a subtask without key
    /// groups, which no record reaches: all.
    pub fn hashes_of(&self, subtask: usize) -> (u64, u64) {
        let first_of = |group: usize| ((group as u128) << 64).div_ceil(self.owner.len() as u128);
        let first = self.owner.partition_point(|owner| usize::from(*owner) < subtask);
        let behind = self.owner.partition_point(|owner| usize::from(*owner) <= subtask);
        if first == behind {
            return (0, u64::MAX);
        }
        let begin = first_of(first) as u64;
        (begin, (first_of(behind) - 1) as u64 - begin)
    }

    /// The subtask that owns a hash.
    #[inline(always)]
    pub fn subtask_of(&self, hash: u64) -> usize {
        match self.even {
            // Where each subtask owns as many groups, the division of the hashes among the groups drops out.
            Some(parallelism) => ((u128::from(hash) * u128::from(parallelism.get())) >> 64) as usize,
            None => self.owner[key_group(hash, self.owner.len())] as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_frozen() {
        // Known answers: a change here makes stored state unreadable.
        assert_eq!("".hash(), 0x2D06_8005_38D3_94C2);
        assert_eq!(key_group(u64::MAX, 1024), 1023);
        assert_eq!(key_group(1 << 63, 1024), 512);
    }

    #[test]
    fn a_subtask_s_hashes_are_those_of_its_groups() {
        for (groups, parallelism) in [(1, 1), (7, 3), (1000, 6), (1024, 2), (1024, 64)] {
            let owners = KeyGroups::new(groups, parallelism);
            let mut next = 0u128;
            for subtask in 0..parallelism {
                let (first, more) = owners.hashes_of(subtask);
                assert_eq!(u128::from(first), next);
                assert_eq!((owners.subtask_of(first), owners.subtask_of(first + more)), (subtask, subtask));
                next = u128::from(first) + u128::from(more) + 1;
            }
            assert_eq!(next, 1 << 64);
        }
    }

    #[test]
    fn groups_are_spread_evenly_and_all_owned() {
        for parallelism in 1..=64 {
            let groups = KeyGroups::new(1024, parallelism);
            let mut owned = vec![0; parallelism];
            for group in 0..1024u64 {
                owned[groups.subtask_of(group << 54)] += 1;
            }
            let (least, most) = (owned.iter().min().unwrap(), owned.iter().max().unwrap());
            assert!(most - least <= 1, "{owned:?}");
        }
    }
}
