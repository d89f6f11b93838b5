//! `latency`: the source on one thread, the keyed operator and the sink on another; both spin.
//!
//! Whatever is due is sent, then the epoch goes on to the clock's nanosecond: flushing alone leaves records in the
//! exchange's buffers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Instant;

use peers::args::Args;
use peers::due::{Due, Schedule, Seen};
use peers::keyed::{Running, add};
use peers::report::report_latency;
use rustc_hash::FxHashMap;
use timely::dataflow::InputHandle;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;
use timely::worker::Worker;

use crate::{start, threads};

/// Records between two steps, at most.
const BATCH: u64 = 1024;

/// Which of the two threads has the sink.
const SINK: u64 = 1;

/// When both threads began, by one clock.
static BEGAN: OnceLock<Instant> = OnceLock::new();

pub fn run(args: &Args) {
    let seen = threads(2, args.clone(), thread);
    let seen = &seen[SINK as usize];
    let seconds = BEGAN.get().map_or(0.0, |began| began.elapsed().as_secs_f64());
    report_latency("timely", args, seconds, seen.sum, &seen.latency);
}

fn thread(args: &Args, thread: &mut Worker) -> Seen {
    let seen = Rc::new(RefCell::new(None::<Seen>));
    let mut input: InputHandle<u64, _> = InputHandle::new();
    let (sink, sink_args) = (seen.clone(), args.clone());
    thread.dataflow::<u64, _, _>(|scope| {
        let running = input.to_stream(scope).unary(Exchange::new(|_: &Due| SINK), "Keyed", |_, _| {
            let mut states = FxHashMap::<u32, (u64, u64)>::default();
            move |input, output| {
                input.for_each_stamp(|time, batches| {
                    let mut session = output.session(&time);
                    for due in batches.flat_map(|batch: &mut Vec<Due>| batch.drain(..)) {
                        let running = add(states.entry(due.record.0).or_default(), due.record);
                        session.give((due.due_ns, running));
                    }
                });
            }
        });
        running.sink(Pipeline, "Sink", move |(input, _)| {
            input.for_each_stamp(|_, batches| {
                let mut seen = sink.borrow_mut();
                let seen = seen.get_or_insert_with(|| Seen::new(began(), &sink_args));
                let running = batches.flat_map(|batch: &mut Vec<(u64, Running)>| batch.drain(..));
                running.for_each(|(due_ns, running)| seen.see(due_ns, &running));
            });
        });
    });
    start(thread);
    if thread.index() as u64 != SINK {
        make(Schedule::of(args), &mut input, thread);
    }
    drop(input);
    // Not parked: the sink spins.
    while thread.has_dataflows() {
        thread.step();
    }
    seen.take().unwrap_or_else(|| Seen::new(began(), args))
}

/// The source may send before the sink's thread has left the barrier, so whoever comes first sets the clock.
fn began() -> Instant {
    *BEGAN.get_or_init(Instant::now)
}

fn make(
    schedule: Schedule,
    input: &mut InputHandle<u64, timely::container::CapacityContainerBuilder<Vec<Due>>>,
    thread: &mut Worker,
) {
    let (began, mut i) = (began(), 0);
    while i < schedule.records {
        let now_ns = began.elapsed().as_nanos() as u64;
        let last = schedule.records.min(i + BATCH);
        let from = i;
        for due in (from..last).map(|i| schedule.at(i)).take_while(|due| due.due_ns <= now_ns) {
            input.send(due);
            i += 1;
        }
        if i > from {
            input.advance_to(now_ns.max(1));
            thread.step();
        }
    }
}
