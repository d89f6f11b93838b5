//! `latency`: the source's block and the keyed one have a thread each.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use peers::args::Args;
use peers::due::{Due, Schedule, Seen, wait_until};
use peers::keyed::add;
use peers::report::report_latency;
use renoir::prelude::*;

use crate::mode;

pub fn run(args: &Args, env: StreamContext) {
    let (schedule, began) = (Schedule::of(args), Instant::now());
    let seen = Arc::new(Mutex::new(Seen::new(began, args)));
    let sink = seen.clone();
    let records = (0..schedule.records).map(move |i| {
        let due = schedule.at(i);
        wait_until(began, due.due_ns);
        due
    });
    let mut state = (0u64, 0u64);
    env.stream_iter(records)
        .batch_mode(mode(args))
        .group_by(|due: &Due| due.record.0)
        .rich_map(move |(_, due)| (due.due_ns, add(&mut state, due.record)))
        .for_each(move |(_, (due_ns, running))| {
            sink.lock().expect("no holder panics").see(due_ns, &running);
        });
    env.execute_blocking();
    let seen = seen.lock().expect("no holder panics");
    report_latency("renoir", args, began.elapsed().as_secs_f64(), seen.sum, &seen.latency);
}
