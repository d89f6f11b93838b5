//! The steps of `latency`: a record that is due at a time, and what its lateness is counted with.

use std::time::Instant;

use hdrhistogram::Histogram;

use crate::args::Args;
use crate::keyed::{self, Keys, Record, Running};

/// A record, and when it is due, in nanoseconds since the beginning.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Due {
    pub record: Record,
    pub due_ns: u64,
}

/// When which records are due.
#[derive(Clone, Copy)]
pub struct Schedule {
    keys: Keys,
    rate: u64,
    pub records: u64,
}

impl Schedule {
    pub fn of(args: &Args) -> Schedule {
        Schedule { keys: Keys::of(args), rate: args.rate, records: args.records }
    }

    /// Record `i` is due at `i / rate`.
    #[inline(always)]
    pub fn at(&self, i: u64) -> Due {
        let due_ns = u128::from(i) * 1_000_000_000 / u128::from(self.rate);
        Due { record: self.keys.record(i), due_ns: due_ns as u64 }
    }
}

/// What the sink has seen.
pub struct Seen {
    began: Instant,
    warmup_ns: u64,
    pub sum: u64,
    pub latency: Histogram<u64>,
}

impl Seen {
    pub fn new(began: Instant, args: &Args) -> Seen {
        let latency = Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are in order");
        Seen { began, warmup_ns: (args.warmup_s * 1e9) as u64, sum: 0, latency }
    }

    /// The sink: counts from the moment the record was due, so a source that is late counts.
    #[inline]
    pub fn see(&mut self, due_ns: u64, running: &Running) {
        self.sum = self.sum.wrapping_add(keyed::checksum(running));
        let now_ns = self.began.elapsed().as_nanos() as u64;
        if due_ns >= self.warmup_ns {
            self.latency.saturating_record(now_ns.saturating_sub(due_ns).max(1));
        }
    }
}

/// Spins until a record is due.
#[inline]
pub fn wait_until(began: Instant, due_ns: u64) {
    while (began.elapsed().as_nanos() as u64) < due_ns {
        std::hint::spin_loop();
    }
}
