//! Nexmark's q0, q1, q2 and q5.

use std::time::Instant;

use peers::args::Args;
use peers::nexmark::{Event, Hot, HotWindows, all_events, bid, hottest_checksum, stateless as step};
use peers::report::{Part, report, report_parts};

use crate::mesh::{Links, mesh, threads};

/// Events between two looks at what has arrived; as in `keyed.rs`.
const BATCH: usize = 1024;

/// No auction has this number, so it marks a watermark.
const WATERMARK: u64 = u64::MAX;

pub fn stateless(args: &Args) {
    let step = step(&args.workload);
    let parts = threads(all_events(args), |_, events, start| {
        let began = start();
        let sum = events.into_iter().filter_map(step).fold(0, u64::wrapping_add);
        Part::since(began, sum)
    });
    report_parts("hand", args, &parts);
}

pub fn hottest(args: &Args) {
    let count = args.parallelism;
    let links = mesh(count, 0..count, 0..count).into_iter().zip(all_events(args)).collect();
    let found = threads(links, |thread, (links, events), start| {
        let keeper = Keeper { windows: HotWindows::default(), progress: vec![0; count], found: Vec::new() };
        Thread { thread, links, parts: vec![Vec::new(); count], keeper }.work(events, start)
    });
    // A handful of windows, so bringing them together takes no time.
    let sum = hottest_checksum(found.iter().flat_map(|(found, _)| found.iter().copied()));
    let began = found.iter().map(|(_, part)| part.began).min().expect("there is a thread");
    let ended = found.iter().map(|(_, part)| part.ended).max().expect("there is a thread");
    report("hand", args, (ended - began).as_secs_f64(), sum);
}

/// A thread's windows, and how far each origin has come, itself included.
struct Keeper {
    windows: HotWindows,
    progress: Vec<u64>,
    found: Vec<(u64, Hot)>,
}

impl Keeper {
    #[inline(always)]
    fn take(&mut self, origin: usize, (auction, time_ms): (u64, u64)) {
        if auction == WATERMARK {
            self.advance(origin, time_ms);
        } else {
            self.windows.add(auction, time_ms);
        }
    }

    fn advance(&mut self, origin: usize, to_ms: u64) {
        self.progress[origin] = to_ms;
        let found = &mut self.found;
        let keep = |start_ms, hot| found.push((start_ms, hot));
        match self.progress.iter().copied().min().unwrap_or(0) {
            u64::MAX => self.windows.finish(keep),
            least => self.windows.advance(least, keep),
        }
    }
}

/// What a thread has to send waits in a part for each target.
struct Thread {
    thread: usize,
    links: Links<(u64, u64)>,
    parts: Vec<Vec<(u64, u64)>>,
    keeper: Keeper,
}

impl Thread {
    fn work(mut self, events: Vec<Event>, start: &dyn Fn() -> Instant) -> (Vec<(u64, Hot)>, Part) {
        let (mut time_ms, count) = (0, self.parts.len());
        let began = start();
        for (i, event) in events.into_iter().enumerate() {
            if let Some(bid) = bid(event) {
                let (auction, at_ms) = (bid.auction as u64, bid.date_time);
                self.parts[auction as usize % count].push((auction, at_ms));
                if at_ms > time_ms {
                    time_ms = at_ms;
                    self.parts.iter_mut().for_each(|part| part.push((WATERMARK, at_ms)));
                }
            }
            if i % BATCH == BATCH - 1 {
                self.exchange();
            }
        }
        self.parts.iter_mut().for_each(|part| part.push((WATERMARK, u64::MAX)));
        self.exchange();
        while self.keeper.progress.iter().any(|to_ms| *to_ms < u64::MAX) {
            self.links.drain(|origin, record| self.keeper.take(origin, record));
        }
        (self.keeper.found, Part::since(began, 0))
    }

    fn exchange(&mut self) {
        let Thread { thread, links, parts, keeper } = self;
        for target in (0..parts.len()).filter(|target| target != thread) {
            links.send(target, &parts[target], |origin, record| keeper.take(origin, record));
        }
        parts[*thread].iter().for_each(|record| keeper.take(*thread, *record));
        links.drain(|origin, record| keeper.take(origin, record));
        parts.iter_mut().for_each(Vec::clear);
    }
}
