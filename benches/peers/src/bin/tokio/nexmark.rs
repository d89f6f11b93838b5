//! Nexmark's q0, q1, q2 and q5.

use std::time::Instant;

use peers::args::Args;
use peers::nexmark::{Event, Hot, HotWindows, all_events, bid, hottest_checksum, stateless as step};
use peers::report::report;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{BATCH, DEPTH, finish, mesh};

pub async fn stateless(args: &Args) {
    let (shares, step) = (all_events(args), step(&args.workload));
    let began = Instant::now();
    let mut sums = Vec::new();
    for events in shares {
        let (to, from) = channel(DEPTH);
        tokio::spawn(source(events, args.batch_or(BATCH), to));
        sums.push(tokio::spawn(steps(from, step)));
    }
    finish(args, began, sums).await;
}

async fn source(events: Vec<Event>, size: usize, to: Sender<Vec<Event>>) {
    let mut events = events.into_iter();
    while events.len() > 0 {
        let batch = events.by_ref().take(size).collect();
        let _gone = to.send(batch).await;
    }
}

async fn steps(mut from: Receiver<Vec<Event>>, step: fn(Event) -> Option<u64>) -> u64 {
    let mut sum = 0;
    while let Some(batch) = from.recv().await {
        sum = batch.into_iter().filter_map(step).fold(sum, u64::wrapping_add);
    }
    sum
}

/// Bids of one origin, as auction and time, and the time that it has come to.
struct Timed {
    origin: usize,
    bids: Vec<(u64, u64)>,
    to_ms: u64,
}

pub async fn hottest(args: &Args) {
    let shares = all_events(args);
    let (to, from) = mesh(args.parallelism, args.parallelism);
    let began = Instant::now();
    for (origin, (events, to)) in shares.into_iter().zip(to).enumerate() {
        tokio::spawn(bids(origin, events, args.batch_or(BATCH), to));
    }
    let parts = from.into_iter().map(|from| tokio::spawn(count(args.parallelism, from)));
    let mut found = Vec::new();
    for part in parts.collect::<Vec<_>>() {
        found.extend(part.await.expect("a panic aborts"));
    }
    let sum = hottest_checksum(found);
    report("tokio", args, began.elapsed().as_secs_f64(), sum);
}

async fn bids(origin: usize, events: Vec<Event>, size: usize, to: Vec<Sender<Timed>>) {
    let (mut batches, mut time_ms) = (vec![Vec::new(); to.len()], 0);
    for (i, event) in events.into_iter().enumerate() {
        if let Some(bid) = bid(event) {
            time_ms = bid.date_time;
            batches[bid.auction % to.len()].push((bid.auction as u64, time_ms));
        }
        if i % size == size - 1 {
            send(origin, &to, &mut batches, time_ms).await;
        }
    }
    send(origin, &to, &mut batches, u64::MAX).await;
}

async fn send(origin: usize, to: &[Sender<Timed>], batches: &mut [Vec<(u64, u64)>], to_ms: u64) {
    for (to, batch) in to.iter().zip(batches) {
        let _gone = to.send(Timed { origin, bids: std::mem::take(batch), to_ms }).await;
    }
}

async fn count(origins: usize, mut from: Receiver<Timed>) -> Vec<(u64, Hot)> {
    let (mut windows, mut progress, mut found) = (HotWindows::default(), vec![0; origins], Vec::new());
    while let Some(timed) = from.recv().await {
        timed.bids.into_iter().for_each(|(auction, time_ms)| windows.add(auction, time_ms));
        progress[timed.origin] = timed.to_ms;
        let least = progress.iter().copied().min().unwrap_or(0);
        if least < u64::MAX {
            windows.advance(least, |start_ms, hot| found.push((start_ms, hot)));
        }
    }
    windows.finish(|start_ms, hot| found.push((start_ms, hot)));
    found
}
