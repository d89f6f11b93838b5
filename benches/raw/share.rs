//! What share of a CPU a job takes at low rates, by idle policy.

use std::fs;
use std::time::Instant;

use slotflow::prelude::*;
use slotflow::runtime::config::Idle;

const RATES: [u64; 4] = [1, 1_000, 10_000, 100_000];

/// How long each job runs.
const SECONDS: u64 = 2;

pub fn run() {
    println!("\nshare\n| idle | 1 record/s | 1,000/s | 10,000/s | 100,000/s |\n|---|---|---|---|---|");
    for (name, idle) in [("spin", Idle::Spin), ("yield", Idle::Yield), ("park", Idle::Park)] {
        let shares = RATES.map(|rate| format!("{:.1} %", 100.0 * share(idle, rate)));
        println!("| {name} | {} |", shares.join(" | "));
    }
}

/// CPU time of all threads by the time that passes, for one slot with a source and a sink.
fn share(idle: Idle, rate: u64) -> f64 {
    let mut env = Environment::new().expect("the SLOTFLOW_* variables are right");
    env.config_mut().slots.idle = idle;
    let seen = Collected::new();
    env.source(generate(rate * SECONDS + 1, |i| i).rate(rate))
        .fold_at_end(0u64, |count, _| *count += 1)
        .sink(seen.sink());
    let (before_ns, began) = (cpu_ns(), Instant::now());
    let job = env.start("share").expect("there is a slot");
    std::thread::sleep(std::time::Duration::from_millis(SECONDS * 1000 - 100));
    let share = (cpu_ns() - before_ns) as f64 / began.elapsed().as_nanos() as f64;
    job.wait().expect("the job runs to its end");
    assert_eq!(seen.take(), [rate * SECONDS + 1], "every record has come");
    share
}

/// The process's CPU time so far, of the threads that there are.
fn cpu_ns() -> u64 {
    let threads = fs::read_dir("/proc/self/task").expect("the kernel tells");
    let times = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    times.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum()
}
