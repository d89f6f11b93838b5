//! The null pipeline: the same source, and the sink is called at once. What it takes, every contestant takes.
//!
//! Of `latency` it shows what the machine alone does to a thread that spins, so that tails can be told as an excess.

use std::time::Instant;

use peers::args::{Args, no_such_workload};
use peers::due::{Schedule, Seen, wait_until};
use peers::keyed::{self, Keys};
use peers::report::{report, report_latency};
use peers::{pin, splitmix64};
use rustc_hash::FxHashMap;

fn main() {
    let args = Args::parse();
    pin(0);
    match args.workload.as_str() {
        "chain" => chain(&args),
        "keyed" => keyed(&args),
        "latency" => latency(&args),
        _ => no_such_workload(),
    }
}

/// Makes the records and adds them up; the checksum is that of no other contestant.
fn chain(args: &Args) {
    let began = Instant::now();
    let sum = (0..args.records).map(splitmix64).fold(0, u64::wrapping_add);
    report("null", args, began.elapsed().as_secs_f64(), sum);
}

/// As `chain`, with the records of `keyed`.
fn keyed(args: &Args) {
    let keys = Keys::of(args);
    let began = Instant::now();
    let records = (0..args.records).map(|i| keys.record(i));
    let sum = records.fold(0u64, |sum, (key, value)| sum.wrapping_add(u64::from(key ^ value)));
    report("null", args, began.elapsed().as_secs_f64(), sum);
}

/// Source, state and sink in one loop, so that no record crosses anything.
fn latency(args: &Args) {
    let (schedule, began) = (Schedule::of(args), Instant::now());
    let (mut seen, mut states) = (Seen::new(began, args), FxHashMap::default());
    for i in 0..schedule.records {
        let due = schedule.at(i);
        wait_until(began, due.due_ns);
        let running = keyed::add(states.entry(due.record.0).or_default(), due.record);
        seen.see(due.due_ns, &running);
    }
    report_latency("null", args, began.elapsed().as_secs_f64(), seen.sum, &seen.latency);
}
