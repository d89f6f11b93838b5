//! `window` and `sliding`: timely's time is event time in milliseconds.

use std::cell::Cell;
use std::rc::Rc;

use peers::args::Args;
use peers::panes::{Hashed, Panes};
use peers::reading::{BEGIN_MS, Progress, Reading, checksum, reading, size_and_slide_ms};
use peers::report::Part;
use peers::share;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

use crate::{BATCH, finish, start, total};

/// How far a source may be ahead of the sink, in milliseconds of event time.
const AHEAD_MS: u64 = 300;

/// Before any record's time.
const EARLIER_MS: u64 = 10;

pub fn run(args: &Args, thread: &mut Worker) -> Part {
    let (sum, probe) = (Rc::new(Cell::new(0)), ProbeHandle::new());
    let mut input: InputHandle<u64, _> = InputHandle::new();
    let workload = args.workload.clone();
    thread.dataflow::<u64, _, _>(|scope| {
        let by_key = Exchange::new(|reading: &Reading| u64::from(reading.key));
        let slide_ms = u64::from(size_and_slide_ms(&workload).1);
        let fired = input.to_stream(scope).unary_frontier(by_key, "Window", move |time, _| {
            let (mut held, mut panes) = (Some(time), Panes::new(&workload, Hashed::default()));
            move |(input, frontier), output| {
                input.for_each_stamp(|_, batches| {
                    let readings = batches.flat_map(|batch: &mut Vec<Reading>| batch.drain(..));
                    readings.for_each(|reading| panes.add(reading));
                });
                let Some(time) = held.as_mut() else { return };
                match frontier.frontier().first().map(|to_ms| to_ms / slide_ms * slide_ms) {
                    // Once a slide, so that the frontier behind does not move at every millisecond.
                    Some(to_ms) if to_ms > *time.time() => {
                        let mut session = output.session(&*time);
                        panes.advance(to_ms as u32 - 1, |fired| session.give(fired));
                        drop(session);
                        time.downgrade(&to_ms);
                    }
                    Some(_) => {}
                    None => {
                        let mut session = output.session(&*time);
                        panes.finish(|fired| session.give(fired));
                        drop(session);
                        held = None;
                    }
                }
            }
        });
        total(fired, &sum, checksum).probe_with(&probe);
    });
    input.advance_to(u64::from(BEGIN_MS) - EARLIER_MS);
    let mut readings = share(args.records, thread.index(), thread.peers()).map(reading).peekable();
    let began = start(thread);
    let mut progress = Progress::default();
    while readings.peek().is_some() {
        for reading in readings.by_ref().take(args.batch_or(BATCH)) {
            input.send(reading);
            if let Some(watermark_ms) = progress.watermark(reading.time_ms) {
                input.advance_to(u64::from(watermark_ms) + 1);
            }
        }
        thread.step();
        while probe.less_than(&(*input.time() - AHEAD_MS)) {
            thread.step();
        }
    }
    drop(input);
    finish(thread);
    Part::since(began, sum.get())
}
