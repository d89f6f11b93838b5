//! `keyed`: an exchange by key, then state in a hash table. An epoch is a batch.

use std::cell::Cell;
use std::rc::Rc;

use peers::args::Args;
use peers::keyed::{Keys, Record, add, checksum};
use peers::report::Part;
use peers::share;
use rustc_hash::FxHashMap;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use crate::{BATCH, finish, start, total};

/// Epochs that a source may be ahead of the sink.
const AHEAD: u64 = 4;

pub fn run(args: &Args, thread: &mut Worker) -> Part {
    let (sum, probe) = (Rc::new(Cell::new(0)), ProbeHandle::new());
    let mut input: InputHandle<u64, _> = InputHandle::new();
    thread.dataflow::<u64, _, _>(|scope| {
        let by_key = Exchange::new(|record: &Record| u64::from(record.0));
        let running = input.to_stream(scope).unary(by_key, "Keyed", |_, _| {
            let mut states = FxHashMap::<u32, (u64, u64)>::default();
            move |input, output| {
                input.for_each_stamp(|time, batches| {
                    let mut session = output.session(&time);
                    for record in batches.flat_map(|batch: &mut Vec<Record>| batch.drain(..)) {
                        session.give(add(states.entry(record.0).or_default(), record));
                    }
                });
            }
        });
        total(running, &sum, checksum).probe_with(&probe);
    });
    let keys = Keys::of(args);
    let makers = if args.has("fanout") { 1 } else { thread.peers() };
    let count = if thread.index() < makers { args.records } else { 0 };
    let mut records = share(count, thread.index(), makers).map(move |i| keys.record(i)).peekable();
    let began = start(thread);
    let mut epoch = 0;
    while records.peek().is_some() {
        records.by_ref().take(args.batch_or(BATCH)).for_each(|record| input.send(record));
        epoch += 1;
        input.advance_to(epoch);
        thread.step();
        while epoch > AHEAD && probe.less_than(&(epoch - AHEAD)) {
            thread.step();
        }
    }
    drop(input);
    finish(thread);
    Part::since(began, sum.get())
}
