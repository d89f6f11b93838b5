//! The line that every contestant prints, and the time that it tells.

use std::time::Instant;

use hdrhistogram::Histogram;

use crate::args::Args;
use crate::quantiles::quantiles;

/// What a thread came to, and when it worked.
#[derive(Clone, Copy)]
pub struct Part {
    pub sum: u64,
    pub began: Instant,
    pub ended: Instant,
}

impl Part {
    /// A part that ends now.
    pub fn since(began: Instant, sum: u64) -> Part {
        Part { sum, began, ended: Instant::now() }
    }
}

/// Prints the line of several threads' work: from the first that began to the last that ended.
pub fn report_parts(peer: &str, args: &Args, parts: &[Part]) {
    let began = parts.iter().map(|part| part.began).min().expect("there is a thread");
    let ended = parts.iter().map(|part| part.ended).max().expect("there is a thread");
    let sum = parts.iter().fold(0u64, |sum, part| sum.wrapping_add(part.sum));
    report(peer, args, (ended - began).as_secs_f64(), sum);
}

/// Prints the line.
pub fn report(peer: &str, args: &Args, seconds: f64, checksum: u64) {
    println!("{}}}", head(peer, args, seconds, checksum));
}

/// Prints the line with latencies, which are in nanoseconds.
pub fn report_latency(peer: &str, args: &Args, seconds: f64, checksum: u64, latency: &Histogram<u64>) {
    let head = head(peer, args, seconds, checksum);
    println!("{head},\"rate\":{},{}}}", args.rate, quantiles(latency));
}

fn head(peer: &str, args: &Args, seconds: f64, checksum: u64) -> String {
    let Args { variant, batch, workload, parallelism, records, .. } = args;
    let rate = *records as f64 / seconds;
    format!(
        "{{\"peer\":\"{peer}\",\"variant\":\"{variant}\",\"batch\":{batch},\"workload\":\"{workload}\",\
         \"parallelism\":{parallelism},\"records\":{records},\"seconds\":{seconds:.6},\"records_per_s\":{rate:.0},\
         \"checksum\":\"{checksum:016x}\""
    )
}
