//! A source of numbered records with event time and offsets, which pauses now and then.

use std::sync::Arc;

use slotflow_runtime::{
    Committer, Context, EventTime, Offsets, Output, Owned, Polled, Result, Source, SourceReader, SplitId,
    Splits, SubtaskContext, Timestamp,
};

use super::ledger::Recorder;
use super::{Ledger, Random, Rec, Setup};

pub fn numbers(setup: &Arc<Setup>, ledger: &Arc<Ledger>) -> Numbers {
    Numbers { setup: setup.clone(), ledger: ledger.clone() }
}

pub struct Numbers {
    setup: Arc<Setup>,
    ledger: Arc<Ledger>,
}

impl Source for Numbers {
    type Reader = NumbersReader;

    fn describe(&self) -> String {
        "numbers".into()
    }

    fn commits(&self) -> bool {
        self.setup.commits
    }

    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::Count(self.setup.splits))
    }

    fn open(&mut self, subtask: &SubtaskContext, splits: &[SplitId]) -> Result<NumbersReader> {
        Ok(NumbersReader {
            setup: self.setup.clone(),
            ledger: self.ledger.clone(),
            random: Random(self.setup.seed ^ (subtask.index as u64) << 32),
            splits: splits.iter().map(|split| (*split, 0)).collect(),
            index: subtask.index as u32,
            hop: 0,
        })
    }
}

pub struct NumbersReader {
    setup: Arc<Setup>,
    ledger: Arc<Ledger>,
    random: Random,
    /// With the next record's number.
    splits: Vec<(SplitId, u64)>,
    index: u32,
    hop: u64,
}

impl NumbersReader {
    fn next(&mut self, split: usize) -> (Rec, Timestamp) {
        let (id, seq) = self.splits[split];
        self.splits[split].1 += 1;
        self.hop += 1;
        self.ledger.read(id, seq + 1);
        let hot = self.setup.hot && !self.random.one_in(8);
        let key = if hot { 0 } else { seq % 5 };
        let rec = Rec { split: id, seq, key, path: 1, from: self.index, hop: self.hop };
        (rec, self.setup.timestamp(id, seq))
    }
}

impl SourceReader for NumbersReader {
    type Item = Owned<Rec>;
    type Time = EventTime;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<Rec>>,
    ) -> Result<Polled> {
        let records = self.setup.records;
        let Some(split) = (0..self.splits.len()).filter(|at| self.splits[*at].1 < records).min_by_key(|at| {
            // Not in turn, so that splits get ahead of each other.
            self.splits[*at].1 / 3
        }) else {
            let stays = self.setup.lingers && self.splits.is_empty();
            return Ok(if stays { Polled::Idle } else { Polled::End });
        };
        ctx.set_split(self.splits[split].0);
        if self.random.one_in(6) {
            return Ok(Polled::Until(ctx.now_ns() + self.random.below(100_000)));
        }
        let left = records - self.splits[split].1;
        let count = 1 + self.random.below(left.min(budget as u64).min(9));
        for _ in 0..count {
            let (rec, timestamp) = self.next(split);
            ctx.set_timestamp(timestamp);
            out.push(rec, ctx);
        }
        Ok(Polled::Records(count as usize))
    }

    fn offsets(&self) -> Offsets {
        self.splits.iter().map(|(split, next)| (*split, *next as i64)).collect()
    }

    fn watermark(&self) -> Option<Timestamp> {
        let open = self.splits.iter().filter(|(_, next)| *next < self.setup.records);
        open.map(|(split, next)| self.setup.watermark(*split, *next)).min()
    }

    fn idle(&self) -> bool {
        self.splits.is_empty()
    }

    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        self.setup.commits.then(|| Box::new(Recorder(self.ledger.clone())) as Box<dyn Committer>)
    }
}
