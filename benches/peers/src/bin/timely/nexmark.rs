//! Nexmark's q0, q1, q2 and q5.

use std::cell::Cell;
use std::rc::Rc;

use peers::args::Args;
use peers::nexmark::{
    BEGIN_MS, Bid, Hot, HotWindows, SLIDE_MS, WINDOW_MS, bid, events, hot_checksum, in_euros, is_selected,
    priced_checksum, same_price, selected_checksum,
};
use peers::report::Part;
use rustc_hash::FxHashMap;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::{Filter, Map};
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandle, ProbeHandle, Stream};
use timely::worker::Worker;

use crate::{Nothing, finish, start, total};

/// Events between two steps.
const BATCH: usize = 1024;

/// How far a source may be ahead of the sink, in milliseconds of event time.
const AHEAD_MS: u64 = 3000;

pub fn stateless(args: &Args, thread: &mut Worker) -> Part {
    let sum = Rc::new(Cell::new(0));
    let mut input: InputHandle<u64, _> = InputHandle::new();
    let query = args.workload.clone();
    thread.dataflow::<u64, _, _>(|scope| {
        let bids = input.to_stream(scope).flat_map(bid);
        match query.as_str() {
            "q0" => total(bids.map(same_price), &sum, priced_checksum),
            "q1" => total(bids.map(in_euros), &sum, priced_checksum),
            _ => total(bids.filter(is_selected), &sum, selected_checksum),
        };
    });
    let mut events = events(args, thread.index()).into_iter();
    let began = start(thread);
    while events.len() > 0 {
        events.by_ref().take(args.batch_or(BATCH)).for_each(|event| input.send(event));
        thread.step();
    }
    drop(input);
    finish(thread);
    Part::since(began, sum.get())
}

pub fn hottest(args: &Args, thread: &mut Worker) -> Part {
    let (sum, probe) = (Rc::new(Cell::new(0)), ProbeHandle::new());
    let mut input: InputHandle<u64, _> = InputHandle::new();
    thread.dataflow::<u64, _, _>(|scope| {
        let bids = input.to_stream(scope).flat_map(bid);
        best(counts(bids), &sum).probe_with(&probe);
    });
    input.advance_to(BEGIN_MS);
    let mut events = events(args, thread.index()).into_iter();
    let began = start(thread);
    while events.len() > 0 {
        for event in events.by_ref().take(args.batch_or(BATCH)) {
            input.advance_to(event.timestamp());
            input.send(event);
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

/// The best of each window among the auctions of a thread.
fn counts<'scope>(bids: Stream<'scope, u64, Vec<Bid>>) -> Stream<'scope, u64, Vec<(u64, Hot)>> {
    let by_auction = Exchange::new(|bid: &(u64, u64)| bid.0);
    let bids = bids.map(|bid| (bid.auction as u64, bid.date_time));
    bids.unary_frontier(by_auction, "Counts", |time, _| {
        let (mut held, mut windows) = (Some(time), HotWindows::default());
        move |(input, frontier), output| {
            input.for_each_stamp(|_, batches| {
                let bids = batches.flat_map(|batch: &mut Vec<(u64, u64)>| batch.drain(..));
                bids.for_each(|(auction, time_ms)| windows.add(auction, time_ms));
            });
            let Some(time) = held.as_mut() else { return };
            match frontier.frontier().first().map(|to_ms| to_ms / SLIDE_MS * SLIDE_MS) {
                Some(to_ms) if to_ms > *time.time() => {
                    let mut session = output.session(&*time);
                    windows.advance(to_ms, |start_ms, hot| session.give((start_ms, hot)));
                    drop(session);
                    time.downgrade(&to_ms);
                }
                Some(_) => {}
                None => {
                    let mut session = output.session(&*time);
                    windows.finish(|start_ms, hot| session.give((start_ms, hot)));
                    drop(session);
                    held = None;
                }
            }
        }
    })
}

/// The best of each window, on the thread that its beginning picks.
fn best<'scope>(
    hot: Stream<'scope, u64, Vec<(u64, Hot)>>,
    sum: &Rc<Cell<u64>>,
) -> Stream<'scope, u64, Vec<()>> {
    let (by_window, sum) = (Exchange::new(|(start_ms, _): &(u64, Hot)| start_ms / SLIDE_MS), sum.clone());
    hot.unary_frontier::<Nothing, _, _, _>(by_window, "Best", move |time, _| {
        drop(time);
        let mut windows = FxHashMap::<u64, Hot>::default();
        move |(input, frontier), _| {
            input.for_each_stamp(|_, batches| {
                for (start_ms, hot) in batches.flat_map(|batch: &mut Vec<(u64, Hot)>| batch.drain(..)) {
                    let best = windows.entry(start_ms).or_insert(hot);
                    *best = hot.max(*best);
                }
            });
            let to_ms = frontier.frontier().first().copied().unwrap_or(u64::MAX);
            windows.retain(|start_ms, hot| {
                let open = start_ms + WINDOW_MS >= to_ms;
                if !open {
                    sum.set(sum.get().wrapping_add(hot_checksum(*start_ms, *hot)));
                }
                open
            });
        }
    })
}
