//! The records, the watermarks and the results of `window` and `sliding`.

use crate::splitmix64;

pub const KEYS: u32 = 1000;
/// Event time of record 0.
pub const BEGIN_MS: u32 = 1_000_000;
const RECORDS_PER_MS: u64 = 1000;
/// How far watermarks stay behind the greatest time.
const BEHIND_MS: u32 = 5;

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    pub time_ms: u32,
    pub key: u32,
    pub value: u32,
}

/// Record `i`: up to 2 ms early or late.
#[inline(always)]
pub fn reading(i: u64) -> Reading {
    let hash = splitmix64(i);
    let shuffled = (splitmix64(i ^ 0x5bd1_e995_0000_0000) >> 33) % 5;
    Reading {
        time_ms: BEGIN_MS + (i / RECORDS_PER_MS + shuffled) as u32 - 2,
        key: (hash % u64::from(KEYS)) as u32,
        value: (hash >> 40) as u32,
    }
}

/// Says a watermark whenever time has come further.
#[derive(Clone, Default)]
pub struct Progress(u32);

impl Progress {
    /// The time up to which, itself included, nothing comes any more; if that is new.
    #[inline(always)]
    pub fn watermark(&mut self, time_ms: u32) -> Option<u32> {
        if time_ms <= self.0 {
            return None;
        }
        self.0 = time_ms;
        Some(time_ms - BEHIND_MS)
    }
}

/// Size and slide of the windows of a workload, in milliseconds.
pub fn size_and_slide_ms(workload: &str) -> (u32, u32) {
    if workload == "window" { (100, 100) } else { (1000, 10) }
}

/// A window's count and maximum.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Fired {
    pub start_ms: u32,
    pub key: u32,
    pub count: u32,
    pub max: u32,
}

/// A result's part of the checksum.
#[inline(always)]
pub fn checksum(fired: &Fired) -> u64 {
    let start = u64::from(fired.start_ms).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let key = u64::from(fired.key).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    ((start ^ key) | 1).wrapping_mul(u64::from(fired.count) << 32 | u64::from(fired.max))
}
