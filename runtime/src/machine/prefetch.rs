//! Asks for memory before it is needed.
#![allow(unsafe_code)]

/// Lets the core fetch the cache line of this address, without waiting for it. There may be nothing there: a
/// guess will do. Changes nothing but time, and does nothing where the processor has no such instruction that Rust
/// knows.
#[inline(always)]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program could see and never faults; every x86-64
        // processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// How much memory a core fetches at once: 64 bytes on all that we know.
pub const CACHE_LINE: usize = 64;

/// As [`prefetch`], of a whole value of up to two cache lines: many a value lies across the border of two. Memory is
/// given out in multiples of 16 bytes at least, so small ones in a row do so too seldom to ask.
#[inline(always)]
pub fn prefetch_whole<T>(address: *const T) {
    prefetch(address);
    if size_of::<T>() > align_of::<T>().max(16) {
        prefetch(address.wrapping_add(1).cast::<u8>().wrapping_sub(1));
    }
}
