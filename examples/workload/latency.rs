//! `latency`: an open loop across two cores. Record `i` is due at `i / rate`, and its latency counts
//! from the moment it was due, so a stalled source counts too.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use hdrhistogram::Histogram;
use slotflow::prelude::*;
use slotflow::runtime::Place;

use crate::args::Args;
use crate::keyed::{Running, record};
use crate::report::{Outcome, latency_line};

/// A record and when it was due, in nanoseconds since the start.
struct Due {
    key: u32,
    value: u32,
    due_ns: u64,
}

/// What the sink has seen; merged into the result when the sink's subtask ends.
struct Seen {
    histogram: Histogram<u64>,
    sum: u64,
    result: Arc<Mutex<Histogram<u64>>>,
    end: Outcome,
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.result.lock().expect("no holder panics").add(&self.histogram).expect("the same bounds");
        self.end.end(self.sum);
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are in order")
}

/// Runs it and gives the result's line.
pub fn run(args: &Args) -> Result<String> {
    let mut env = args.environment(2)?.parallelism(1);
    env.config_mut().job.best_effort = true;
    let outcome = Outcome::default();
    let (rate, keys, warmup_ns) = (args.rate, args.keys, (args.warmup_s * 1e9) as u64);
    let origin = Arc::new(AtomicU64::new(0));
    let (begin, began) = (outcome.clone(), origin.clone());
    let make = move |i| {
        let (key, value) = record(i, keys);
        Due { key, value, due_ns: (u128::from(i) * 1_000_000_000 / u128::from(rate)) as u64 }
    };
    let on_start = move |_: Place<'_>, began_ns| {
        begin.begin();
        began.store(began_ns, Relaxed);
    };
    let result = Arc::new(Mutex::new(histogram()));
    let (merged, end) = (result.clone(), outcome.clone());
    env.source(generate(args.records, make).rate(rate).on_start(on_start))
        .key_by(|due| due.key)
        .map_with_state(|state: &mut (u64, u64), due: Due| {
            (due.due_ns, Running::step(state, due.key, due.value))
        })
        .slot_sharing_group("keyed")
        .sink(callback_with(move |subtask| {
            let clock = subtask.clock.clone();
            let (result, end) = (merged.clone(), end.clone());
            let mut seen = Seen { histogram: histogram(), sum: 0, result, end };
            let origin = origin.clone();
            move |(due_ns, running): (u64, Running)| {
                seen.sum = seen.sum.wrapping_add(running.checksum());
                let now_ns = clock.now_ns() - origin.load(Relaxed);
                if due_ns >= warmup_ns {
                    seen.histogram.saturating_record(now_ns.saturating_sub(due_ns).max(1));
                }
            }
        }));
    env.run("latency")?;
    let result = result.lock().expect("no holder panics");
    Ok(latency_line(args, &outcome, &result))
}
