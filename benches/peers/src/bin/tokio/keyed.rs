//! `keyed`: sources split their records by key; state in a hash table.

use std::time::Instant;

use peers::args::Args;
use peers::keyed::{Keys, Record, add, checksum};
use peers::share;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::{finish, mesh, send_if_full};

/// Records in a message: the best of 1, 256, 1,024 and 8,192, on machine A.
const BATCH: usize = 256;

pub async fn run(args: &Args) {
    let makers = if args.has("fanout") { 1 } else { args.parallelism };
    let (to, from) = mesh(makers, args.parallelism);
    let began = Instant::now();
    let keys = Keys::of(args);
    for (index, to) in to.into_iter().enumerate() {
        let numbers = share(args.records, index, makers);
        if keys.is_usual() {
            tokio::spawn(source(numbers.map(Keys::usual), args.batch_or(BATCH), to));
        } else {
            tokio::spawn(source(numbers.map(move |i| keys.record(i)), args.batch_or(BATCH), to));
        }
    }
    let sums = from.into_iter().map(|from| tokio::spawn(keep(from))).collect();
    finish(args, began, sums).await;
}

async fn source(records: impl Iterator<Item = Record>, size: usize, to: Vec<Sender<Vec<Record>>>) {
    let mut batches = vec![Vec::with_capacity(size); to.len()];
    for record in records {
        let target = record.0 as usize % to.len();
        batches[target].push(record);
        send_if_full(&to[target], &mut batches[target], size).await;
    }
    for (to, batch) in to.iter().zip(batches) {
        let _gone = to.send(batch).await;
    }
}

async fn keep(mut from: Receiver<Vec<Record>>) -> u64 {
    let mut states = FxHashMap::<u32, (u64, u64)>::default();
    let mut sum = 0u64;
    while let Some(batch) = from.recv().await {
        for record in batch {
            sum = sum.wrapping_add(checksum(&add(states.entry(record.0).or_default(), record)));
        }
    }
    sum
}
