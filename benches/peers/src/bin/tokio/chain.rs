//! `chain`: a source, the steps and a sink, each spawned.

use std::time::Instant;

use peers::args::Args;
use peers::chain::{add_one, expand, is_kept, multiply};
use peers::{share, splitmix64};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{BATCH, DEPTH, finish};

pub async fn run(args: &Args) {
    let began = Instant::now();
    let mut sums = Vec::new();
    for index in 0..args.parallelism {
        let ((to_steps, from_source), (to_sink, from_steps)) = (channel(DEPTH), channel(DEPTH));
        let records = share(args.records, index, args.parallelism).map(splitmix64);
        tokio::spawn(source(records, args.batch_or(BATCH), to_steps));
        tokio::spawn(steps(from_source, to_sink));
        sums.push(tokio::spawn(sink(from_steps)));
    }
    finish(args, began, sums).await;
}

async fn source(mut records: impl Iterator<Item = u64>, size: usize, to: Sender<Vec<u64>>) {
    loop {
        let batch = records.by_ref().take(size).collect::<Vec<_>>();
        if batch.is_empty() || to.send(batch).await.is_err() {
            return;
        }
    }
}

async fn steps(mut from: Receiver<Vec<u64>>, to: Sender<Vec<u64>>) {
    while let Some(batch) = from.recv().await {
        let mut results = Vec::with_capacity(batch.len() * 2);
        results.extend(batch.into_iter().map(multiply).filter(is_kept).map(add_one).flat_map(expand));
        if to.send(results).await.is_err() {
            return;
        }
    }
}

async fn sink(mut from: Receiver<Vec<u64>>) -> u64 {
    let mut sum = 0;
    while let Some(batch) = from.recv().await {
        sum = batch.into_iter().fold(sum, u64::wrapping_add);
    }
    sum
}
