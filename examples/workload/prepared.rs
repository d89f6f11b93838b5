//! A source of records that were made before the job begins, where making one costs more than what is to be measured.

use std::vec::IntoIter;

use slotflow::prelude::*;
use slotflow::runtime::{Polled, Source, SourceReader, SplitId, Splits, SubtaskContext, Untimed};

use crate::report::Outcome;

/// Each subtask's records, in order.
pub struct Prepared<T> {
    shares: Vec<Vec<T>>,
    begin: Outcome,
}

impl<T> Prepared<T> {
    /// A source for as many subtasks as there are shares. The clock begins with the first record.
    pub fn new(shares: Vec<Vec<T>>, begin: Outcome) -> Prepared<T> {
        Prepared { shares, begin }
    }
}

impl<T: Send + 'static> Source for Prepared<T> {
    type Reader = PreparedReader<T>;

    fn describe(&self) -> String {
        "prepared".into()
    }
    fn splits(&mut self) -> Result<Splits> {
        Ok(Splits::PerSubtask)
    }
    fn open(&mut self, subtask: &SubtaskContext, _: &[SplitId]) -> Result<PreparedReader<T>> {
        let records = std::mem::take(&mut self.shares[subtask.index]).into_iter();
        Ok(PreparedReader { records, begin: Some(self.begin.clone()) })
    }
}

/// Gives one subtask's records away.
pub struct PreparedReader<T> {
    records: IntoIter<T>,
    begin: Option<Outcome>,
}

impl<T: Send + 'static> SourceReader for PreparedReader<T> {
    type Item = Owned<T>;
    type Time = Untimed;

    fn poll<'s>(
        &'s mut self,
        budget: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<T>>,
    ) -> Result<Polled> {
        if let Some(begin) = self.begin.take() {
            begin.begin();
        }
        let count = budget.min(self.records.len());
        for record in self.records.by_ref().take(count) {
            out.push(record, ctx);
        }
        Ok(if count == 0 { Polled::End } else { Polled::Records(count) })
    }
}
