//! The line that every contestant prints.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::args::Args;

/// When the first subtask made its first record.
#[derive(Clone, Default)]
pub struct Stopwatch(Arc<Mutex<Option<Instant>>>);

impl Stopwatch {
    /// Called by each source subtask with its first record.
    pub fn begin(&self) {
        let mut began = self.0.lock().expect("no holder panics");
        began.get_or_insert_with(Instant::now);
    }

    /// Since the first of them.
    pub fn elapsed(&self) -> Duration {
        self.0.lock().expect("no holder panics").map_or(Duration::ZERO, |began| began.elapsed())
    }
}

/// A wrapping sum over the results of all subtasks.
#[derive(Clone, Default)]
pub struct Checksum(Arc<AtomicU64>);

impl Checksum {
    /// Adds one subtask's sum.
    pub fn add(&self, sum: u64) {
        self.0.fetch_add(sum, Relaxed);
    }
}

/// The line, without latencies.
pub fn line(args: &Args, took: Duration, checksum: &Checksum) -> String {
    format!("{}}}", head(args, took, checksum))
}

/// The line, with latencies in nanoseconds.
pub fn latency_line(args: &Args, took: Duration, checksum: &Checksum, latency: &Histogram<u64>) -> String {
    let us = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "{},\"rate\":{},\"samples\":{},\"p50_us\":{:.3},\"p99_us\":{:.3},\"p999_us\":{:.3},\"p9999_us\":{:.3},\"max_us\":{:.3}}}",
        head(args, took, checksum),
        args.rate,
        latency.len(),
        us(0.5),
        us(0.99),
        us(0.999),
        us(0.9999),
        latency.max() as f64 / 1000.0
    )
}

fn head(args: &Args, took: Duration, checksum: &Checksum) -> String {
    let Args { variant, batch, workload, parallelism, records, .. } = args;
    let seconds = took.as_secs_f64();
    let rate = *records as f64 / seconds;
    let checksum = checksum.0.load(Relaxed);
    format!(
        "{{\"peer\":\"slotflow\",\"variant\":\"{variant}\",\"batch\":{batch},\"workload\":\"{workload}\",\
         \"parallelism\":{parallelism},\"records\":{records},\"seconds\":{seconds:.6},\"records_per_s\":{rate:.0},\
         \"checksum\":\"{checksum:016x}\""
    )
}
