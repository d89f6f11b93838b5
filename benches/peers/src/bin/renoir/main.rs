//! The same work in Renoir. It gives each copy of each block a thread of its own and pins none, so a job with one
//! exchange and parallelism 2 has four.
//!
//! A variant is how records are put in batches: `fixed` (of `--batch`), `adaptive` (of that, or after 1 ms), `single`,
//! or `default`, Renoir's own. Without one it is `fixed` for throughput and `single` for `latency`.

mod aligned;
mod chain;
mod keyed;
mod latency;
mod nexmark;
mod windows;

use std::time::{Duration, Instant};

use peers::args::{Args, no_such_workload};
use peers::report::report;
use renoir::Stream;
use renoir::operator::Operator;
use renoir::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records of a fixed batch: better than 1,024 and Renoir's own, and as good as 65,536, on machine A.
const BATCH: usize = 8192;

fn main() {
    let args = Args::parse();
    let parallelism = if args.workload == "latency" { 1 } else { args.parallelism as u64 };
    let env = StreamContext::new(RuntimeConfig::local(parallelism).expect("at least 1"));
    match args.workload.as_str() {
        _ if args.has("crossing") || args.has("fanout") => no_such_workload(),
        "chain" => chain::run(&args, env),
        "keyed" => keyed::run(&args, env),
        "window" | "sliding" => windows::run(&args, env),
        "latency" => latency::run(&args, env),
        "q0" | "q1" | "q2" => nexmark::stateless(&args, env),
        "q5" => nexmark::hottest(&args, env),
        _ => no_such_workload(),
    }
}

/// How records are put in batches.
pub fn mode(args: &Args) -> BatchMode {
    let size = args.batch_or(BATCH);
    if args.has("default") {
        BatchMode::default()
    } else if args.has("adaptive") {
        BatchMode::adaptive(size, Duration::from_millis(1))
    } else if args.has("single") || args.workload == "latency" && !args.has("fixed") {
        BatchMode::single()
    } else {
        BatchMode::fixed(size)
    }
}

/// The sink: adds up checksums, runs the job and prints the line.
pub fn run(args: &Args, env: StreamContext, checksums: Stream<impl Operator<Out = u64> + 'static>) {
    let add = |sum: &mut u64, part| *sum = sum.wrapping_add(part);
    let sum = checksums.fold_assoc(0u64, add, add).collect_vec();
    let began = Instant::now();
    env.execute_blocking();
    let seconds = began.elapsed().as_secs_f64();
    let sum = sum.get().unwrap_or_default().into_iter().fold(0, u64::wrapping_add);
    report("renoir", args, seconds, sum);
}
