//! What the engine takes of the process's memory for a job without state.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use slotflow::prelude::*;

use crate::job_time::splitmix64;

/// Enough that every ring has been gone round many times.
const RECORDS: u64 = 20_000_000;

/// A job of `parallelism` with an exchange of records of 32 bytes, the size at which rings are largest: what is
/// resident before it, and when its last record comes.
pub fn line(parallelism: usize) -> String {
    let env = Environment::new().expect("the SLOTFLOW_* variables are right").parallelism(parallelism);
    let most = Arc::new(AtomicU64::new(0));
    let seen = most.clone();
    let before = resident_kib();
    env.source(generate(RECORDS, |i| [splitmix64(i), i, i, i]))
        .rebalance()
        .fold_at_end(0u64, |count, _| *count += 1)
        .sink(callback(move |_: u64| {
            seen.fetch_max(resident_kib(), Relaxed);
        }));
    let explained = env.explain().expect("the plan is right").text();
    env.run("memory").expect("the job runs to its end");
    let took = most.load(Relaxed).saturating_sub(before);
    let rings = explained.lines().find(|line| line.contains("ring")).unwrap_or_default().trim();
    format!(
        "{{\"question\":\"memory\",\"size\":{parallelism},\"before_kib\":{before},\"engine_kib\":{took},\
         \"edge\":\"{rings}\"}}"
    )
}

/// What of the process is in memory, shared pages of its program left out.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let words = anonymous.and_then(|line| line.split_whitespace().next());
    words.and_then(|number| number.parse().ok()).expect("a number of KiB")
}
