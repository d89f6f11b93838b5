//! The same work on a tokio runtime with pinned threads: a source and a keyed operator are spawned for each thread, and
//! bounded queues carry batches between them. What is in one of them is one loop, which nobody gets from an engine.
//!
//! A batch is the number of records in a message; 1 is what is written first.

mod chain;
mod keyed;
mod latency;
mod nexmark;
mod windows;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use peers::args::{Args, no_such_workload};
use peers::pin;
use peers::report::report;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages that a queue holds: a guess, enough that neither end waits for the other's turn.
pub const DEPTH: usize = 64;

/// Records in a message: the best of 256 to 8,192, on machine A; `keyed` has its own.
pub const BATCH: usize = 1024;

fn main() {
    let args = Args::parse();
    // A source and a sink that spin need a thread each.
    let threads = if args.workload == "latency" { 2 } else { args.parallelism };
    let next = AtomicUsize::new(0);
    let pin_next = move || pin(next.fetch_add(1, Relaxed));
    let runtime = Builder::new_multi_thread().worker_threads(threads).on_thread_start(pin_next).build();
    // Spawned, so that the main thread, which is not pinned, has no part in the work.
    let job = async { tokio::spawn(run(args)).await.expect("a panic aborts") };
    runtime.expect("the runtime starts").block_on(job);
}

async fn run(args: Args) {
    match args.workload.as_str() {
        "latency" => latency::run(&args).await,
        _ if args.has("crossing") => no_such_workload(),
        "chain" => chain::run(&args).await,
        "keyed" => keyed::run(&args).await,
        "window" | "sliding" => windows::run(&args).await,
        "q0" | "q1" | "q2" => nexmark::stateless(&args).await,
        "q5" => nexmark::hottest(&args).await,
        _ => no_such_workload(),
    }
}

/// A queue to each target, for each of several origins.
pub fn mesh<T>(origins: usize, targets: usize) -> (Vec<Vec<Sender<T>>>, Vec<Receiver<T>>) {
    let (to, from): (Vec<_>, Vec<_>) = (0..targets).map(|_| channel(DEPTH)).unzip();
    (vec![to; origins], from)
}

/// Waits for the sums and prints the line.
pub async fn finish(args: &Args, began: Instant, sums: Vec<JoinHandle<u64>>) {
    let mut total = 0u64;
    for sum in sums {
        total = total.wrapping_add(sum.await.expect("a panic aborts"));
    }
    report("tokio", args, began.elapsed().as_secs_f64(), total);
}

/// Sends the batch if it is full, and begins a new one.
pub async fn send_if_full<T>(to: &Sender<Vec<T>>, batch: &mut Vec<T>, size: usize) {
    if batch.len() == size {
        let full = std::mem::replace(batch, Vec::with_capacity(size));
        let _gone = to.send(full).await;
    }
}
