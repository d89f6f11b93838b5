//! Records of several sizes.

use crate::job_time::splitmix64;

/// What crosses the edge.
pub trait Record: Copy + Send + 'static {
    /// Record `i`.
    fn new(i: u64) -> Self;
    /// What is summed, and hashed.
    fn value(&self) -> u64;
}

impl Record for u64 {
    #[inline(always)]
    fn new(i: u64) -> u64 {
        splitmix64(i)
    }

    #[inline(always)]
    fn value(&self) -> u64 {
        *self
    }
}

impl<const N: usize> Record for [u64; N] {
    #[inline(always)]
    fn new(i: u64) -> [u64; N] {
        [splitmix64(i); N]
    }

    #[inline(always)]
    fn value(&self) -> u64 {
        self[0]
    }
}
