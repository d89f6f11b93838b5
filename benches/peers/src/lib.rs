//! What all contestants share: the workloads' definitions, the command line and the line that is printed.
//!
//! PERF.md defines the workloads. Each of these functions is the work of one step, so that contestants differ in how
//! records get from one step to the next, and in nothing else. Equal checksums mean equal work.

pub mod args;
pub mod chain;
pub mod due;
pub mod keyed;
pub mod nexmark;
pub mod panes;
pub mod quantiles;
pub mod reading;
pub mod report;

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
#[inline(always)]
pub fn splitmix64(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The numbers of the records that thread `index` of `stride` makes, below `count`.
pub fn share(count: u64, index: usize, stride: usize) -> impl Iterator<Item = u64> + Send + 'static {
    (0..count).skip(index).step_by(stride)
}

/// How many those are.
pub fn share_len(count: u64, index: usize, stride: usize) -> u64 {
    count.saturating_sub(index as u64).div_ceil(stride as u64)
}

/// Keeps the calling thread on a core, the first for the first thread and so on, as long as there are cores.
pub fn pin(thread: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if !cores.is_empty() {
        core_affinity::set_for_current(cores[thread % cores.len()]);
    }
}
