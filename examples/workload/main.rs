//! The workload runner: the benchmark workloads, written as a user would write the job.
//!
//! run: --workload chain --records 100_000 --cores 0 --verify yes
//! run: --workload keyed --records 200_000 --parallelism 2 --cores 0 --verify yes
//! run: --workload keyed --records 50_000 --parallelism 2 --cores 0 --variant zipf+crossing --keys 1_000 --verify yes
//! run: --workload keyed --records 50_000 --parallelism 4 --cores 0 --variant fanout --keys 2_000_000 --verify yes
//! run: --workload window --records 200_000 --parallelism 2 --cores 0 --verify yes
//! run: --workload sliding --records 10_000 --parallelism 2 --cores 0 --verify yes
//! run: --workload sliding --records 10_000 --parallelism 2 --cores 0 --variant reduce --verify yes
//! run: --workload latency --records 1_000 --rate 100_000 --warmup 0 --cores 0 --verify yes
//! run: --workload q0 --records 2_000 --parallelism 2 --cores 0 --verify yes
//! run: --workload q1 --records 2_000 --cores 0 --verify yes
//! run: --workload q2 --records 2_000 --parallelism 4 --cores 0 --verify yes
//! run: --workload q3 --records 10_000 --parallelism 2 --cores 0 --verify yes
//! run: --workload q4 --records 5_000 --parallelism 2 --cores 0 --verify yes
//! run: --workload q5 --records 10_000 --rate 500 --parallelism 2 --cores 0 --verify yes
//! run: --workload q7 --records 10_000 --rate 500 --parallelism 2 --cores 0 --verify yes
//! run: --workload q8 --records 10_000 --rate 500 --parallelism 2 --cores 0 --verify yes
//! run: --workload q9 --records 5_000 --parallelism 2 --cores 0 --verify yes
//! run: --workload q11 --records 10_000 --rate 100 --parallelism 2 --cores 0 --verify yes
//! run: --workload q12 --records 2_000 --parallelism 2 --cores 0 --verify yes
//!
//! PERF.md says what each workload is, how it is measured and what came out. The definitions are
//! those of the contestants it is compared with: the same records, the same checksum.

mod args;
mod chain;
mod keyed;
mod latency;
mod naive;
mod nexmark;
mod prepared;
mod report;
mod window;

use std::process::ExitCode;

use args::{Args, WORKLOADS};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("warn").init();
    match Args::parse(std::env::args().skip(1)).and_then(|args| verified(&args)) {
        Ok(Some(line)) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Ok(None) => {
            eprintln!("no such workload; {WORKLOADS}");
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what is asked for; none if there is no such workload.
fn run(args: &Args) -> slotflow::Result<Option<String>> {
    match args.workload.as_str() {
        "chain" => chain::run(args).map(Some),
        "keyed" => keyed::run(args).map(Some),
        "latency" => latency::run(args).map(Some),
        "window" => window::run(args, 100, 100).map(Some),
        "sliding" => window::run(args, 1000, 10).map(Some),
        _ => nexmark::run(args),
    }
}

/// Runs it and compares its checksum, if that is asked for, with that of plain loops.
fn verified(args: &Args) -> Result<Option<String>, String> {
    let line = run(args).map_err(|error| error.to_string())?;
    let naive = if args.verify { naive::sum(args) } else { None };
    match (line, naive) {
        (Some(line), Some(sum)) if !report::has_checksum(&line, sum) => {
            Err(format!("plain loops come to the checksum {sum:016x}, and the job said\n{line}"))
        }
        (line, _) => Ok(line),
    }
}
