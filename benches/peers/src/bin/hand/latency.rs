//! `latency`: a source on one core, state and sink on another; both spin.

use std::time::Instant;

use peers::args::Args;
use peers::due::{Due, Schedule, Seen, wait_until};
use peers::keyed::{KEYS, add};
use peers::pin;
use peers::report::report_latency;
use rtrb::{Consumer, Producer, RingBuffer};
use rustc_hash::FxHashMap;

/// Records between the two; far more than are ever on their way below saturation.
const CAPACITY: usize = 1 << 16;

pub fn run(args: &Args) {
    let (writer, reader) = RingBuffer::new(CAPACITY);
    let (schedule, began) = (Schedule::of(args), Instant::now());
    let seen = std::thread::scope(|scope| {
        scope.spawn(move || make(schedule, began, writer));
        pin(1);
        if args.has("hash") {
            let mut states = FxHashMap::<u32, (u64, u64)>::default();
            take(args, began, reader, |due| add(states.entry(due.record.0).or_default(), due.record))
        } else {
            let mut states = vec![(0, 0); args.keys.max(KEYS) as usize];
            take(args, began, reader, |due| add(&mut states[due.record.0 as usize], due.record))
        }
    });
    report_latency("hand", args, began.elapsed().as_secs_f64(), seen.sum, &seen.latency);
}

fn make(schedule: Schedule, began: Instant, mut writer: Producer<Due>) {
    pin(0);
    for due in (0..schedule.records).map(|i| schedule.at(i)) {
        wait_until(began, due.due_ns);
        while writer.push(due).is_err() {
            std::hint::spin_loop();
        }
    }
}

fn take(
    args: &Args,
    began: Instant,
    mut reader: Consumer<Due>,
    mut step: impl FnMut(&Due) -> peers::keyed::Running,
) -> Seen {
    let (mut seen, mut count) = (Seen::new(began, args), 0);
    while count < args.records {
        match reader.pop() {
            Ok(due) => {
                seen.see(due.due_ns, &step(&due));
                count += 1;
            }
            Err(_) => std::hint::spin_loop(),
        }
    }
    seen
}
