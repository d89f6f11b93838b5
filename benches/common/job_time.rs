//! A job's own time: what is planned, started and joined around it does not count.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// From the first record that any source subtask makes to the last result that any sink subtask gets.
#[derive(Clone, Default)]
pub struct JobTime(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    began: Option<Instant>,
    took: Duration,
    total: u64,
}

impl JobTime {
    /// For each source subtask, before its first record.
    pub fn begin(&self) {
        self.ends().began.get_or_insert_with(Instant::now);
    }

    /// For each sink subtask, with its result.
    pub fn end(&self, result: u64) {
        let mut ends = self.ends();
        ends.took = ends.began.map_or(Duration::ZERO, |began| began.elapsed());
        ends.total = ends.total.wrapping_add(result);
    }

    /// What it came to, after the job.
    pub fn took(&self) -> Duration {
        self.ends().took
    }

    /// The sum of all results.
    pub fn total(&self) -> u64 {
        self.ends().total
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
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
