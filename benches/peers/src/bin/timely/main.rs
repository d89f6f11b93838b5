//! The same work in timely dataflow, on pinned threads.
//!
//! Batches are records between two steps. Timely has no backpressure, so a source waits when the job's end is too far
//! behind. It has no windows, so it shares those of the hand-written contestant and closes them by its frontiers.

mod chain;
mod keyed;
mod latency;
mod nexmark;
mod windows;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use peers::args::{Args, no_such_workload};
use peers::pin;
use peers::report::{Part, report_parts};
use timely::Config;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::progress::Timestamp;
use timely::worker::Worker;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records between two steps: within noise the same as 4,096 and 65,536, on machine A.
pub const BATCH: usize = 16_384;

/// What a thread does, in a dataflow that all threads build.
type Job = fn(&Args, &mut Worker) -> Part;

fn main() {
    let args = Args::parse();
    let job: Job = match args.workload.as_str() {
        "latency" => return latency::run(&args),
        _ if args.has("crossing") => no_such_workload(),
        "chain" => chain::run,
        "keyed" => keyed::run,
        "window" | "sliding" => windows::run,
        "q0" | "q1" | "q2" => nexmark::stateless,
        "q5" => nexmark::hottest,
        _ => no_such_workload(),
    };
    let parts = threads(args.parallelism, args.clone(), job);
    report_parts("timely", &args, &parts);
}

/// Runs a job on each of so many threads.
pub fn threads<R: Send + 'static>(count: usize, args: Args, job: fn(&Args, &mut Worker) -> R) -> Vec<R> {
    let config = if count == 1 { Config::thread() } else { Config::process(count) };
    let threads = timely::execute(config, move |thread| {
        pin(thread.index());
        job(&args, thread)
    });
    let threads = threads.expect("the configuration is right").join();
    threads.into_iter().map(|part| part.expect("a panic aborts")).collect()
}

/// The clock starts when all threads have built the dataflow.
pub fn start(thread: &mut Worker) -> Instant {
    timely::synchronization::Barrier::new(thread).wait();
    Instant::now()
}

/// Works until everything has come to its end.
pub fn finish(thread: &mut Worker) {
    while thread.has_dataflows() {
        thread.step_or_park(None);
    }
}

/// An operator that emits nothing.
pub type Nothing = CapacityContainerBuilder<Vec<()>>;

/// The sink: adds up checksums. What it gives stays empty and shows how far the job has come.
pub fn total<'scope, T: Timestamp, D: 'static>(
    stream: Stream<'scope, T, Vec<D>>,
    sum: &Rc<Cell<u64>>,
    checksum: impl Fn(&D) -> u64 + 'static,
) -> Stream<'scope, T, Vec<()>> {
    let sum = sum.clone();
    stream.unary::<Nothing, _, _, _>(Pipeline, "Sum", move |_, _| {
        move |input, _| {
            input.for_each_stamp(|_, batches| {
                let records = batches.flat_map(|batch| batch.drain(..));
                sum.set(records.fold(sum.get(), |sum, record| sum.wrapping_add(checksum(&record))));
            });
        }
    })
}
