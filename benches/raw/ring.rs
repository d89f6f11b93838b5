//! Records over one ring between two cores: by the ring's own chunks, and by the two ends of an edge.

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::thread::scope;
use std::time::Instant;

use rtrb::RingBuffer;
use slotflow::runtime::Clock;
use slotflow::runtime::config::EdgesConfig;
use slotflow::runtime::edge::ring::{Next, ring};
use slotflow::runtime::metrics::RingMeter;

use crate::turns::{pin, turns};

/// Records of one turn: some hundredths of a second.
const RECORDS: u64 = 10_000_000;

/// What a step takes at least (`step.min_records`), and so what is written at once.
const STEP: u64 = 1024;

const TURNS: usize = 15;

pub fn run() {
    println!(
        "\nring\n| bytes | bare, M records/s | ours | of bare | ours was full by |\n|---|---|---|---|---|"
    );
    size::<1>();
    size::<8>();
}

fn size<const WORDS: usize>() {
    let capacity = EdgesConfig::default().capacity_for(8 * WORDS, 1);
    let mut fills = Vec::new();
    let [bare, ours, ratio] = turns(
        TURNS,
        || bare::<WORDS>(capacity),
        || {
            let (rate, fill) = edge::<WORDS>(capacity);
            fills.push(fill);
            rate
        },
    );
    let fill = 100.0 * fills.iter().sum::<f64>() / fills.len() as f64;
    println!("| {} | {bare} | {ours} | {ratio} | {fill:.0} % |", 8 * WORDS);
}

/// Millions a second, from the first record made to the last one seen.
fn rate(write: impl FnOnce() + Send, read: impl FnOnce() -> u64 + Send) -> f64 {
    scope(|threads| {
        let began = Instant::now();
        threads.spawn(|| {
            pin(1);
            write();
        });
        let read = threads.spawn(|| {
            pin(0);
            read()
        });
        let sum = read.join().expect("it does not panic");
        assert_eq!(sum, RECORDS * (RECORDS - 1) / 2, "all have come");
        RECORDS as f64 / began.elapsed().as_secs_f64() / 1e6
    })
}

fn bare<const WORDS: usize>(capacity: usize) -> f64 {
    let (mut writer, mut reader) = RingBuffer::<[u64; WORDS]>::new(capacity);
    let write = move || {
        let mut next = 0;
        while next < RECORDS {
            let count = (STEP.min(RECORDS - next) as usize).min(writer.slots());
            match writer.write_chunk_uninit(count) {
                Ok(chunk) if count > 0 => next += chunk.fill_from_iter((next..).map(|i| [i; WORDS])) as u64,
                _ => spin_loop(),
            }
        }
    };
    let read = move || {
        let (mut seen, mut sum) = (0, 0);
        while seen < RECORDS {
            let count = reader.slots();
            let Ok(chunk) = reader.read_chunk(count) else { continue };
            chunk.into_iter().for_each(|record| sum += black_box(record)[0]);
            seen += count as u64;
        }
        sum
    };
    rate(write, read)
}

/// With the meters on, and a look at the clock for each step, as a core has it; how full the ring was, too.
fn edge<const WORDS: usize>(capacity: usize) -> (f64, f64) {
    let meter = Arc::new(RingMeter::new(capacity));
    let (mut sender, mut receiver) = ring::<[u64; WORDS]>(capacity, meter.clone());
    let clock = Clock::system();
    let write = move || {
        let mut next = 0;
        while next < RECORDS {
            let count = STEP.min(RECORDS - next).min(sender.room() as u64);
            for i in next..next + count {
                assert!(sender.stage([i; WORDS]), "there is room");
            }
            next += count;
            // What found no room is staged, and the next room is less by it.
            let _later = sender.flush(clock.now_ns());
        }
    };
    let read = move || {
        let (mut seen, mut sum) = (0, 0);
        while seen < RECORDS {
            if let Next::Records(count) = receiver.next() {
                receiver.take(count, &mut |record: [u64; WORDS]| sum += black_box(record)[0]);
                seen += count as u64;
            }
        }
        sum
    };
    (rate(write, read), meter.snapshot().mean_fill())
}
