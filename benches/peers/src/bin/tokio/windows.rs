//! `window` and `sliding`: a batch ends at each millisecond of event time, so its watermark goes with it.

use std::time::Instant;

use peers::args::Args;
use peers::panes::{Hashed, Panes};
use peers::reading::{Progress, Reading, checksum, reading};
use peers::share;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::{finish, mesh};

/// Records of one origin, and the watermark behind them.
struct Timed {
    origin: usize,
    readings: Vec<Reading>,
    watermark_ms: u32,
}

pub async fn run(args: &Args) {
    let (to, from) = mesh(args.parallelism, args.parallelism);
    let began = Instant::now();
    for (origin, to) in to.into_iter().enumerate() {
        let readings = share(args.records, origin, args.parallelism).map(reading);
        tokio::spawn(source(origin, readings, to));
    }
    let keep = |from| tokio::spawn(keep(args.workload.clone(), args.parallelism, from));
    let sums = from.into_iter().map(keep).collect();
    finish(args, began, sums).await;
}

async fn source(origin: usize, readings: impl Iterator<Item = Reading>, to: Vec<Sender<Timed>>) {
    let (mut batches, mut progress) = (vec![Vec::new(); to.len()], Progress::default());
    for reading in readings {
        batches[reading.key as usize % to.len()].push(reading);
        if let Some(watermark_ms) = progress.watermark(reading.time_ms) {
            send(origin, &to, &mut batches, watermark_ms).await;
        }
    }
    send(origin, &to, &mut batches, u32::MAX).await;
}

async fn send(origin: usize, to: &[Sender<Timed>], batches: &mut [Vec<Reading>], watermark_ms: u32) {
    for (to, batch) in to.iter().zip(batches) {
        let empty = Vec::with_capacity(batch.len());
        let readings = std::mem::replace(batch, empty);
        let _gone = to.send(Timed { origin, readings, watermark_ms }).await;
    }
}

async fn keep(workload: String, origins: usize, mut from: Receiver<Timed>) -> u64 {
    let mut panes = Panes::new(&workload, Hashed::default());
    let (mut progress, mut sum) = (vec![0; origins], 0u64);
    while let Some(timed) = from.recv().await {
        timed.readings.into_iter().for_each(|reading| panes.add(reading));
        progress[timed.origin] = timed.watermark_ms;
        let least = progress.iter().copied().min().unwrap_or(0);
        if least < u32::MAX {
            panes.advance(least, |fired| sum = sum.wrapping_add(checksum(&fired)));
        }
    }
    panes.finish(|fired| sum = sum.wrapping_add(checksum(&fired)));
    sum
}
