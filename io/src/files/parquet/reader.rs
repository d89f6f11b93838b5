//! Hands batches on, on the slot.

use arrow_array::RecordBatch;
use slotflow_runtime::{
    Committer, Context, Offset, Offsets, Output, Owned, Polled, Result, SourceReader, SplitId, Untimed,
};

use crate::frames::{Incoming, Next};

/// Some rows of a row group.
pub(super) struct Batch {
    pub split: SplitId,
    /// How many rows of the row group have been read with it.
    pub next: Offset,
    pub rows: RecordBatch,
}

/// Reads the batches that the thread of one subtask has read ahead.
pub struct ParquetReader {
    pub(super) incoming: Incoming<Batch>,
    pub(super) committer: Option<Box<dyn Committer>>,
}

impl SourceReader for ParquetReader {
    type Item = Owned<RecordBatch>;
    type Time = Untimed;

    /// One batch at a time: it is as much work as a step of small records.
    fn poll<'s>(
        &'s mut self,
        _: usize,
        ctx: &mut Context<'s>,
        out: &mut impl Output<Owned<RecordBatch>>,
    ) -> Result<Polled> {
        let Batch { split, next, rows } = match self.incoming.next(ctx.now_ns())? {
            Next::Block(batch) => batch,
            Next::Polled(polled) => return Ok(polled),
        };
        ctx.set_split(split);
        out.push(rows, ctx);
        self.incoming.read_to(split, next);
        Ok(Polled::Records(1))
    }

    fn offsets(&self) -> Offsets {
        self.incoming.offsets()
    }

    fn idle(&self) -> bool {
        self.incoming.idle()
    }

    fn is_behind(&self, split: SplitId) -> bool {
        self.incoming.is_behind(split)
    }

    fn splits_since(&self, state: u64) -> Option<(u64, Vec<SplitId>)> {
        self.incoming.splits_since(state)
    }

    fn committer(&mut self) -> Option<Box<dyn Committer>> {
        self.committer.take()
    }
}
