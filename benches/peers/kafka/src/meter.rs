//! Times a stretch of records that are read.

use std::time::{Duration, Instant};

use crate::words::Words;

/// How long the first record of `drain` is kept, so that the consumer's queue is full when the clock begins: reading
/// ahead so much took a second at most.
const PAUSE: Duration = Duration::from_secs(4);

/// Sees each record that is read, until it has seen enough.
#[derive(Clone)]
pub struct Meter {
    workload: String,
    records: u64,
    seen: u64,
    sum: u64,
    began: Option<Instant>,
}

impl Meter {
    /// `source` times all records from the first one on, `drain` so many from a queue that is full.
    pub fn of(words: &Words) -> Meter {
        let workload = words.text("workload").to_string();
        Meter { workload, records: words.number("records"), seen: 0, sum: 0, began: None }
    }

    /// Sees a record's key; the line that is to be printed, when it was the last one.
    #[inline]
    pub fn see(&mut self, key: Option<&[u8]>) -> Option<String> {
        let began = *self.began.get_or_insert_with(|| begin(&self.workload));
        self.sum = self.sum.wrapping_add(u64::from_be_bytes(key?.try_into().ok()?));
        self.seen += 1;
        (self.seen == self.records).then(|| self.line(began.elapsed().as_secs_f64()))
    }

    #[cold]
    fn line(&self, seconds: f64) -> String {
        let Meter { records, sum, .. } = self;
        format!("{{\"records\":{records},\"seconds\":{seconds:.6},\"checksum\":\"{sum:016x}\"}}")
    }
}

#[cold]
fn begin(workload: &str) -> Instant {
    if workload == "drain" {
        std::thread::sleep(PAUSE);
    }
    Instant::now()
}
