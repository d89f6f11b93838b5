//! Keys and key groups, format v1.
//!
//! A key has canonical bytes; their XXH3-64 hash (seed 0) decides its key group,
//! `(hash * groups) >> 64`. Both are frozen: state that is stored by key group can be read by every
//! later version, and any program can compute where a key belongs. `std::hash::Hash` output is no
//! format: it may change with the compiler.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

/// Something records are grouped by.
///
/// Integers hash their little-endian bytes at their own width, strings and byte strings their bytes, and tuples the
/// hashes of their parts in order (eight little-endian bytes each).
///
/// ```
/// use slotflow_runtime::Key;
/// assert_eq!("word".hash(), String::from("word").hash());
/// assert_eq!("word".hash(), b"word"[..].hash());
/// assert_eq!(1u32.hash(), 1i32.hash());
/// ```
pub trait Key {
    /// The XXH3-64 hash of the key's canonical bytes.
    fn hash(&self) -> u64;
}

macro_rules! integer_keys {
    ($($integer:ty),*) => {$(
        impl Key for $integer {
            #[inline(always)]
            fn hash(&self) -> u64 {
                xxh3_64(&self.to_le_bytes())
            }
        }
    )*};
}
integer_keys!(u8, i8, u16, i16, u32, i32, u64, i64, u128, i128);

impl Key for bool {
    fn hash(&self) -> u64 {
        u8::from(*self).hash()
    }
}

impl Key for char {
    fn hash(&self) -> u64 {
        u32::from(*self).hash()
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
}

impl<K: Key + ?Sized> Key for Arc<K> {
    fn hash(&self) -> u64 {
        (**self).hash()
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
}

impl KeyGroups {
    /// Spreads `groups` over `parallelism` subtasks: group `g` goes to `g * parallelism / groups`.
    pub fn new(groups: usize, parallelism: usize) -> KeyGroups {
        KeyGroups { owner: (0..groups).map(|group| (group * parallelism / groups) as u16).collect() }
    }

    /// The subtask that owns a hash.
    #[inline(always)]
    pub fn subtask_of(&self, hash: u64) -> usize {
        self.owner[key_group(hash, self.owner.len())] as usize
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
