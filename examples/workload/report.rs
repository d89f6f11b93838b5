//! The line that every contestant prints.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::args::Args;

/// What the subtasks agree on: when the first of them began and the last one ended, and the sum.
#[derive(Clone, Default)]
pub struct Outcome(Arc<Mutex<Totals>>);

#[derive(Default)]
struct Totals {
    began: Option<Instant>,
    took: Duration,
    checksum: u64,
}

impl Outcome {
    /// Called by each source subtask before its first record.
    pub fn begin(&self) {
        self.totals().began.get_or_insert_with(Instant::now);
    }

    /// Called by each sink subtask with its sum when its last result is in: the clock runs to the
    /// last of them, as it does for every contestant.
    pub fn end(&self, sum: u64) {
        let mut totals = self.totals();
        totals.took = totals.began.map_or(Duration::ZERO, |began| began.elapsed());
        totals.checksum = totals.checksum.wrapping_add(sum);
    }

    fn totals(&self) -> std::sync::MutexGuard<'_, Totals> {
        self.0.lock().expect("no holder panics")
    }
}

/// Whether this is the checksum of a line.
pub fn has_checksum(line: &str, checksum: u64) -> bool {
    line.contains(&format!("\"checksum\":\"{checksum:016x}\""))
}

/// The line, without latencies.
pub fn line(args: &Args, outcome: &Outcome) -> String {
    format!("{}}}", head(args, outcome))
}

/// The line, with latencies in nanoseconds.
pub fn latency_line(args: &Args, outcome: &Outcome, latency: &Histogram<u64>) -> String {
    let us = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "{},\"rate\":{},\"samples\":{},\"p50_us\":{:.3},\"p99_us\":{:.3},\"p999_us\":{:.3},\
         \"p9999_us\":{:.3},\"max_us\":{:.3}}}",
        head(args, outcome),
        args.rate,
        latency.len(),
        us(0.5),
        us(0.99),
        us(0.999),
        us(0.9999),
        latency.max() as f64 / 1000.0
    )
}

fn head(args: &Args, outcome: &Outcome) -> String {
    let Totals { took, checksum, .. } = *outcome.totals();
    let Args { variant, batch, workload, parallelism, records, .. } = args;
    let seconds = took.as_secs_f64();
    let rate = *records as f64 / seconds;
    format!(
        "{{\"peer\":\"slotflow\",\"variant\":\"{variant}\",\"batch\":{batch},\"workload\":\"{workload}\",\
         \"parallelism\":{parallelism},\"records\":{records},\"seconds\":{seconds:.6},\"records_per_s\":{rate:.0},\
         \"checksum\":\"{checksum:016x}\""
    )
}
