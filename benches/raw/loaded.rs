//! The latency of records at 80 % of what a slot can do, with eight subtasks in it, state that grows, and windows of
//! 100,000 keys that close each second; as an excess over a loop that only waits until records are due.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use slotflow::prelude::*;
use slotflow::runtime::Clock;
use slotflow::runtime::config::Idle;

use crate::turns::pin;

/// What makes it hard: how many keys have a window that closes each second, and how many have state.
#[derive(Clone, Copy)]
struct Hard {
    name: &'static str,
    windows: u64,
    states: u64,
}

const HARD: [Hard; 3] = [
    Hard { name: "both", windows: 100_000, states: u64::MAX },
    Hard { name: "windows of 100 keys", windows: 100, states: u64::MAX },
    Hard { name: "state of 1,000 keys", windows: 100_000, states: 1_000 },
];

/// For how long each run counts, after a second that does not.
const SECONDS: u64 = 4;
const WARMUP_NS: u64 = 1_000_000_000;

/// Records in the run that finds out how many are possible, and the rate that its event time is of.
const MOST: u64 = 3_000_000;
const GUESS: u64 = 1_000_000;

const CPU: usize = 1;

pub fn run() {
    let most = MOST as f64 / loaded(MOST, GUESS, false, HARD[0]).1.as_secs_f64();
    println!("\nloaded, of {most:.0} records/s at most");
    println!("| load | | p50, us | p99, us | p99.9, us | max, us |\n|---|---|---|---|---|---|");
    for percent in [80, 50] {
        let rate = most as u64 * percent / 100;
        let records = rate * (SECONDS + 1);
        told(percent, "null", &null(records, rate));
        for hard in HARD {
            told(percent, hard.name, &loaded(records, rate, true, hard).0);
        }
    }
}

fn told(percent: u64, who: &str, seen: &Histogram<u64>) {
    let us = [0.5, 0.99, 0.999, 1.0].map(|quantile| seen.value_at_quantile(quantile) as f64 / 1e3);
    println!("| {percent} % | {who} | {:.1} | {:.1} | {:.1} | {:.1} |", us[0], us[1], us[2], us[3]);
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are in order")
}

/// When a record is due, since the first one.
fn due_ns(i: u64, rate: u64) -> u64 {
    (u128::from(i) * 1_000_000_000 / u128::from(rate)) as u64
}

fn null(records: u64, rate: u64) -> Histogram<u64> {
    let waiting = spawn(move || {
        pin(CPU);
        let (clock, mut seen) = (Clock::system(), histogram());
        let began_ns = clock.now_ns();
        for due_ns in (0..records).map(|i| due_ns(i, rate)) {
            let mut now_ns = clock.now_ns() - began_ns;
            while now_ns < due_ns {
                spin_loop();
                now_ns = clock.now_ns() - began_ns;
            }
            note(&mut seen, due_ns, now_ns);
        }
        seen
    });
    waiting.join().expect("it does not panic")
}

fn note(seen: &mut Histogram<u64>, due_ns: u64, now_ns: u64) {
    if due_ns >= WARMUP_NS {
        seen.saturating_record(now_ns.saturating_sub(due_ns).max(1));
    }
}

/// The latencies, and how long the job took.
fn loaded(records: u64, rate: u64, waits: bool, hard: Hard) -> (Histogram<u64>, Duration) {
    let mut env = Environment::new().expect("the SLOTFLOW_* variables are right");
    env.config_mut().job.best_effort = true;
    let slots = &mut env.config_mut().slots;
    (slots.idle, slots.cores) = (Idle::Spin, Some(vec![CPU]));
    let (seen, origin) = (Arc::new(Mutex::new(histogram())), Arc::new(AtomicU64::new(0)));
    let (merged, began) = (seen.clone(), origin.clone());
    let source = generate(records, move |i| (i, due_ns(i, rate)));
    let source = if waits { source.rate(rate) } else { source };
    let timed =
        env.source(source.on_start(move |_, began_ns| began.store(began_ns, Relaxed))).with_timestamps(
            |(_, due_ns)| (due_ns / 1_000_000) as i64,
            Watermarks::bounded_out_of_orderness(Duration::ZERO),
        );
    let changed = timed.map(|record| record).start_new_chain();
    let growing = changed.key_by(move |(i, _)| i % hard.states).map_with_state(|count: &mut u64, record| {
        *count += 1;
        record
    });
    let (straight, windowed) = growing.start_new_chain().tee();
    straight.sink(callback_with(move |subtask| {
        let (clock, origin, merged) = (subtask.clock.clone(), origin.clone(), merged.clone());
        move |(_, due_ns): (u64, u64)| {
            let now_ns = clock.now_ns() - origin.load(Relaxed);
            note(&mut merged.lock().expect("no holder panics"), due_ns, now_ns);
        }
    }));
    let windows =
        windowed.key_by(move |(i, _)| i % hard.windows).window(Tumbling::of(Duration::from_secs(1)));
    let results = windows.reduce(|_, latest| latest).start_new_chain().map(|result| result.value.0);
    results.start_new_chain().sink(callback(|_: u64| ())).disable_chaining();
    assert_eq!(env.plan().expect("the plan is right").subtasks(), 8, "in one slot");
    let began = Instant::now();
    env.run("loaded").expect("the job runs to its end");
    let took = began.elapsed();
    (seen.lock().expect("no holder panics").clone(), took)
}
