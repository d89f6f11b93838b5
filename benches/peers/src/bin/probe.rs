//! What the machine is like at this moment: how far two cores are apart, and how much of a spinning thread is lost.
//!
//! Prints one line of JSON. `round_trip_ns` is the median of many hand-overs of a cache line to another core and back;
//! the cores of a virtual machine move, so a trial that crosses cores is told with it. `lost_share` is the part of the
//! time in which two spinning threads, one on each core, saw more than 10 us pass between two looks at the clock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use peers::pin;

/// Hand-overs in a sample: long enough that reading the clock does not count.
const TRIPS: u64 = 1000;

/// Samples, of which the median counts.
const SAMPLES: usize = 101;

/// How long is spun for.
const SPIN: Duration = Duration::from_millis(50);

/// Far more than two looks at the clock take, and less than a scheduler's slice.
const GAP: Duration = Duration::from_micros(10);

fn main() {
    let lost = lost_share();
    println!("{{\"peer\":\"probe\",\"round_trip_ns\":{:.1},\"lost_share\":{lost:.4}}}", round_trip_ns());
}

/// Odd numbers are the first thread's, even ones the second's answers. A cell has a cache line of its own.
#[repr(align(128))]
struct Cell(AtomicU64);

fn round_trip_ns() -> f64 {
    let ball = Cell(AtomicU64::new(0));
    let trips = TRIPS * SAMPLES as u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            (1..=trips).for_each(|trip| answer(&ball, trip));
        });
        pin(0);
        let mut samples =
            (0..SAMPLES as u64).map(|sample| sample_ns(&ball, sample * TRIPS)).collect::<Vec<_>>();
        samples.sort_by(f64::total_cmp);
        samples[SAMPLES / 2]
    })
}

fn sample_ns(ball: &Cell, before: u64) -> f64 {
    let began = Instant::now();
    for trip in before + 1..=before + TRIPS {
        ball.0.store(2 * trip - 1, Relaxed);
        wait_for(ball, 2 * trip);
    }
    began.elapsed().as_nanos() as f64 / TRIPS as f64
}

fn answer(ball: &Cell, trip: u64) {
    wait_for(ball, 2 * trip - 1);
    ball.0.store(2 * trip, Relaxed);
}

fn wait_for(ball: &Cell, value: u64) {
    while ball.0.load(Relaxed) != value {
        std::hint::spin_loop();
    }
}

/// Of two threads, the worse.
fn lost_share() -> f64 {
    let lost = std::thread::scope(|scope| {
        let threads = [0, 1].map(|core| {
            scope.spawn(move || {
                pin(core);
                lost_here()
            })
        });
        threads.map(|thread| thread.join().expect("a panic aborts"))
    });
    lost[0].max(lost[1])
}

fn lost_here() -> f64 {
    let began = Instant::now();
    let (mut last, mut lost) = (began, Duration::ZERO);
    while last - began < SPIN {
        let now = Instant::now();
        if now - last > GAP {
            lost += now - last;
        }
        last = now;
    }
    lost.as_secs_f64() / (last - began).as_secs_f64()
}
