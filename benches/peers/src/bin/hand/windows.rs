//! `window` and `sliding`: as `keyed`, with watermarks among the records.

use std::time::Instant;

use peers::args::Args;
use peers::panes::{Hashed, Known, Numbers, Panes};
use peers::reading::{Progress, Reading, checksum, reading};
use peers::report::{Part, report_parts};
use peers::share_len;

use crate::mesh::{Links, mesh, threads};

/// As in `keyed.rs`.
const BATCH: usize = 1024;

/// How far a thread may be ahead of the others, in milliseconds of event time: its panes would be many.
const AHEAD_MS: u32 = 500;

/// No record has this key, so it marks a watermark.
const WATERMARK: u32 = u32::MAX;

pub fn run(args: &Args) {
    let threads_count = args.parallelism;
    let links = mesh(threads_count, 0..threads_count, 0..threads_count);
    let parts = threads(links, |thread, links, start| {
        if args.has("hash") {
            work(args, thread, links, Hashed::default(), start)
        } else {
            work(args, thread, links, Known::new(thread, threads_count), start)
        }
    });
    report_parts("hand", args, &parts);
}

/// A thread's windows, and how far each origin has come, itself included.
struct Keeper<N> {
    panes: Panes<N>,
    progress: Vec<u32>,
    sum: u64,
}

impl<N: Numbers> Keeper<N> {
    #[inline(always)]
    fn take(&mut self, origin: usize, record: Reading) {
        if record.key == WATERMARK {
            self.advance(origin, record.time_ms);
        } else {
            self.panes.add(record);
        }
    }

    fn advance(&mut self, origin: usize, to_ms: u32) {
        self.progress[origin] = to_ms;
        let (least, sum) = (self.least(), &mut self.sum);
        let add = |fired| *sum = sum.wrapping_add(checksum(&fired));
        if least == u32::MAX { self.panes.finish(add) } else { self.panes.advance(least, add) }
    }

    fn least(&self) -> u32 {
        self.progress.iter().copied().min().unwrap_or(0)
    }
}

fn work<N: Numbers>(
    args: &Args,
    thread: usize,
    mut links: Links<Reading>,
    numbers: N,
    start: &dyn Fn() -> Instant,
) -> Part {
    let (threads, batch) = (args.parallelism, args.batch_or(BATCH) as u64);
    let panes = Panes::new(&args.workload, numbers);
    let mut keeper = Keeper { panes, progress: vec![0; threads], sum: 0 };
    let (count, mut own) = (share_len(args.records, thread, threads), Progress::default());
    let mut parts = vec![Vec::with_capacity(2 * batch as usize); threads];
    let began = start();
    for from in (0..count).step_by(batch as usize) {
        for i in from..count.min(from + batch) {
            split(reading(i * threads as u64 + thread as u64), &mut own, &mut parts);
        }
        send(&mut links, thread, &mut parts, &mut keeper);
        while keeper.progress[thread] > keeper.least().saturating_add(AHEAD_MS) {
            links.drain(|origin, record| keeper.take(origin, record));
        }
    }
    let end = Reading { time_ms: u32::MAX, key: WATERMARK, value: 0 };
    parts.iter_mut().for_each(|part| part.push(end));
    send(&mut links, thread, &mut parts, &mut keeper);
    while keeper.least() < u32::MAX {
        links.drain(|origin, record| keeper.take(origin, record));
    }
    Part::since(began, keeper.sum)
}

#[inline(always)]
fn split(record: Reading, own: &mut Progress, parts: &mut [Vec<Reading>]) {
    // Dividing by a number that only is known at run time would cost more than the rest.
    let target = match parts.len() {
        1 => 0,
        2 => record.key as usize % 2,
        many => record.key as usize % many,
    };
    parts[target].push(record);
    if let Some(time_ms) = own.watermark(record.time_ms) {
        let watermark = Reading { time_ms, key: WATERMARK, value: 0 };
        parts.iter_mut().for_each(|part| part.push(watermark));
    }
}

/// Sends the others' parts, takes the own one and what has arrived.
fn send<N: Numbers>(
    links: &mut Links<Reading>,
    thread: usize,
    parts: &mut [Vec<Reading>],
    keeper: &mut Keeper<N>,
) {
    for target in (0..parts.len()).filter(|target| *target != thread) {
        links.send(target, &parts[target], |origin, record| keeper.take(origin, record));
    }
    parts[thread].iter().for_each(|record| keeper.take(thread, *record));
    links.drain(|origin, record| keeper.take(origin, record));
    parts.iter_mut().for_each(Vec::clear);
}
