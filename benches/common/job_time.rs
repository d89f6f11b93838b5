//! A job's own time: what is planned, started and joined around it does not count.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// From the first record that any source subtask makes to the last result that any sink subtask gets.
#[derive(Clone, Default)]
pub struct JobTime(Arc<Mutex<(Option<Instant>, Duration)>>);

impl JobTime {
    /// For each source subtask, before its first record.
    pub fn begin(&self) {
        self.ends().0.get_or_insert_with(Instant::now);
    }

    /// For each sink subtask, with its result.
    pub fn end<R>(&self, result: R) {
        std::hint::black_box(result);
        let mut ends = self.ends();
        ends.1 = ends.0.map_or(Duration::ZERO, |began| began.elapsed());
    }

    /// What it came to, after the job.
    pub fn took(&self) -> Duration {
        self.ends().1
    }

    fn ends(&self) -> MutexGuard<'_, (Option<Instant>, Duration)> {
        self.0.lock().expect("no holder panics")
    }
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
#[inline(always)]
pub fn splitmix64(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
