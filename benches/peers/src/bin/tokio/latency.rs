//! `latency`: records one by one. The source gives way to the runtime while nothing is due: tokio's timer has
//! milliseconds.

use std::time::Instant;

use peers::args::Args;
use peers::due::{Due, Schedule, Seen};
use peers::keyed::add;
use peers::report::report_latency;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// As the hand-written contestant's.
const CAPACITY: usize = 1 << 16;

pub async fn run(args: &Args) {
    let (to, from) = channel(CAPACITY);
    let began = Instant::now();
    tokio::spawn(source(Schedule::of(args), began, to));
    let sink = tokio::spawn(sink(Seen::new(began, args), from));
    let seen = sink.await.expect("a panic aborts");
    report_latency("tokio", args, began.elapsed().as_secs_f64(), seen.sum, &seen.latency);
}

async fn source(schedule: Schedule, began: Instant, to: Sender<Due>) {
    for due in (0..schedule.records).map(|i| schedule.at(i)) {
        while (began.elapsed().as_nanos() as u64) < due.due_ns {
            tokio::task::yield_now().await;
        }
        let _gone = to.send(due).await;
    }
}

async fn sink(mut seen: Seen, mut from: Receiver<Due>) -> Seen {
    let mut states = FxHashMap::<u32, (u64, u64)>::default();
    while let Some(due) = from.recv().await {
        seen.see(due.due_ns, &add(states.entry(due.record.0).or_default(), due.record));
    }
    seen
}
