//! A record from one core to another and back: over two bare rings, and through a job of two slots.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::scope;
use std::time::Instant;

use hdrhistogram::Histogram;
use rtrb::RingBuffer;
use slotflow::prelude::*;
use slotflow::runtime::config::Idle;
use slotflow::runtime::{
    Context, Output, Polled, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

use crate::turns::{pin, turns};

/// Round trips of one turn.
const TRIPS: u64 = 100_000;

const TURNS: usize = 15;

pub fn run() {
    let [bare, ours, ratio] = turns(TURNS, || median_ns(&bare()), || median_ns(&through_slots()));
    println!(
        "\nhop\n| bare there and back, ns, p50 | ours | of bare |\n|---|---|---|\n| {bare} | {ours} | {ratio} |"
    );
}

fn median_ns(trips: &Histogram<u64>) -> f64 {
    trips.value_at_quantile(0.5) as f64
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are in order")
}

fn bare() -> Histogram<u64> {
    let (mut there, mut reader) = RingBuffer::<Instant>::new(16);
    let (mut writer, mut back) = RingBuffer::<Instant>::new(16);
    scope(|threads| {
        threads.spawn(move || {
            pin(1);
            for _ in 0..TRIPS {
                writer.push(waited(&mut reader)).expect("nothing else is under way");
            }
        });
        let measured = threads.spawn(move || {
            pin(0);
            let mut trips = histogram();
            for _ in 0..TRIPS {
                there.push(Instant::now()).expect("nothing else is under way");
                trips.saturating_record(waited(&mut back).elapsed().as_nanos() as u64);
            }
            trips
        });
        measured.join().expect("it does not panic")
    })
}

fn waited(ring: &mut rtrb::Consumer<Instant>) -> Instant {
    loop {
        match ring.pop() {
            Ok(record) => return record,
            Err(_) => spin_loop(),
        }
    }
}

/// Gives a record when the one before has come back.
struct OneByOne(Arc<AtomicU64>);

impl Source for OneByOne {
    type Reader = OneByOneReader;
    fn describe(&self) -> String {
        "one by one".into()
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Single)
    }
    fn open(&mut self, _: &SubtaskContext, _: &[SplitId]) -> Result<OneByOneReader> {
        Ok(OneByOneReader { returned: self.0.clone(), given: 0 })
    }
}

struct OneByOneReader {
    returned: Arc<AtomicU64>,
    given: u64,
}

impl SourceReader for OneByOneReader {
    type Item = Owned<Instant>;
    type Time = Untimed;
    fn poll<'s>(
        &'s mut self,
        _: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<Instant>>,
    ) -> Result<Polled> {
        if self.returned.load(Relaxed) < self.given {
            return Ok(Polled::Idle);
        }
        if self.given == TRIPS {
            return Ok(Polled::End);
        }
        self.given += 1;
        out.push(Instant::now(), ctx);
        Ok(Polled::Records(1))
    }
}

/// Source and sink in one slot, between them an operator in another.
fn through_slots() -> Histogram<u64> {
    let mut env = Environment::new().expect("the SLOTFLOW_* variables are right");
    let slots = &mut env.config_mut().slots;
    (slots.idle, slots.cores) = (Idle::Spin, Some(vec![0, 1]));
    let (returned, trips) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(histogram())));
    let (back, seen) = (returned.clone(), trips.clone());
    env.source(OneByOne(returned))
        .slot_sharing_group("ends")
        .map(|record| record)
        .slot_sharing_group("between")
        .sink(callback(move |sent: Instant| {
            let took_ns = sent.elapsed().as_nanos() as u64;
            seen.lock().expect("no holder panics").saturating_record(took_ns);
            back.fetch_add(1, Relaxed);
        }))
        .slot_sharing_group("ends");
    env.run("hop").expect("the job runs to its end");
    trips.lock().expect("no holder panics").clone()
}
