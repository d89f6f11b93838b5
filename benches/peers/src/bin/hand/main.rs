//! The hand-written limit: plain loops on pinned threads, and rings with one writer and one reader between them.
//!
//! Variants: `hash` keeps state in a hash table, which whoever does not know the keys has to do; without it, state is
//! in arrays. Of `chain`, `batched` goes operator by operator over a small buffer. Of `keyed`, see `keyed.rs`.

mod chain;
mod keyed;
mod latency;
mod mesh;
mod nexmark;
mod windows;

use peers::args::{Args, no_such_workload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args = Args::parse();
    match args.workload.as_str() {
        "chain" => chain::run(&args),
        "keyed" => keyed::run(&args),
        "window" | "sliding" => windows::run(&args),
        "latency" => latency::run(&args),
        "q0" | "q1" | "q2" => nexmark::stateless(&args),
        "q5" => nexmark::hottest(&args),
        _ => no_such_workload(),
    }
}
