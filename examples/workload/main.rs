//! The workload runner: the benchmark workloads, written as a user would write the job.
//!
//! run: --workload keyed --records 200_000 --parallelism 2 --cores 0
//! run: --workload window --records 200_000 --parallelism 2 --cores 0
//! run: --workload sliding --records 200_000 --parallelism 2 --cores 0
//!
//! PERF.md says what each workload is, how it is measured and what came out. The definitions are
//! those of the contestants it is compared with: the same records, the same checksum.

mod args;
mod chain;
mod keyed;
mod latency;
mod report;
mod window;

use std::process::ExitCode;

use args::Args;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("warn").init();
    let outcome = Args::parse(std::env::args().skip(1)).and_then(|args| match args.workload.as_str() {
        "chain" => chain::run(&args).map(Some).map_err(|error| error.to_string()),
        "keyed" => keyed::run(&args).map(Some).map_err(|error| error.to_string()),
        "latency" => latency::run(&args).map(Some).map_err(|error| error.to_string()),
        "window" => window::run(&args, 100, 100).map(Some).map_err(|error| error.to_string()),
        "sliding" => window::run(&args, 1000, 10).map(Some).map_err(|error| error.to_string()),
        _ => Ok(None),
    });
    match outcome {
        Ok(Some(line)) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Ok(None) => {
            eprintln!("no such workload; there are chain, keyed, window, sliding and latency");
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
