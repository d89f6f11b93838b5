//! One source subtask with more and more partitions, each with event time of its own.

use std::time::Duration;

use slotflow::prelude::*;
use slotflow::runtime::{
    Context, Output, Polled, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed,
};

use crate::jobs::Runner;

/// Records that a poll takes out of a partition before the next has its turn: about a batch of Kafka's.
const RUN: u64 = 100;

/// Records of a millisecond, over all partitions.
const RECORDS_PER_MS: u64 = 1_000;

/// Partitions with equally many records, by turns.
struct Partitioned {
    partitions: u32,
    records: u64,
}

impl Source for Partitioned {
    type Reader = PartitionedReader;
    fn describe(&self) -> String {
        "partitioned".into()
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Count(self.partitions))
    }
    fn open(&mut self, _: &SubtaskContext, splits: &[SplitId]) -> Result<PartitionedReader> {
        Ok(PartitionedReader { partitions: splits.len() as u64, next: 0, records: self.records })
    }
}

struct PartitionedReader {
    partitions: u64,
    next: u64,
    records: u64,
}

impl SourceReader for PartitionedReader {
    type Item = Owned<u64>;
    type Time = Untimed;
    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<u64>>,
    ) -> Result<Polled> {
        let first = self.next;
        let last = self.records.min(first + budget as u64);
        while self.next < last {
            ctx.set_split((self.next / RUN % self.partitions) as u32);
            let end = last.min((self.next / RUN + 1) * RUN);
            (self.next..end).for_each(|i| out.push(i, ctx));
            self.next = end;
        }
        Ok(if last == first { Polled::End } else { Polled::Records((last - first) as usize) })
    }
}

/// Watermarks of `size` partitions in one subtask.
pub fn run(runner: &Runner, size: usize, records: u64) {
    let env = runner.environment(1);
    let timed = env.source(Partitioned { partitions: size as u32, records }).with_timestamps(
        |i| (i / RECORDS_PER_MS) as i64,
        Watermarks::bounded_out_of_orderness(Duration::from_millis(5)),
    );
    // A ring behind it, so that each watermark is said, and steps are as long as in the other jobs.
    let behind = timed.map(|i| i + 1).start_new_chain();
    assert_eq!(runner.count(&env, behind), records, "each record has come");
}
