//! The steps of `chain`.

#[inline(always)]
pub fn multiply(x: u64) -> u64 {
    x.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (x >> 32)
}

#[inline(always)]
pub fn is_kept(x: &u64) -> bool {
    x & 3 != 0
}

#[inline(always)]
pub fn add_one(x: u64) -> u64 {
    x.wrapping_add(1)
}

/// The second record that the last step gives, if it gives one.
#[inline(always)]
pub fn eighth(x: u64) -> Option<u64> {
    (x & 7 == 0).then_some(x >> 3)
}

/// The one or two records of the last step.
#[inline(always)]
pub fn expand(x: u64) -> impl Iterator<Item = u64> + Clone {
    std::iter::once(x).chain(eighth(x))
}
