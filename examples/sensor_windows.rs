//! Sensors whose readings come in disorder: a mean for each of them and each ten seconds, and what came too late.
//!
//! run:
//!
//! A watermark stays two seconds behind the latest reading. A reading that is later than that, but not by more than
//! three seconds, makes its window fire again; one that is still later goes to the late stream.

use std::collections::BTreeMap;
use std::time::Duration;

use slotflow::prelude::*;

/// What a sensor says.
#[derive(Clone, Debug)]
struct Reading {
    sensor: &'static str,
    at_ms: i64,
    celsius: f64,
}

/// The mean of some readings, and how many there are.
#[derive(Clone)]
struct Mean;

impl Aggregate<Reading> for Mean {
    type Acc = (f64, u32);
    type Out = (f64, u32);

    fn create(&self) -> (f64, u32) {
        (0.0, 0)
    }
    fn add(&self, (sum, count): &mut (f64, u32), reading: Reading) {
        *sum += reading.celsius;
        *count += 1;
    }
    fn result(&self, (sum, count): &(f64, u32)) -> (f64, u32) {
        (sum / f64::from(*count), *count)
    }
}

impl Merge<Reading> for Mean {
    fn merge(&self, into: &mut (f64, u32), other: &(f64, u32)) {
        *into = (into.0 + other.0, into.1 + other.1);
    }
}

fn main() -> Result<()> {
    let reading = |(sensor, at_ms, celsius)| Reading { sensor, at_ms, celsius };
    let readings = [
        ("roof", 1_000, 20.0),
        ("cellar", 2_500, 12.0),
        ("roof", 1_900, 22.0),
        ("roof", 12_100, 24.0),
        ("roof", 9_000, 27.0),
        ("cellar", 16_000, 13.0),
        ("cellar", 3_000, 99.0),
    ];

    let mut env = Environment::new()?;
    // Event time goes on once a step; so few readings would all be one.
    env.config_mut().step.min_records = 1;
    let lag = Watermarks::bounded_out_of_orderness(Duration::from_secs(2));
    let (means, late) = env
        .source(from_iterator(readings.map(reading)))
        .with_timestamps(|reading| reading.at_ms, lag)
        .key_by(|reading| reading.sensor)
        .window(Tumbling::of(Duration::from_secs(10)))
        .allowed_lateness(Duration::from_secs(3))
        .aggregate_split(Mean);
    let (fired, too_late) = (Collected::new(), Collected::new());
    means.sink(fired.sink());
    late.sink(too_late.sink());
    env.run("sensor_windows")?;

    // A window that fires again has all its readings so far, so its last result is the one that counts.
    let mut counts = BTreeMap::new();
    for WindowResult { key, start, end, value: (mean, count) } in fired.take() {
        println!("{key}: {mean:.1} degrees from {start} to {end} ms, of {count}");
        counts.insert((key, start), count);
    }
    let late = too_late.take();
    late.iter().for_each(|reading| println!("too late: {reading:?}"));
    assert_eq!(
        counts.into_values().sum::<u32>() + late.len() as u32,
        7,
        "each reading is in a mean, or late"
    );
    Ok(())
}
