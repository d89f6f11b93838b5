//! `chain`: one loop, which the compiler turns into vectors; or batch by batch and operator by operator.

use std::hint::black_box;

use peers::args::Args;
use peers::chain::{add_one, eighth, expand, is_kept, multiply};
use peers::report::{Part, report_parts};
use peers::{share_len, splitmix64};

use crate::mesh::threads;

pub fn run(args: &Args) {
    let stride = args.parallelism;
    let parts = threads(vec![(); stride], |thread, (), start| {
        let count = share_len(args.records, thread, stride);
        let record = move |i: u64| splitmix64(i * stride as u64 + thread as u64);
        let began = start();
        let sum = if args.has("batched") {
            batched(count, args.batch_or(1024), record)
        } else {
            fused(count, record)
        };
        Part::since(began, sum)
    });
    report_parts("hand", args, &parts);
}

/// Without a branch: what is left out counts as 0.
fn fused(count: u64, record: impl Fn(u64) -> u64) -> u64 {
    let mut sum = 0u64;
    for i in 0..count {
        let x = multiply(record(i));
        let y = add_one(x);
        let both = y.wrapping_add(eighth(y).unwrap_or(0));
        sum = sum.wrapping_add(if is_kept(&x) { both } else { 0 });
    }
    sum
}

fn batched(count: u64, batch: usize, record: impl Fn(u64) -> u64) -> u64 {
    let (mut records, mut expanded) = (Vec::with_capacity(batch), Vec::with_capacity(2 * batch));
    let mut sum = 0u64;
    for first in (0..count).step_by(batch) {
        records.clear();
        records.extend((first..count.min(first + batch as u64)).map(&record));
        records.iter_mut().for_each(|x| *x = multiply(*x));
        records.retain(is_kept);
        records.iter_mut().for_each(|x| *x = add_one(*x));
        expanded.clear();
        expanded.extend(black_box(&records).iter().flat_map(|x| expand(*x)));
        sum = black_box(&expanded).iter().fold(sum, |sum, x| sum.wrapping_add(*x));
    }
    sum
}
